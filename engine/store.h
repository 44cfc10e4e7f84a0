/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of containers: one SQLite database per root directory, in WAL mode, shared by any
 * number of processes. It holds what was asked for and what happened, never what is happening:
 * whether a container runs is told by its shim's lock (lock.h), and repair.c brings the two
 * together.
 *
 * Nothing here syncs the disk on its own: a commit survives any process, and a power cut costs at
 * most the last few changes (synchronous=NORMAL), never the database.
 */
#ifndef ENGINE_STORE_H
#define ENGINE_STORE_H

#include "base/err.h"
#include "base/macros.h"
#include "engine/lock.h"

struct store;

enum state {
    STATE_CREATING, /* a create is in progress, or was killed */
    STATE_CREATED,
    STATE_STARTING, /* a start is in progress, or was killed */
    STATE_RUNNING,
    STATE_PAUSED,
    STATE_EXITED,
    STATE_REMOVING,   /* a removal is in progress, or was killed */
    STATE_RESTARTING, /* never stored: its shim will run it again (repair.c) */
};
const char *state_name(enum state state); /* docker's word */

struct record {
    char id[ID_LENGTH + 1];
    char *name;
    char *image;        /* as it was asked for */
    char *image_id;     /* sha256:... */
    char *command;      /* what runs, in one line */
    char *settings;     /* settings.h as JSON */
    char *error;        /* why the last start failed; may be "" */
    int64_t owner;      /* uid */
    int64_t state;      /* enum state */
    int64_t generation; /* how often it was started */
    int64_t created_ns, started_ns, finished_ns;
    int64_t exit_code, pid, oom_killed;
    int64_t auto_remove;
    char *mounts;     /* mounts.h as JSON; "" before they are known */
    int64_t revision; /* counts the changes of this record */
    /* not stored, from the shim of a running one (repair.c): */
    int64_t restarts, health; /* how often by its policy, while it runs; enum shim_health */
};

void record_done(struct record *r);
static inline void record_free(struct record *r)
{
    record_done(r);
}
#define autorecord __attribute__((cleanup(record_done)))

int store_open(struct store **ret, const char *path, struct wharf_error *e);
void store_close(struct store *s);

/* -EEXIST: the name is taken; ret_holder (ID_LENGTH + 1 bytes) tells by whom. */
int store_insert(struct store *s, const struct record *r, char *ret_holder, struct wharf_error *e);

/* Writes back everything but id, owner and settings. */
int store_update(struct store *s, const struct record *r, struct wharf_error *e);
/* Something that belongs to the record and stands elsewhere has changed: a new revision. */
int store_touch(struct store *s, const char *id, struct wharf_error *e);
int store_delete(struct store *s, const char *id, struct wharf_error *e);

/* By id, name, or unique beginning of an id; only what belongs to `owner` (0 sees all).
 * -ENOENT, -ENOTUNIQ, both with docker's texts. */
int store_find(struct store *s, const char *reference, int64_t owner, struct record *ret,
               struct wharf_error *e);

/* Changes when the database has changed, by whomever; cheap. 0: cannot tell. */
int64_t store_stamp(struct store *s);

/* Ids and revisions of all records, newest first. */
int store_each_revision(struct store *s, int (*each)(void *user, const char *id, int64_t revision),
                        void *user, struct wharf_error *e);

/* Newest first; stops when `each` returns non-zero and returns that. `each` may take the record's
 * strings (they are freed afterwards otherwise) and may change the store. */
int store_each(struct store *s, int64_t owner, int (*each)(void *user, struct record *r),
               void *user, struct wharf_error *e);

#endif
