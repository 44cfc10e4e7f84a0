/* SPDX-License-Identifier: Apache-2.0 */
/* See store.h. */
#include "network/store.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/str.h"

#define STORE_VERSION 1

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS network(id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " owner INTEGER NOT NULL, created_ns INTEGER NOT NULL, bridge TEXT NOT NULL,"
    " document TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS address(network TEXT NOT NULL, ip BLOB NOT NULL,"
    " endpoint TEXT NOT NULL, PRIMARY KEY(network, ip)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS address_endpoint ON address(endpoint);"
    "CREATE TABLE IF NOT EXISTS endpoint(container TEXT NOT NULL, network TEXT NOT NULL,"
    " id TEXT NOT NULL, position INTEGER NOT NULL, name TEXT NOT NULL, hostname TEXT NOT NULL,"
    " owner INTEGER NOT NULL, settings TEXT NOT NULL, active INTEGER NOT NULL, mac TEXT,"
    " ip4 BLOB, ip6 BLOB, interface TEXT NOT NULL,"
    " PRIMARY KEY(container, network)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS endpoint_network ON endpoint(network);"
    "CREATE TABLE IF NOT EXISTS port(container TEXT NOT NULL, protocol INTEGER NOT NULL,"
    " host BLOB NOT NULL, host_port INTEGER NOT NULL, target BLOB NOT NULL,"
    " target_port INTEGER NOT NULL,"
    " PRIMARY KEY(container, protocol, host_port, host)) WITHOUT ROWID;";

int network_store_open(struct network_store *s, const char *path, struct wharf_error *e)
{
    return db_open(&s->db, path, schema, STORE_VERSION, NULL, e);
}

void network_store_close(struct network_store *s)
{
    sqlite3_close(s->db);
    s->db = NULL;
}

int netstore_begin(struct network_store *s, struct wharf_error *e)
{
    return db_run(s->db, "BEGIN IMMEDIATE", e);
}

int netstore_end(struct network_store *s, int r, struct wharf_error *e)
{
    int end = r < 0 ? 0 : db_run(s->db, "COMMIT", e);

    if (r < 0 || end < 0)
        db_run(s->db, "ROLLBACK", NULL);
    return r < 0 ? r : end < 0 ? end : r;
}

/* ---- statements ------------------------------------------------------------------------------ */

static void bind_all(sqlite3_stmt *q, const char *types, va_list list)
{
    for (int n = 1; *types; types++, n++) {
        if (*types == 'i') {
            sqlite3_bind_int64(q, n, va_arg(list, int64_t));
        } else if (*types == 'a') {
            const struct ipaddr *a = va_arg(list, const struct ipaddr *);

            if (a->family)
                sqlite3_bind_blob(q, n, a->bytes, (int)ipaddr_length(a), SQLITE_TRANSIENT);
        } else {
            sqlite3_bind_text(q, n, va_arg(list, const char *), -1, SQLITE_TRANSIENT);
        }
    }
}

static int statement(struct network_store *s, sqlite3_stmt **ret, struct wharf_error *e,
                     const char *sql, const char *types, va_list list)
{
    int r = db_prepare(s->db, sql, ret, e);

    if (r == 0)
        bind_all(*ret, types, list);
    return r;
}

int netstore_query(struct network_store *s, sqlite3_stmt **ret, struct wharf_error *e,
                   const char *sql, const char *types, ...)
{
    va_list list;

    va_start(list, types);
    int r = statement(s, ret, e, sql, types, list);
    va_end(list);
    return r;
}

int netstore_run(struct network_store *s, struct wharf_error *e, const char *sql, const char *types,
                 ...)
{
    autostatement sqlite3_stmt *q = NULL;
    va_list list;

    va_start(list, types);
    int r = statement(s, &q, e, sql, types, list);
    va_end(list);
    if (r < 0)
        return r;
    int code = sqlite3_step(q);
    if (code == SQLITE_CONSTRAINT)
        return -EEXIST;
    return code == SQLITE_DONE || code == SQLITE_ROW ? sqlite3_changes(s->db) : db_error(s->db, e);
}

int netstore_next(struct network_store *s, sqlite3_stmt *q, struct wharf_error *e)
{
    int code = sqlite3_step(q);

    return code == SQLITE_ROW ? 1 : code == SQLITE_DONE ? 0 : db_error(s->db, e);
}

int64_t netstore_number(struct network_store *s, int64_t otherwise, const char *sql,
                        const char *types, ...)
{
    autostatement sqlite3_stmt *q = NULL;
    va_list list;

    va_start(list, types);
    int r = statement(s, &q, NULL, sql, types, list);
    va_end(list);
    if (r < 0 || sqlite3_step(q) != SQLITE_ROW || sqlite3_column_type(q, 0) == SQLITE_NULL)
        return otherwise;
    return sqlite3_column_int64(q, 0);
}

const char *column_text(sqlite3_stmt *q, int column)
{
    const char *text = (const char *)sqlite3_column_text(q, column);

    return text ? text : "";
}

struct ipaddr column_address(sqlite3_stmt *q, int column)
{
    const void *bytes = sqlite3_column_blob(q, column);

    return ipaddr_from(bytes, (size_t)sqlite3_column_bytes(q, column));
}

/* A JSON text of ours into a struct. */
static int read_document(sqlite3_stmt *q, int column, const struct field *fields,
                         struct arena *arena, void *out, struct wharf_error *e)
{
    autojson json_t *tree = NULL;
    const char *text = column_text(q, column);
    int r = json_read(text, strlen(text), JSON_LIMITS, "network.db", &tree, e);

    return r < 0 ? r : fields_read(fields, tree, "", arena, out, e);
}

static int write_document(const struct field *fields, const void *in, char **ret,
                          struct wharf_error *e)
{
    autojson json_t *tree = fields_write(fields, in);

    *ret = tree ? json_write(tree, JSON_COMPACT) : NULL;
    return *ret ? 0 : err_nomem(e);
}

/* Room for one more element; lists grow by doubling inside the arena. */
static void *grow(struct arena *arena, void *items, size_t count, size_t size)
{
    if (count & (count - 1) || (count && count < 8))
        return items;
    if (count == 0)
        return arena_array(arena, 8, size);
    void *more = arena_array(arena, count * 2, size);
    if (more)
        memcpy(more, items, count * size);
    return more;
}

/* ---- networks -------------------------------------------------------------------------------- */

#define NETWORK_COLUMNS "SELECT id, owner, created_ns, bridge, document FROM network "

static int read_network(sqlite3_stmt *q, struct arena *arena, struct network *ret,
                        struct wharf_error *e)
{
    struct network n = { .id = arena_str(arena, column_text(q, 0)),
                         .owner = sqlite3_column_int64(q, 1),
                         .created_ns = sqlite3_column_int64(q, 2),
                         .bridge = arena_str(arena, column_text(q, 3)) };
    int r = read_document(q, 4, network_document_fields, arena, &n.document, e);

    if (r == 0 && (!n.id || !n.bridge))
        r = err_nomem(e);
    if (r == 0)
        r = network_derive(&n, e);
    if (r == 0)
        *ret = n;
    return r;
}

/* At most two rows: their number. */
static int find_two(struct network_store *s, const char *where, const char *reference,
                    int64_t owner, struct arena *arena, struct network *ret, struct wharf_error *e)
{
    autofree char *sql =
        str_format(NETWORK_COLUMNS "WHERE %s AND (?2=0 OR owner=?2 OR owner=-1) LIMIT 2", where);
    autostatement sqlite3_stmt *q = NULL;
    int count = 0, r = sql ? netstore_query(s, &q, e, sql, "si", reference, owner) : err_nomem(e);

    while (r >= 0 && (r = netstore_next(s, q, e)) > 0) {
        if (count++ == 0)
            r = read_network(q, arena, ret, e);
    }
    return r < 0 ? r : count;
}

int netstore_network_find(struct network_store *s, const char *reference, int64_t owner,
                          struct arena *arena, struct network *ret, struct wharf_error *e)
{
    static const char *const ways[] = { "id=?1", "name=?1", "id>=?1 AND id<?1||'g'" };
    bool hex = *reference && reference[strspn(reference, "0123456789abcdef")] == '\0';
    int count = 0;

    for (size_t i = 0; i < (hex ? 3 : 2) && count == 0; i++)
        count = find_two(s, ways[i], reference, owner, arena, ret, e);
    if (count > 1)
        return err_invalid(e, "network %s is ambiguous (%d matches found based on ID prefix)",
                           reference, count);
    return count < 0 ? count : count ? 0 : err_not_found(e, "network %s not found", reference);
}

int netstore_network_add(struct network_store *s, const struct network *n, struct wharf_error *e)
{
    autofree char *document = NULL;
    int r = write_document(network_document_fields, &n->document, &document, e);

    if (r == 0)
        r = netstore_run(s, e, "INSERT INTO network VALUES(?,?,?,?,?,?)", "ssiiss", n->id,
                         n->document.name, n->owner, n->created_ns, n->bridge, document);
    return MIN(r, 0);
}

int netstore_networks(struct network_store *s, int64_t owner, struct arena *arena,
                      network_list_of *ret, struct wharf_error *e)
{
    autostatement sqlite3_stmt *q = NULL;
    network_list_of list = { 0 };
    int r = netstore_query(s, &q, e,
                           NETWORK_COLUMNS "WHERE ?1=0 OR owner=?1 OR owner=-1 ORDER BY created_ns",
                           "i", owner);

    while (r >= 0 && (r = netstore_next(s, q, e)) > 0) {
        list.items = grow(arena, list.items, list.count, sizeof(*list.items));
        if (!list.items)
            return err_nomem(e);
        r = read_network(q, arena, &list.items[list.count++], e);
    }
    if (r == 0)
        *ret = list;
    return r;
}

/* ---- endpoints ------------------------------------------------------------------------------- */

int netstore_endpoint_add(struct network_store *s, const struct endpoint *p, struct wharf_error *e)
{
    autofree char *settings = NULL;
    int r = write_document(endpoint_settings_fields, &p->settings, &settings, e);

    if (r == 0)
        r = netstore_run(
            s, e,
            "INSERT INTO endpoint(container,network,id,position,name,hostname,owner,"
            "settings,active,interface) VALUES(?1,?2,?3,(SELECT "
            "coalesce(max(position),0)+1 FROM endpoint WHERE container=?1),?4,?5,?6,?7,"
            "0,'')",
            "sssssis", p->container, p->network, p->id, p->name, p->hostname, p->owner, settings);
    return MIN(r, 0);
}

int netstore_endpoint_update(struct network_store *s, const struct endpoint *p,
                             struct wharf_error *e)
{
    char mac[MAC_TEXT_MAX];
    int r =
        netstore_run(s, e,
                     "UPDATE endpoint SET active=?3, mac=?4, ip4=?5, ip6=?6, interface=?7 "
                     "WHERE container=?1 AND network=?2",
                     "ssisaas", p->container, p->network, (int64_t)p->active, mac_text(p->mac, mac),
                     &p->address[0], &p->address[1], p->interface ? p->interface : "");

    return MIN(r, 0);
}

static int read_endpoint(sqlite3_stmt *q, struct arena *arena, struct endpoint *ret,
                         struct wharf_error *e)
{
    struct endpoint p = { .id = arena_str(arena, column_text(q, 0)),
                          .network = arena_str(arena, column_text(q, 1)),
                          .container = arena_str(arena, column_text(q, 2)),
                          .name = arena_str(arena, column_text(q, 3)),
                          .hostname = arena_str(arena, column_text(q, 4)),
                          .owner = sqlite3_column_int64(q, 5),
                          .active = sqlite3_column_int64(q, 7) != 0,
                          .address = { column_address(q, 9), column_address(q, 10) },
                          .interface = arena_str(arena, column_text(q, 11)) };

    mac_parse(column_text(q, 8), p.mac); /* NULL before it was first attached: zeros */
    if (!p.id || !p.network || !p.container || !p.name || !p.hostname || !p.interface)
        return err_nomem(e);
    int r = read_document(q, 6, endpoint_settings_fields, arena, &p.settings, e);
    if (r == 0)
        *ret = p;
    return r;
}

int netstore_endpoints(struct network_store *s, const char *container, const char *network,
                       struct arena *arena, endpoint_list *ret, struct wharf_error *e)
{
    autostatement sqlite3_stmt *q = NULL;
    autofree char *sql =
        str_format("SELECT id, network, container, name, hostname, owner, settings,"
                   " active, mac, ip4, ip6, interface FROM endpoint WHERE %s=?1"
                   " ORDER BY position, name",
                   container ? "container" : "network");
    endpoint_list list = { 0 };
    int r =
        sql ? netstore_query(s, &q, e, sql, "s", container ? container : network) : err_nomem(e);

    while (r >= 0 && (r = netstore_next(s, q, e)) > 0) {
        list.items = grow(arena, list.items, list.count, sizeof(*list.items));
        if (!list.items)
            return err_nomem(e);
        r = read_endpoint(q, arena, &list.items[list.count++], e);
    }
    if (r == 0)
        *ret = list;
    return r;
}

/* ---- published ports ------------------------------------------------------------------------- */

int netstore_port_add(struct network_store *s, const char *container, const struct published *p,
                      struct wharf_error *e)
{
    int r = netstore_run(s, e, "INSERT OR REPLACE INTO port VALUES(?,?,?,?,?,?)", "siaiai",
                         container, (int64_t)p->protocol, &p->host, (int64_t)p->host_port, &p->to,
                         (int64_t)p->to_port);

    return MIN(r, 0);
}

int netstore_ports(struct network_store *s, const char *container, struct arena *arena,
                   published_list *ret, struct wharf_error *e)
{
    autostatement sqlite3_stmt *q = NULL;
    published_list list = { 0 };
    int r = netstore_query(
        s, &q, e,
        "SELECT protocol, host, host_port, target, target_port FROM port"
        " WHERE ?1 IS NULL OR container=?1 ORDER BY target_port, protocol, host_port",
        "s", container);

    while (r >= 0 && (r = netstore_next(s, q, e)) > 0) {
        list.items = grow(arena, list.items, list.count, sizeof(*list.items));
        if (!list.items)
            return err_nomem(e);
        list.items[list.count++] = (struct published){
            .protocol = sqlite3_column_int(q, 0),
            .host = column_address(q, 1),
            .host_port = (uint16_t)sqlite3_column_int(q, 2),
            .to = column_address(q, 3),
            .to_port = (uint16_t)sqlite3_column_int(q, 4),
        };
    }
    if (r == 0)
        *ret = list;
    return r;
}
