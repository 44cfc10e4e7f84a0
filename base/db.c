/* SPDX-License-Identifier: Apache-2.0 */
/* See db.h. */
#include "base/db.h"

#include <stdio.h>
#include <string.h>

int db_error(sqlite3 *db, struct wharf_error *e)
{
    const char *path = sqlite3_db_filename(db, "main"), *slash = path ? strrchr(path, '/') : NULL;
    const char *name = slash ? slash + 1 : "the database";

    switch (sqlite3_errcode(db) & 0xff) {
    case SQLITE_FULL:
        return err_set(e, -ENOSPC, WHARF_ERROR_LIMIT, "%s: no space left on the disk", name);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return err_set(e, -EBADMSG, WHARF_ERROR_CORRUPT, "%s: %s", name, sqlite3_errmsg(db));
    case SQLITE_BUSY:
        return err_set(e, -EBUSY, WHARF_ERROR_UNAVAILABLE, "%s: another process holds it", name);
    default:
        return err_set(e, -EIO, WHARF_ERROR_INTERNAL, "%s: %s", name, sqlite3_errmsg(db));
    }
}

int db_run(sqlite3 *db, const char *sql, struct wharf_error *e)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : db_error(db, e);
}

int db_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret, struct wharf_error *e)
{
    return sqlite3_prepare_v2(db, sql, -1, ret, NULL) == SQLITE_OK ? 0 : db_error(db, e);
}

static int read_version(sqlite3 *db, int64_t *ret, struct wharf_error *e)
{
    autostatement sqlite3_stmt *q = NULL;
    int r = db_prepare(db, "PRAGMA user_version", &q, e);

    if (r < 0)
        return r;
    if (sqlite3_step(q) != SQLITE_ROW)
        return db_error(db, e);
    *ret = sqlite3_column_int64(q, 0);
    return 0;
}

static int make(sqlite3 *db, const char *schema, int version, struct wharf_error *e)
{
    char set[64];
    int r = db_run(db, "PRAGMA journal_mode=WAL", e);

    snprintf(set, sizeof(set), "PRAGMA user_version=%d", version);
    if (r == 0)
        r = db_run(db, schema, e);
    return r < 0 ? r : db_run(db, set, e);
}

static int prepare(sqlite3 *db, const char *schema, int version, int64_t *ret_version,
                   struct wharf_error *e)
{
    int64_t found = 0;
    int one = 1, r;

    sqlite3_busy_timeout(db, DB_BUSY_MS);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_file_control(db, "main", SQLITE_FCNTL_PERSIST_WAL, &one);
    r = read_version(db, &found, e);
    if (r == 0 && found > version)
        r = err_unsupported(e, "%s is of version %lld, made by a newer wharf",
                            sqlite3_db_filename(db, "main"), (long long)found);
    if (r == 0 && found == 0)
        r = make(db, schema, version, e);
    if (r < 0)
        return r;
    if (ret_version)
        *ret_version = found ? found : version;
    sqlite3_wal_autocheckpoint(db, DB_WAL_PAGES);
    return db_run(db, "PRAGMA synchronous=NORMAL", e);
}

int db_open(sqlite3 **ret, const char *path, const char *schema, int version, int64_t *ret_version,
            struct wharf_error *e)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, r;
    sqlite3 *db = NULL;

    if (sqlite3_open_v2(path, &db, flags, NULL) != SQLITE_OK)
        r = err_set(e, -EIO, WHARF_ERROR_INTERNAL, "cannot open '%s': %s", path,
                    db ? sqlite3_errmsg(db) : "out of memory");
    else
        r = prepare(db, schema, version, ret_version, e);
    if (r < 0) {
        sqlite3_close(db);
        return r;
    }
    *ret = db;
    return 0;
}
