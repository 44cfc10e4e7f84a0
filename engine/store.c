/* SPDX-License-Identifier: Apache-2.0 */
/* See store.h. One table of columns describes the record in both directions. */
#include "engine/store.h"

#include "base/buf.h"
#include "base/db.h"
#include "base/str.h"

/* A column may be added, at the end of the table, with the version it came with. */
#define STORE_VERSION 2
#define STORE_SQL_MAX 4096

struct store {
    sqlite3 *db;
};

enum column_type { COLUMN_ID, COLUMN_TEXT, COLUMN_INT };

static const struct {
    const char *name;
    enum column_type type;
    size_t offset;
    const char *constraint;
} columns[] = {
    { "id", COLUMN_ID, offsetof(struct record, id), "PRIMARY KEY" },
    { "name", COLUMN_TEXT, offsetof(struct record, name), "NOT NULL UNIQUE" },
    { "image", COLUMN_TEXT, offsetof(struct record, image), "NOT NULL" },
    { "image_id", COLUMN_TEXT, offsetof(struct record, image_id), "NOT NULL" },
    { "command", COLUMN_TEXT, offsetof(struct record, command), "NOT NULL" },
    { "settings", COLUMN_TEXT, offsetof(struct record, settings), "NOT NULL" },
    { "error", COLUMN_TEXT, offsetof(struct record, error), "" },
    { "owner", COLUMN_INT, offsetof(struct record, owner), "" },
    { "state", COLUMN_INT, offsetof(struct record, state), "" },
    { "generation", COLUMN_INT, offsetof(struct record, generation), "" },
    { "created_ns", COLUMN_INT, offsetof(struct record, created_ns), "" },
    { "started_ns", COLUMN_INT, offsetof(struct record, started_ns), "" },
    { "finished_ns", COLUMN_INT, offsetof(struct record, finished_ns), "" },
    { "exit_code", COLUMN_INT, offsetof(struct record, exit_code), "" },
    { "pid", COLUMN_INT, offsetof(struct record, pid), "" },
    { "oom_killed", COLUMN_INT, offsetof(struct record, oom_killed), "" },
    { "auto_remove", COLUMN_INT, offsetof(struct record, auto_remove), "" },
    { "mounts", COLUMN_TEXT, offsetof(struct record, mounts), "" },
    { "revision", COLUMN_INT, offsetof(struct record, revision), "" },
};

const char *state_name(enum state state)
{
    static const char *const names[] = {
        [STATE_CREATING] = "created",  [STATE_CREATED] = "created",
        [STATE_STARTING] = "created",  [STATE_RUNNING] = "running",
        [STATE_PAUSED] = "paused",     [STATE_EXITED] = "exited",
        [STATE_REMOVING] = "removing", [STATE_RESTARTING] = "restarting",
    };
    return (unsigned)state < ARRAY_SIZE(names) ? names[state] : "dead";
}

void record_done(struct record *r)
{
    for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
        if (columns[i].type == COLUMN_TEXT) {
            char **text = (char **)((char *)r + columns[i].offset);

            free(*text);
            *text = NULL;
        }
    }
}

static int store_error(struct store *s, struct wharf_error *e)
{
    return db_error(s->db, e);
}

static void sql_columns(struct buf *b, const char *format)
{
    for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
        buf_printf(b, "%s%s%s", i ? "," : "", columns[i].name, format);
}

static void schema(struct buf *b)
{
    buf_str(b, "CREATE TABLE IF NOT EXISTS container(");
    for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
        buf_printf(b, "%s%s %s %s", i ? "," : "", columns[i].name,
                   columns[i].type == COLUMN_INT ? "INTEGER NOT NULL" : "TEXT",
                   columns[i].constraint);
    buf_str(b, ") WITHOUT ROWID");
}

static int read_number(void *user, int count, char **values, char **names)
{
    uint64_t number;

    if (count > 0 && values[0] && parse_u64(values[0], 0, INT64_MAX, &number) == 0)
        *(int64_t *)user = (int64_t)number;
    return 0;
}

/* The later columns for a database that an older version made; the others keep their places. */
static int add_columns(struct store *s, struct wharf_error *e)
{
    autobuf struct buf b = BUF(STORE_SQL_MAX);
    int64_t have = 0;

    /* in one transaction: two processes may come at once */
    if (sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(s->db, "SELECT count(*) FROM pragma_table_info('container')", read_number,
                     &have, NULL) != SQLITE_OK)
        return store_error(s, e);
    for (size_t i = (size_t)have; i < ARRAY_SIZE(columns); i++)
        buf_printf(&b, "ALTER TABLE container ADD COLUMN %s %s;", columns[i].name,
                   columns[i].type == COLUMN_INT ? "INTEGER NOT NULL DEFAULT 0"
                                                 : "TEXT NOT NULL DEFAULT ''");
    buf_printf(&b, "PRAGMA user_version=%d; COMMIT", STORE_VERSION);
    if (!b.error && sqlite3_exec(s->db, b.data, NULL, NULL, NULL) == SQLITE_OK)
        return 0;
    int r = b.error ? err_nomem(e) : store_error(s, e);
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return r;
}

int store_open(struct store **ret, const char *path, struct wharf_error *e)
{
    autobuf struct buf b = BUF(STORE_SQL_MAX);
    struct store *s = calloc(1, sizeof(*s));
    int64_t version;

    schema(&b);
    if (!s || b.error) {
        free(s);
        return err_nomem(e);
    }
    int r = db_open(&s->db, path, b.data, STORE_VERSION, &version, e);
    if (r == 0 && version < STORE_VERSION)
        r = add_columns(s, e);
    if (r < 0) {
        store_close(s);
        return r;
    }
    *ret = s;
    return 0;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    sqlite3_close(s->db);
    free(s);
}

/* Parameter i + 1 is column i. */
static void bind_record(sqlite3_stmt *q, const struct record *r)
{
    for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
        const char *at = (const char *)r + columns[i].offset;
        int n = (int)i + 1;

        if (columns[i].type == COLUMN_INT) {
            sqlite3_bind_int64(q, n, *(const int64_t *)at);
            continue;
        }
        const char *text = columns[i].type == COLUMN_ID ? at : *(const char *const *)at;
        sqlite3_bind_text(q, n, text ? text : "", -1, SQLITE_STATIC);
    }
}

static int read_record(sqlite3_stmt *q, struct record *ret)
{
    struct record r = { 0 };

    for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
        char *at = (char *)&r + columns[i].offset;
        const char *text = (const char *)sqlite3_column_text(q, (int)i);

        if (columns[i].type == COLUMN_INT)
            *(int64_t *)at = sqlite3_column_int64(q, (int)i);
        else if (columns[i].type == COLUMN_ID)
            snprintf(at, ID_LENGTH + 1, "%s", text ? text : "");
        else if (!(*(char **)at = strdup(text ? text : ""))) {
            record_done(&r);
            return -ENOMEM;
        }
    }
    *ret = r;
    return 0;
}

static int name_taken(struct store *s, const char *name, char *ret_holder, struct wharf_error *e)
{
    autorecord struct record holder = { 0 };

    ret_holder[0] = '\0';
    if (store_find(s, name, 0, &holder, NULL) == 0)
        snprintf(ret_holder, ID_LENGTH + 1, "%s", holder.id);
    return err_set(
        e, -EEXIST, WHARF_ERROR_CONFLICT,
        "Conflict. The container name \"/%s\" is already in use by container \"%s\". You "
        "have to remove (or rename) that container to be able to reuse that name.",
        name, ret_holder);
}

int store_insert(struct store *s, const struct record *r, char *ret_holder, struct wharf_error *e)
{
    autobuf struct buf b = BUF(STORE_SQL_MAX);
    autostatement sqlite3_stmt *q = NULL;

    buf_str(&b, "INSERT INTO container VALUES(");
    for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
        buf_str(&b, i ? ",?" : "?");
    buf_char(&b, ')');
    if (b.error || db_prepare(s->db, b.data, &q, e) < 0)
        return b.error ? err_nomem(e) : -EIO;
    bind_record(q, r);
    int code = sqlite3_step(q);
    if (code == SQLITE_CONSTRAINT)
        return name_taken(s, r->name, ret_holder, e);
    return code == SQLITE_DONE ? 0 : store_error(s, e);
}

int store_update(struct store *s, const struct record *r, struct wharf_error *e)
{
    autobuf struct buf b = BUF(STORE_SQL_MAX);
    autostatement sqlite3_stmt *q = NULL;

    buf_str(&b, "UPDATE container SET ");
    for (size_t i = 1; i < ARRAY_SIZE(columns); i++) {
        if (!streq(columns[i].name, "revision"))
            buf_printf(&b, "%s=?%zu,", columns[i].name, i + 1);
    }
    buf_str(&b, "revision=revision+1 WHERE id=?1");
    if (b.error || db_prepare(s->db, b.data, &q, e) < 0)
        return b.error ? err_nomem(e) : -EIO;
    bind_record(q, r);
    return sqlite3_step(q) == SQLITE_DONE ? 0 : store_error(s, e);
}

/* A statement whose only parameter is an id. */
static int run_on(struct store *s, const char *sql, const char *id, struct wharf_error *e)
{
    autostatement sqlite3_stmt *q = NULL;

    if (db_prepare(s->db, sql, &q, e) < 0)
        return -EIO;
    sqlite3_bind_text(q, 1, id, -1, SQLITE_STATIC);
    return sqlite3_step(q) == SQLITE_DONE ? 0 : store_error(s, e);
}

int store_touch(struct store *s, const char *id, struct wharf_error *e)
{
    return run_on(s, "UPDATE container SET revision=revision+1 WHERE id=?1", id, e);
}

int store_delete(struct store *s, const char *id, struct wharf_error *e)
{
    return run_on(s, "DELETE FROM container WHERE id=?1", id, e);
}

/* Runs "SELECT ... WHERE <where> AND owner"; at most two records into `found`. */
static int select_two(struct store *s, const char *where, const char *reference, int64_t owner,
                      struct record found[2], struct wharf_error *e)
{
    autobuf struct buf b = BUF(STORE_SQL_MAX);
    autostatement sqlite3_stmt *q = NULL;
    int count = 0, code = SQLITE_DONE;

    buf_str(&b, "SELECT ");
    sql_columns(&b, "");
    buf_printf(&b, " FROM container WHERE %s AND (?2=0 OR owner=?2) LIMIT 2", where);
    if (b.error || db_prepare(s->db, b.data, &q, e) < 0)
        return b.error ? err_nomem(e) : -EIO;
    sqlite3_bind_text(q, 1, reference, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 2, owner);
    while (count < 2 && (code = sqlite3_step(q)) == SQLITE_ROW) {
        if (read_record(q, &found[count]) < 0)
            return err_nomem(e);
        count++;
    }
    return code == SQLITE_ROW || code == SQLITE_DONE ? count : store_error(s, e);
}

static bool is_hex(const char *s)
{
    return *s && s[strspn(s, "0123456789abcdef")] == '\0';
}

int store_find(struct store *s, const char *reference, int64_t owner, struct record *ret,
               struct wharf_error *e)
{
    const char *name = reference[0] == '/' ? reference + 1 : reference;
    struct record found[2] = { 0 };
    int count = select_two(s, "(id=?1 OR name=?1)", name, owner, found, e);

    if (count == 0 && is_hex(name))
        count = select_two(s, "id>=?1 AND id<?1||'g'", name, owner, found, e);
    if (count == 1) {
        *ret = found[0];
        return 0;
    }
    record_done(&found[0]);
    record_done(&found[1]);
    if (count < 0)
        return count;
    if (count > 1)
        return err_set(e, -ENOTUNIQ, WHARF_ERROR_INVALID,
                       "Multiple IDs found with provided prefix: %s", reference);
    return err_not_found(e, "No such container: %s", reference);
}

int store_each(struct store *s, int64_t owner, int (*each)(void *user, struct record *r),
               void *user, struct wharf_error *e)
{
    autobuf struct buf b = BUF(STORE_SQL_MAX);
    autostatement sqlite3_stmt *q = NULL;
    int code;

    buf_str(&b, "SELECT ");
    sql_columns(&b, "");
    buf_str(&b, " FROM container WHERE ?1=0 OR owner=?1 ORDER BY created_ns DESC");
    if (b.error || db_prepare(s->db, b.data, &q, e) < 0)
        return b.error ? err_nomem(e) : -EIO;
    sqlite3_bind_int64(q, 1, owner);
    while ((code = sqlite3_step(q)) == SQLITE_ROW) {
        autorecord struct record r = { 0 };

        if (read_record(q, &r) < 0)
            return err_nomem(e);
        int stop = each(user, &r);
        if (stop != 0)
            return stop;
    }
    return code == SQLITE_DONE ? 0 : store_error(s, e);
}

int64_t store_stamp(struct store *s)
{
    /* data_version tells of other connections' commits, total_changes of our own */
    autostatement sqlite3_stmt *q = NULL;

    if (db_prepare(s->db, "PRAGMA data_version", &q, NULL) < 0 || sqlite3_step(q) != SQLITE_ROW)
        return 0;
    return sqlite3_column_int64(q, 0) << 32 ^ sqlite3_total_changes64(s->db);
}

int store_each_revision(struct store *s, int (*each)(void *user, const char *id, int64_t revision),
                        void *user, struct wharf_error *e)
{
    autostatement sqlite3_stmt *q = NULL;
    int code, r = db_prepare(s->db,
                             "SELECT id, revision FROM container ORDER BY created_ns DESC, "
                             "id",
                             &q, e);

    if (r < 0)
        return r;
    while (r == 0 && (code = sqlite3_step(q)) == SQLITE_ROW)
        r = each(user, (const char *)sqlite3_column_text(q, 0), sqlite3_column_int64(q, 1));
    return r != 0 || code == SQLITE_DONE ? r : store_error(s, e);
}
