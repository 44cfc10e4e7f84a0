/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A D-Bus client just large enough to ask systemd for a scope (D-Bus specification, "Message
 * Protocol", "Authentication Protocol"): one connection, one call at a time, signals looked at
 * while waiting. Everything received is checked against its length before it is used.
 *
 * A body is written into a buf by the functions below, in the order of its signature; alignment is
 * counted from the body's start. A body is read by a struct dbus_reader, in which an error sticks.
 */
#ifndef LIBCONTAINER_CGROUP_DBUS_H
#define LIBCONTAINER_CGROUP_DBUS_H

#include "base/buf.h"
#include "base/err.h"

enum {
    DBUS_MESSAGE_MAX = 1 << 20, /* bytes; the specification allows 128 MiB, systemd needs 1 KiB */
    DBUS_TIMEOUT_MS = 30000,    /* for one answer, one job */
};

struct dbus;

/* Connects to the system's bus, or to the user's, or where there is no bus daemon to systemd's own
 * socket. */
int dbus_open(struct dbus **ret, bool user, struct wharf_error *e);
/* For tests: a connected socket to a peer that speaks D-Bus without a bus daemon. Taken over. */
int dbus_open_fd(struct dbus **ret, int fd, struct wharf_error *e);
void dbus_close(struct dbus *bus);
DEFINE_AUTO(struct dbus, dbus_close)

/* Is a bus daemon in between, which must be told what signals to pass on? */
bool dbus_has_daemon(const struct dbus *bus);

/* ---- writing a body ---- */

void dbus_byte(struct buf *b, unsigned char value);
void dbus_u32(struct buf *b, uint32_t value);   /* u, i, b */
void dbus_u64(struct buf *b, uint64_t value);   /* t, x */
void dbus_string(struct buf *b, const char *s); /* s, o */
void dbus_signature(struct buf *b, const char *s);
void dbus_align(struct buf *b, size_t alignment); /* before a struct: 8 */
/* An array of elements that are aligned to `alignment`. */
struct dbus_array {
    size_t length_at, start;
};
struct dbus_array dbus_array_begin(struct buf *b, size_t alignment);
void dbus_array_end(struct buf *b, struct dbus_array array);

/* ---- reading a body ---- */

struct dbus_reader {
    const unsigned char *data;
    size_t pos, len;
    bool bad;
};
uint32_t dbus_read_u32(struct dbus_reader *r);
const char *dbus_read_string(struct dbus_reader *r); /* "" when bad */

struct dbus_message {
    unsigned type; /* DBUS_RETURN ... */
    uint32_t reply_to;
    const char *interface, *member, *error; /* "" when absent */
    struct dbus_reader body;
};
enum { DBUS_CALL = 1, DBUS_RETURN = 2, DBUS_ERROR = 3, DBUS_SIGNAL = 4 };

/* Takes one message apart; it points into `data`. -EBADMSG. */
int dbus_parse(const unsigned char *data, size_t len, struct dbus_message *ret);

/* ---- talking ---- */

struct dbus_target {
    const char *service, *path, *interface, *member;
};

/* Calls and waits for the answer, which stays valid until the next call. An error of the peer is
 * -EREMOTEIO with its text; its name is in *ret, too. */
int dbus_call(struct dbus *bus, const struct dbus_target *to, const char *signature,
              const struct buf *body, struct dbus_message *ret, struct wharf_error *e);

/* Waits for a signal that `wanted` accepts (1; 0: not this one). */
int dbus_wait_signal(struct dbus *bus, int (*wanted)(void *user, struct dbus_message *m),
                     void *user, struct wharf_error *e);

#endif
