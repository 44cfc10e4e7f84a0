/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pruning: records of the cache and directories of RUN --mount=type=cache go, oldest use first;
 * then what only they kept is collected. A record that a build is just using does no harm by going:
 * the build holds the lease, and what it names stays until that ends. A directory that is in use is
 * locked, and stays.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include "base/fd.h"
#include "base/str.h"
#include "libimage/build/work.h"

#define STAMP "collected" /* layers/collected: when build_collect was last at work */

enum { AGED_MAX = 1 << 20, AGED_NAME_MAX = KEY_MAX + 8, RECORD_TEXT_MAX = 4096 };

struct aged {
    char name[AGED_NAME_MAX]; /* a record's key, a directory's name */
    bool mount;
    int64_t used; /* seconds since 1970 */
    int64_t bytes;
};

struct ages {
    struct aged *items;
    size_t count, room;
    int records, mounts; /* directories; -1: not there */
    bool sizes;          /* of mounts too, which takes long */
};

static int compare(const void *a, const void *b)
{
    const struct aged *x = a, *y = b;

    return x->used < y->used ? 1 : x->used > y->used ? -1 : strcmp(x->name, y->name);
}

static int add(struct ages *ages, struct aged item)
{
    if (ages->count == ages->room) {
        size_t room = ages->room ? 2 * ages->room : 256;
        struct aged *items = room > AGED_MAX ? NULL : realloc(ages->items, room * sizeof(*items));

        if (!items)
            return -ENOMEM;
        ages->items = items;
        ages->room = room;
    }
    ages->items[ages->count++] = item;
    return 0;
}

/* Of its blob, and of the layer that was unpacked or made before it. */
static int64_t bytes_of(struct image_store *store, int dir, const char *key)
{
    autofree char *text = NULL, *layer = NULL;
    autojson json_t *record = NULL, *unpacked = NULL;
    ssize_t n = file_read(dir, key, RECORD_TEXT_MAX, &text);
    const char *chain;
    char path[300];

    if (n <= 0 || json_read(text, (size_t)n, JSON_LIMITS, "record", &record, NULL) < 0)
        return 0;
    chain = json_string_value(json_object_get(record, "chain"));
    chain = chain ? strchr(chain, ':') : NULL;
    snprintf(path, sizeof(path), "%.200s/layer.json", chain ? chain + 1 : "none");
    n = chain ? file_read(store->layers, path, RECORD_TEXT_MAX, &layer) : 0;
    if (n > 0)
        json_read(layer, (size_t)n, JSON_LIMITS, "layer", &unpacked, NULL);
    return json_integer_value(json_object_get(record, "size")) +
           json_integer_value(json_object_get(unpacked, "bytes"));
}

static int note_record(struct image_store *store, struct ages *ages, const char *name)
{
    struct aged item = { 0 };
    struct stat st;

    if (strlen(name) != KEY_MAX - 1 || fstatat(ages->records, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    memcpy(item.name, name, KEY_MAX);
    item.used = st.st_mtime;
    item.bytes = bytes_of(store, ages->records, name);
    return add(ages, item);
}

/* `name` is that of a lock, whose time is the time of use; the directory is called so without. */
static int note_mount(struct image_store *store, struct ages *ages, const char *name)
{
    const char *dot = strstr(name, ".lock");
    struct aged item = { .mount = true };
    struct stat st;

    if (!dot || (size_t)(dot - name) >= sizeof(item.name) ||
        fstatat(ages->mounts, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    memcpy(item.name, name, (size_t)(dot - name));
    item.used = st.st_mtime;
    autoclose int dir = openat(ages->mounts, item.name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return 0;
    item.bytes = ages->sizes ? path_tree_size(dir) : 0;
    return add(ages, item);
}

static int each(struct image_store *store, struct ages *ages, int fd,
                int (*note)(struct image_store *store, struct ages *ages, const char *name))
{
    int listed = fd < 0 ? -1 : openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *dir = listed < 0 ? NULL : fdopendir(listed);
    struct dirent *entry;

    if (!dir) {
        fd_close(listed);
        return 0;
    }
    while (r == 0 && (entry = readdir(dir)))
        r = note(store, ages, entry->d_name);
    closedir(dir);
    return r;
}

static void ages_done(struct ages *ages)
{
    fd_close(ages->records);
    fd_close(ages->mounts);
    free(ages->items);
}

static int ages_read(struct image_store *store, struct ages *ages)
{
    int r;

    ages->records = openat(store->private, "build", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ages->mounts = openat(store->private, "caches", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = each(store, ages, ages->records, note_record);
    if (r == 0)
        r = each(store, ages, ages->mounts, note_mount);
    if (ages->count > 1)
        qsort(ages->items, ages->count, sizeof(*ages->items), compare);
    return r;
}

/* 1: it is gone; 0: it is in use. */
static int drop_mount(const struct ages *ages, const struct aged *a)
{
    char path[AGED_NAME_MAX + 8];
    int r;

    snprintf(path, sizeof(path), "%s.lock", a->name);
    autoclose int lock = openat(ages->mounts, path, O_RDWR | O_CLOEXEC);
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
        return 0;
    r = path_remove_tree(ages->mounts, a->name);
    return r < 0 ? r : 1;
}

static int drop_one(const struct ages *ages, const struct aged *a)
{
    if (a->mount)
        return drop_mount(ages, a);
    return unlinkat(ages->records, a->name, 0) < 0 && errno != ENOENT ? -errno : 1;
}

/* Newest first: what does not fit any more goes. */
static int drop(const struct ages *ages, const struct build_prune_options *o)
{
    int64_t kept = 0, now = time(NULL);
    int r = 0;

    for (size_t i = 0; r >= 0 && i < ages->count; i++) {
        const struct aged *a = &ages->items[i];
        bool gone = a->mount ? o->mounts : o->all;

        kept += a->bytes;
        gone |= !a->mount && o->older > 0 && a->used < now - o->older;
        gone |= o->keep > 0 && kept > o->keep;
        r = gone ? drop_one(ages, a) : 0;
        if (r > 0 && o->deleted)
            o->deleted(a->name, o->arg);
        if (r > 0)
            kept -= a->bytes;
    }
    return MIN(r, 0);
}

int build_prune(struct image_store *store, const struct build_prune_options *options,
                int64_t *ret_bytes, struct wharf_error *e)
{
    __attribute__((cleanup(ages_done))) struct ages ages = { .records = -1, .mounts = -1 };
    struct build_prune_options o = { 0 };
    int r;

    memcpy(&o, options, MIN(options->size, sizeof(o)));
    ages.sizes = o.keep > 0;
    r = ages_read(store, &ages);
    if (r == 0)
        r = drop(&ages, &o);
    if (r < 0)
        return err_code(e, r, "cannot prune the build cache of '%s'", store->path);
    return image_collect(store, 0, ret_bytes, e);
}

/* ---- by itself ------------------------------------------------------------------------------- */

/* Whoever sets the stamp does it: of several processes one. */
static bool is_due(struct image_store *store)
{
    struct stat st;
    autoclose int fd = openat(store->private, STAMP, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0 ||
        (st.st_size > 0 && st.st_mtime > time(NULL) - BUILD_COLLECT_EVERY_S))
        return false;
    /* a new one is empty: a byte tells that its time is one of work */
    return pwrite(fd, "\n", 1, 0) == 1 && futimens(fd, NULL) == 0;
}

static int64_t part_of_disk(struct image_store *store)
{
    struct statvfs fs;

    return fstatvfs(store->root, &fs) < 0
               ? INT64_MAX
               : (int64_t)(fs.f_blocks / BUILD_KEEP_PART) * (int64_t)fs.f_frsize;
}

void build_collect(struct image_store *store, int64_t keep)
{
    struct build_prune_options o = { .size = sizeof(o), .keep = keep };

    if (o.keep <= 0)
        o.keep = part_of_disk(store);
    if (is_due(store))
        build_prune(store, &o, NULL, NULL);
}
