/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the volume library share. */
#ifndef VOLUME_INTERNAL_H
#define VOLUME_INTERNAL_H

#include "base/db.h"
#include "volume/volume.h"

#define VOLUMES_DIR "volumes"
#define DATA_DIR    "_data"
#define TRASH       ".trash-" /* no volume's name begins with a dot */

struct volume_store {
    sqlite3 *db;
    char *root; /* absolute path of VOLUMES_DIR */
    int dir;    /* the same, open */
};

/* directory.c: descriptor of volumes/NAME/_data, or -errno */
int directory_open(struct volume_store *s, const char *name);
int directory_make(struct volume_store *s, const char *name, struct wharf_error *e);
/* Takes it out of the way: the name in the trash goes to `ret` (of TRASH_NAME_MAX bytes). One that
 * is not there is fine ("" in ret). */
#define TRASH_NAME_MAX 64
int directory_discard(struct volume_store *s, const char *name, char *ret, struct wharf_error *e);
void directory_sweep(struct volume_store *s);
int64_t directory_size(struct volume_store *s, const char *name);
int directory_is_mounted(struct volume_store *s, const char *name);

/* options.c: type, o, device. -EINVAL: not ones that the local driver knows. */
int options_check(const json_t *options, struct wharf_error *e);
/* Mounts what the options say on the path; nothing when they say nothing. */
int options_mount(const struct volume *v, struct wharf_error *e);
bool options_need_mount(const json_t *options);

#endif
