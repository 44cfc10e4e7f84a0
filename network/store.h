/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is written down about networks: one SQLite database, ROOT/network.db, in WAL mode, shared by
 * any number of processes. It says which networks there are, which containers are in them, which
 * addresses and ports are given out; the kernel's half is made to follow (sandbox.c).
 *
 * An address belongs to whoever could insert it: uniqueness is the database's, not a process's. A
 * network's name file and the packet filter as a whole are written inside a transaction, so that an
 * older state never replaces a newer one.
 */
#ifndef NETWORK_STORE_H
#define NETWORK_STORE_H

#include "base/arena.h"
#include "base/db.h"
#include "network/firewall.h"
#include "network/object.h"

struct network_store {
    sqlite3 *db;
};

int network_store_open(struct network_store *s, const char *path, struct wharf_error *e);
void network_store_close(struct network_store *s);

/* A write transaction: begin waits for another process's. `end`: commits when r >= 0, else rolls
 * back; returns r, or the commit's error. */
int netstore_begin(struct network_store *s, struct wharf_error *e);
int netstore_end(struct network_store *s, int r, struct wharf_error *e);

/* One statement; `types` describes the parameters: s text (NULL allowed), i int64_t, a struct
 * address * (family 0: NULL). netstore_run: the number of rows changed, or -EEXIST for a broken
 * constraint (without setting e), or another -errno. */
int netstore_run(struct network_store *s, struct wharf_error *e, const char *sql, const char *types,
                 ...);
int netstore_query(struct network_store *s, sqlite3_stmt **ret, struct wharf_error *e,
                   const char *sql, const char *types, ...);
/* The next row: 1, 0 at the end, -errno. */
int netstore_next(struct network_store *s, sqlite3_stmt *q, struct wharf_error *e);
/* First column of the first row as a number; `otherwise` when there is none. */
int64_t netstore_number(struct network_store *s, int64_t otherwise, const char *sql,
                        const char *types, ...);

const char *column_text(sqlite3_stmt *q, int column); /* never NULL */
struct ipaddr column_address(sqlite3_stmt *q, int column);

/* ---- networks -------------------------------------------------------------------------------- */

/* By id, name, or unique beginning of an id, in this order; what belongs to `owner` or to everybody
 * (0 sees all). Memory is the arena's. -ENOENT with docker's text. */
int netstore_network_find(struct network_store *s, const char *reference, int64_t owner,
                          struct arena *arena, struct network *ret, struct wharf_error *e);
/* -EEXIST without a message: the name is taken. */
int netstore_network_add(struct network_store *s, const struct network *n, struct wharf_error *e);

typedef LIST_OF(struct network) network_list_of;
/* In the order of their making. */
int netstore_networks(struct network_store *s, int64_t owner, struct arena *arena,
                      network_list_of *ret, struct wharf_error *e);

/* ---- endpoints ------------------------------------------------------------------------------- */

int netstore_endpoint_add(struct network_store *s, const struct endpoint *p, struct wharf_error *e);
/* Writes what attaching found out: addresses, MAC, interface, active. */
int netstore_endpoint_update(struct network_store *s, const struct endpoint *p,
                             struct wharf_error *e);

typedef LIST_OF(struct endpoint) endpoint_list;
/* Of a container (in the order of connecting), or of a network; the other is NULL. */
int netstore_endpoints(struct network_store *s, const char *container, const char *network,
                       struct arena *arena, endpoint_list *ret, struct wharf_error *e);

/* ---- published ports ------------------------------------------------------------------------- */

int netstore_port_add(struct network_store *s, const char *container, const struct published *p,
                      struct wharf_error *e);
typedef LIST_OF(struct published) published_list;
/* `container` NULL: of all. */
int netstore_ports(struct network_store *s, const char *container, struct arena *arena,
                   published_list *ret, struct wharf_error *e);

#endif
