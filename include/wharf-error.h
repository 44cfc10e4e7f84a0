/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wharf-error.h - the error value that every wharf library fills in
 *
 * A function that can fail returns 0 (or a count) on success and a negative errno on failure. Where
 * a person will read the reason it also takes a `struct wharf_error *`, owned by the caller, which
 * may be NULL. The value never allocates, needs no cleaning up, and may live on the stack of any
 * thread.
 *
 *     struct wharf_error e = { 0 };
 *     if (container_engine_open(&engine, NULL, &e) < 0) {
 *         fprintf(stderr, "error: %s\n", e.message);
 *         return wharf_error_exit(&e);
 *     }
 *
 * Messages are lower case, without a full stop, name the object in quotes and, where there is one,
 * the remedy. The first error wins: outer layers may put context in front, never replace the cause.
 */
#ifndef WHARF_ERROR_H
#define WHARF_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

#define WHARF_ERROR_MESSAGE_MAX 512

/* What went wrong, for programs. The HTTP status and the exit code of a kind: wharf_error_http,
 * _exit. */
enum wharf_error_kind {
    WHARF_ERROR_NONE = 0,
    WHARF_ERROR_INVALID,      /* the request or the input is malformed: do not repeat it */
    WHARF_ERROR_UNAUTHORIZED, /* who is asking is not known */
    WHARF_ERROR_FORBIDDEN,    /* who is asking may not do this */
    WHARF_ERROR_NOT_FOUND,    /* the object does not exist, or may not be seen */
    WHARF_ERROR_CONFLICT,     /* the object's state does not allow it: exists, running, in use */
    WHARF_ERROR_LIMIT,        /* a named limit was passed */
    WHARF_ERROR_UNSUPPORTED,  /* this kernel, host or build cannot do it */
    WHARF_ERROR_UNAVAILABLE,  /* a peer cannot be reached now: try again */
    WHARF_ERROR_TIMEOUT,      /* a deadline passed */
    WHARF_ERROR_CORRUPT,      /* stored or received data does not match its digest or form */
    WHARF_ERROR_NO_COMMAND,   /* the program to run does not exist in the container */
    WHARF_ERROR_NOT_RUNNABLE, /* the program to run cannot be executed */
    WHARF_ERROR_INTERNAL,     /* a fault of the host or of ours */
    WHARF_ERROR_KINDS
};

struct wharf_error {
    int code; /* errno value, positive; 0: no error */
    enum wharf_error_kind kind;
    char message[WHARF_ERROR_MESSAGE_MAX]; /* UTF-8, ends with NUL, cut if longer */
};

/* The name of a kind, such as "not found"; never NULL. */
const char *wharf_error_kind_name(enum wharf_error_kind kind);

/* The HTTP status (400..599) and the process exit code (1, 125..127) that stand for an error. */
int wharf_error_http(const struct wharf_error *error);
int wharf_error_exit(const struct wharf_error *error);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
