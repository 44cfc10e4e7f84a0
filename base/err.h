/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling in error values. Every function here takes NULL, keeps errno, and is safe between clone
 * and exec: it formats into the caller's storage and never allocates.
 *
 *     return err_set(e, -ENOENT, WHARF_ERROR_NOT_FOUND, "no such image: '%s'", name);
 *     return err_sys(e, "cannot open '%s'", path);        - appends strerror, returns -errno
 *     if (r < 0) return err_wrap(e, r, "layer %zu", i);   - "layer 3: cannot open ..."
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <errno.h>
#include <stdarg.h>
#include "wharf-error.h"

/* Sets code, kind and message; returns `code`, which must be a negative errno. */
int err_set(struct wharf_error *e, int code, enum wharf_error_kind kind, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* As err_set, for a failed system call: the code is -errno (or `code` for err_code), the kind
 * follows from it by the table in err.c, and ": " and the errno's text are appended. */
int err_sys(struct wharf_error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
int err_code(struct wharf_error *e, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts context in front of the message that is there; returns `code`. */
int err_wrap(struct wharf_error *e, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The usual short forms. */
#define err_invalid(e, ...)     err_set((e), -EINVAL, WHARF_ERROR_INVALID, __VA_ARGS__)
#define err_not_found(e, ...)   err_set((e), -ENOENT, WHARF_ERROR_NOT_FOUND, __VA_ARGS__)
#define err_unsupported(e, ...) err_set((e), -EOPNOTSUPP, WHARF_ERROR_UNSUPPORTED, __VA_ARGS__)
#define err_nomem(e)            err_set((e), -ENOMEM, WHARF_ERROR_INTERNAL, "out of memory")

#endif
