/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses in text, and raw sockets made from them. */
#ifndef LIBCHAN_ADDRESS_H
#define LIBCHAN_ADDRESS_H

#include "base/macros.h"
#include "chan.h"

enum scheme { SCHEME_UNIX, SCHEME_TCP, SCHEME_TLS, SCHEME_WS, SCHEME_WSS, SCHEME_FD };

struct address {
    enum scheme scheme;
    char host[256]; /* unix: the path, "@" first for abstract ones */
    char port[8];
    char path[256]; /* websocket */
    int fd;
};

int address_parse(const char *text, struct address *ret, struct wharf_error *e);

/* A connected stream socket to a unix or internet address (whatever runs on it): fd or -errno. */
int address_connect(const struct address *a, chan_time deadline, struct wharf_error *e);

/* A listening one; *ret_text, an address to dial, is new. */
int address_listen(const struct address *a, char **ret_text, struct wharf_error *e);

const char *scheme_name(enum scheme s);
int scheme_parse(const char *name, enum scheme *ret);

#endif
