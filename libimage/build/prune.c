/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pruning: records of the cache go, oldest use first; then what only they kept is collected. A
 * record that a build is just using does no harm by going: the build holds the lease, and what it
 * names stays until that ends.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "base/str.h"
#include "libimage/build/work.h"

enum { RECORDS_MAX = 1 << 20, RECORD_TEXT_MAX = 4096 };

struct aged {
    char key[KEY_MAX];
    int64_t used;  /* seconds since 1970 */
    int64_t bytes; /* of its blob */
};

struct ages {
    struct aged *items;
    size_t count, room;
};

static int compare(const void *a, const void *b)
{
    const struct aged *x = a, *y = b;

    return x->used < y->used ? 1 : x->used > y->used ? -1 : strcmp(x->key, y->key);
}

static int64_t bytes_of(int dir, const char *key)
{
    autofree char *text = NULL;
    autojson json_t *j = NULL;
    ssize_t n = file_read(dir, key, RECORD_TEXT_MAX, &text);

    if (n <= 0 || json_read(text, (size_t)n, JSON_LIMITS, "record", &j, NULL) < 0)
        return 0;
    return json_integer_value(json_object_get(j, "size"));
}

static int note(struct ages *ages, int dir, const char *name)
{
    struct stat st;
    struct aged *a;

    if (strlen(name) != KEY_MAX - 1 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    if (ages->count == ages->room) {
        size_t room = ages->room ? 2 * ages->room : 256;
        struct aged *items = room > RECORDS_MAX ? NULL : realloc(ages->items, room * sizeof(*a));

        if (!items)
            return -ENOMEM;
        ages->items = items;
        ages->room = room;
    }
    a = &ages->items[ages->count++];
    memcpy(a->key, name, KEY_MAX);
    a->used = st.st_mtime;
    a->bytes = bytes_of(dir, name);
    return 0;
}

static int read_ages(struct ages *ages, int parent)
{
    int fd = openat(parent, "build", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!dir) {
        r = -errno;
        fd_close(fd);
        return r == -ENOENT ? 0 : r;
    }
    while (r == 0 && (entry = readdir(dir)))
        r = note(ages, dirfd(dir), entry->d_name);
    closedir(dir);
    if (ages->count > 1)
        qsort(ages->items, ages->count, sizeof(*ages->items), compare);
    return r;
}

/* Newest first: what does not fit any more goes. */
static int drop(const struct ages *ages, int parent, const struct build_prune_options *o)
{
    autoclose int dir = openat(parent, "build", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int64_t kept = 0, now = time(NULL);

    for (size_t i = 0; dir >= 0 && i < ages->count; i++) {
        const struct aged *a = &ages->items[i];
        bool gone = o->all || (o->older > 0 && a->used < now - o->older);

        kept += a->bytes;
        gone |= o->keep > 0 && kept > o->keep;
        if (!gone)
            continue;
        if (unlinkat(dir, a->key, 0) < 0 && errno != ENOENT)
            return -errno;
        if (o->deleted)
            o->deleted(a->key, o->arg);
    }
    return 0;
}

int build_prune(struct image_store *store, const struct build_prune_options *options,
                int64_t *ret_bytes, struct wharf_error *e)
{
    struct build_prune_options o = { 0 };
    struct ages ages = { 0 };
    int r;

    memcpy(&o, options, MIN(options->size, sizeof(o)));
    r = read_ages(&ages, store->private);
    if (r == 0)
        r = drop(&ages, store->private, &o);
    free(ages.items);
    if (r < 0)
        return err_code(e, r, "cannot prune the build cache of '%s'", store->path);
    if (o.mounts)
        path_remove_tree(store->private, "caches");
    return image_collect(store, 0, ret_bytes, e);
}
