/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clean-up by scope, and the few macros everything uses.
 *
 *     autofree char *text = ...;      freed when the scope ends
 *     autoclose int fd = open(...);   closed when the scope ends (negative: nothing to do)
 *     return take_fd(&fd);            hands it over: the scope no longer owns it
 */
#ifndef BASE_MACROS_H
#define BASE_MACROS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Each argument once, whatever it does. Not in constant expressions. */
#define MIN(a, b)                   CHOOSE_OF(<, a, b, __COUNTER__)
#define MAX(a, b)                   CHOOSE_OF(>, a, b, __COUNTER__)
#define CHOOSE_OF(op, a, b, number) CHOOSE_NAMED(op, a, b, number)
#define CHOOSE_NAMED(op, a, b, number)                                                             \
    ({                                                                                             \
        __typeof__(1 ? (a) : (b)) first_##number = (a), second_##number = (b);                     \
        first_##number op second_##number ? first_##number : second_##number;                      \
    })

#define SWAP(a, b)                                                                                 \
    do {                                                                                           \
        __typeof__(a) swapped = (a);                                                               \
        (a) = (b);                                                                                 \
        (b) = swapped;                                                                             \
    } while (0)

#define hidden_unused __attribute__((unused))

static inline void auto_free_ptr(void *p)
{
    free(*(void **)p);
}

/* Closes and resets; keeps errno; a negative descriptor is fine. Returns -1 to assign back. */
static inline int fd_close(int fd)
{
    if (fd >= 0) {
        int saved = errno;
        close(fd);
        errno = saved;
    }
    return -1;
}

static inline void auto_close_fd(int *fd)
{
    fd_close(*fd);
}

static inline int take_fd(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

static inline void *take_ptr_impl(void *p)
{
    void *taken = *(void **)p;

    *(void **)p = NULL;
    return taken;
}

#define autofree    __attribute__((cleanup(auto_free_ptr)))
#define autoclose   __attribute__((cleanup(auto_close_fd)))
#define take_ptr(p) ((__typeof__(*(p)))take_ptr_impl(p))

/* An owner of another kind: `auto(spec_free) struct spec *s`, where spec_free(struct spec *). */
#define DEFINE_AUTO(type, func)                                                                    \
    static inline void func##_auto(type **p)                                                       \
    {                                                                                              \
        func(*p);                                                                                  \
    }
#define auto_of(func) __attribute__((cleanup(func##_auto)))

#endif
