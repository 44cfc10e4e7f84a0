/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes: directories that outlive containers. A store is a directory ROOT: `volumes.db` says
 * which volumes there are and who uses them, `volumes/NAME/_data` is what a container sees. The
 * local driver is the only one; with the options type, o and device the directory is a mount point,
 * mounted by the first use and unmounted by the removal (mount(8)'s words, as docker's driver).
 *
 *     struct volume v;
 *     volume_store_open(&store, "/var/lib/wharf", &e);
 *     volume_create(store, &(struct volume_spec){ .name = "data" }, &v, &e);
 *     volume_use(store, v.name, container_id, &e);      from now on nobody removes it
 *     fd = volume_mount(store, v.name, NULL, &e);        O_PATH of the directory
 *     volume_release(store, container_id, false, &e);    when the container is removed
 *     volume_done(&v);
 *
 * Any number of processes may work on one store and be killed at any moment: rows change in
 * transactions, a directory that is to go is renamed first and swept by whoever comes next.
 * `owner` is a uid; 0 sees all, others see their own and nothing of the rest.
 */
#ifndef VOLUME_H
#define VOLUME_H

#include "base/fields.h"
#include "base/json.h"

#define VOLUME_NAME_MAX    255
#define VOLUME_OPTIONS_MAX 4096                          /* bytes of o= */
#define VOLUME_ANONYMOUS   "com.docker.volume.anonymous" /* the label that says so */

struct volume_store;

struct volume {
    char *name, *mountpoint;
    json_t *options, *labels; /* objects of strings, perhaps empty */
    int64_t owner, created_ns;
    int64_t use_count;
};
void volume_done(struct volume *v);
static inline bool volume_is_anonymous(const struct volume *v)
{
    return json_object_get(v->labels, VOLUME_ANONYMOUS) != NULL;
}

int volume_store_open(struct volume_store **ret, const char *root, struct wharf_error *e);
void volume_store_close(struct volume_store *s);
DEFINE_AUTO(struct volume_store, volume_store_close)

struct volume_spec {
    const char *name;   /* NULL or "": 64 hexadecimal digits, anonymous */
    const char *driver; /* NULL, "" or local */
    int64_t owner;
    field_pairs options, labels;
};
/* The new volume, or the one of that name that is there. `ret` (volume_done it) may be NULL;
 * *ret_new (may be NULL) tells which. -EINVAL, -ENOENT (no such driver), -EEXIST (another owner's).
 */
int volume_create(struct volume_store *s, const struct volume_spec *spec, struct volume *ret,
                  bool *ret_new, struct wharf_error *e);

/* -ENOENT "get X: no such volume" */
int volume_find(struct volume_store *s, int64_t owner, const char *name, struct volume *ret,
                struct wharf_error *e);
/* By name; `each` may keep nothing of it; non-zero stops and is returned. */
int volume_each(struct volume_store *s, int64_t owner,
                int (*each)(void *user, const struct volume *v), void *user, struct wharf_error *e);

/* -EBUSY "remove X: volume is in use - [ID, ..]"; `force`: one that is not there is fine. */
int volume_remove(struct volume_store *s, int64_t owner, const char *name, bool force,
                  struct wharf_error *e);

/* `user` (a container's id) uses the volume until it is released; twice is once. -ENOENT */
int volume_use(struct volume_store *s, const char *name, const char *user, struct wharf_error *e);
/* Ends all uses of `user`; with `anonymous` removes the anonymous volumes nobody uses then. */
int volume_release(struct volume_store *s, const char *user, bool anonymous, struct wharf_error *e);

/* The directory as a container gets it, O_PATH, its mount made if it has one. `subpath` NULL or "":
 * all of it; else a path below that exists and cannot lead out. Descriptor or -errno. */
int volume_mount(struct volume_store *s, const char *name, const char *subpath,
                 struct wharf_error *e);

/* Fills an empty volume with what the directory `source` holds, with its owner and mode; one that
 * holds something stays as it is. A kill in between leaves a part, and the rest is not made up. */
int volume_copy_up(struct volume_store *s, const char *name, int source, struct wharf_error *e);

/* ---- in the Docker API's forms --------------------------------------------------------------- */

/* One volume; `usage`: with UsageData, whose size is counted on the disk. NULL: out of memory. */
json_t *volume_json(const struct volume *v, bool usage);

/* {"Volumes":[..],"Warnings":null}; `filters` {"name":["v"]} or NULL: dangling driver label name.
 * -EINVAL "invalid filter 'x'" */
int volume_list_json(struct volume_store *s, int64_t owner, const json_t *filters, bool usage,
                     json_t **ret, struct wharf_error *e);

/* {"VolumesDeleted":[..],"SpaceReclaimed":n}; unused anonymous ones, with the filter all also named
 * ones. Filters: all label label!. */
int volume_prune_json(struct volume_store *s, int64_t owner, const json_t *filters, json_t **ret,
                      struct wharf_error *e);

#endif
