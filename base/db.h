/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite as every database of the project uses it: one file in a root directory, in WAL mode,
 * shared by any number of processes, any of which may be killed at any moment. A commit survives
 * any process; a power cut costs at most the last few changes (synchronous=NORMAL), never the
 * database. Closing does not checkpoint and keeps the write-ahead log: a command that lives for
 * milliseconds must not sync the disk on its way out (sqlite3.h: SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE,
 * SQLITE_FCNTL_PERSIST_WAL). Not in libbase: link base_db_dep.
 */
#ifndef BASE_DB_H
#define BASE_DB_H

#include <sqlite3.h>
#include "base/err.h"
#include "base/macros.h"

#define DB_BUSY_MS 15000 /* how long to wait for another process's transaction */

/* Pages of the write-ahead log before it goes into the database, which syncs. The first process to
 * open a database reads the whole log again, and a command usually is that: it must stay short. */
#define DB_WAL_PAGES 64

/* Opens or makes it. `schema`: SQL that makes everything (IF NOT EXISTS: two processes may come at
 * once), run when the database is new. Its user_version becomes `version`; a higher one is
 * -EOPNOTSUPP, a lower one (a database that an older program made) is told in *ret_version, which
 * may be NULL. */
int db_open(sqlite3 **ret, const char *path, const char *schema, int version, int64_t *ret_version,
            struct wharf_error *e);

/* What the last call on `db` failed with, as an error value. */
int db_error(sqlite3 *db, struct wharf_error *e);

/* Runs SQL that gives no rows. */
int db_run(sqlite3 *db, const char *sql, struct wharf_error *e);

int db_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret, struct wharf_error *e);

static inline void auto_db_finalize(sqlite3_stmt **q)
{
    sqlite3_finalize(*q);
}
#define autostatement __attribute__((cleanup(auto_db_finalize)))

#endif
