/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a store, its locks, reading blobs. See store.h. */
#include "libimage/pending.h"
#include "base/fd.h"
#include "base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>

#define LAYOUT      "{\"imageLayoutVersion\":\"1.0.0\"}"
#define EMPTY_INDEX "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_INDEX "\",\"manifests\":[]}"

DEFINE_AUTO(struct image_store, image_store_free)

static const struct image_limits defaults = {
    .layer_bytes = INT64_C(64) << 30,
    .layer_entries = 4000000,
    .layer_devices = 4096,
    .ratio = 200,
    .ratio_after = 256 << 20,
    .archive_bytes = INT64_C(512) << 30,
};

static void set_limits(struct image_limits *to, const struct image_limits *from)
{
    const struct {
        int64_t *to, from, fallback;
    } table[] = {
        { &to->layer_bytes, from->layer_bytes, defaults.layer_bytes },
        { &to->layer_entries, from->layer_entries, defaults.layer_entries },
        { &to->layer_devices, from->layer_devices, defaults.layer_devices },
        { &to->ratio, from->ratio, defaults.ratio },
        { &to->ratio_after, from->ratio_after, defaults.ratio_after },
        { &to->archive_bytes, from->archive_bytes, defaults.archive_bytes },
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        *table[i].to = table[i].from > 0 ? table[i].from : table[i].fallback;
}

/* True in a user namespace that is not the first one: trusted.* attributes cannot be set there. */
static bool in_user_namespace(void)
{
    autofree char *map = NULL;

    if (file_read(AT_FDCWD, "/proc/self/uid_map", 4096, &map) < 0)
        return geteuid() != 0;
    return geteuid() != 0 || !strstr(map, "4294967295");
}

static int open_part(int dir, const char *name, mode_t mode, int *ret)
{
    int fd;

    fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        if (mkdirat(dir, name, mode) < 0 && errno != EEXIST)
            return -errno;
        fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd < 0)
        return -errno;
    *ret = fd;
    return 0;
}

static int make_parts(struct image_store *s, struct wharf_error *e)
{
    autoclose int blobs = -1, sha256 = -1;
    int r = open_part(s->root, "layers", 0700, &s->private);

    if (r == 0)
        r = open_part(s->private, "sha256", 0700, &s->layers);
    if (r == 0)
        r = open_part(s->private, "tmp", 0700, &s->temporary);
    if (r == 0)
        r = open_part(s->private, "roots", 0700, &s->roots);
    if (r == 0)
        r = open_part(s->root, "blobs", 0755, &blobs);
    if (r == 0)
        r = open_part(blobs, "sha256", 0755, &sha256);
    return r < 0 ? err_code(e, r, "cannot make image store '%s'", s->path) : 0;
}

/* An empty index first: an `oci-layout` promises that the rest is there. */
static int make_layout(struct image_store *s, struct wharf_error *e)
{
    autofree char *text = NULL;
    autojson json_t *layout = NULL;
    const char *version;
    ssize_t n;
    int r = 0;

    n = file_read(s->root, "oci-layout", 4096, &text);
    if (n == -ENOENT) {
        if (faccessat(s->root, "index.json", F_OK, 0) < 0)
            r = file_replace(s->root, "index.json", EMPTY_INDEX, strlen(EMPTY_INDEX), 0644, true);
        if (r == 0)
            r = file_replace(s->root, "oci-layout", LAYOUT, strlen(LAYOUT), 0644, true);
        return r < 0 ? err_code(e, r, "cannot make image store '%s'", s->path) : 0;
    }
    if (n < 0)
        return err_code(e, (int)n, "cannot read '%s/oci-layout'", s->path);
    r = json_read(text, (size_t)n, JSON_LIMITS, "oci-layout", &layout, e);
    if (r < 0)
        return r;
    version = json_text(layout, "imageLayoutVersion");
    if (!version || !str_after(version, "1."))
        return err_invalid(e, "'%s' is an image layout of version '%s', not 1", s->path,
                           version ? version : "");
    return 0;
}

int store_lock(struct image_store *s, const char *name, int operation)
{
    autoclose int fd = openat(s->private, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return -errno;
    while (flock(fd, operation) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return take_fd(&fd);
}

int store_lock_content(struct image_store *s, const char *name, const struct digest *digest,
                       bool wait, int *lock)
{
    struct flock range = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
    const char *hex = digest_hex(digest);

    for (int i = 0; i < 15; i++)
        range.l_start = range.l_start << 4 | (hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10);
    if (*lock < 0)
        *lock = openat(s->private, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    while (*lock >= 0 && fcntl(*lock, wait ? F_OFD_SETLKW : F_OFD_SETLK, &range) < 0) {
        if (errno != EINTR)
            return errno == EACCES ? -EWOULDBLOCK : -errno;
    }
    return *lock < 0 ? -errno : 0;
}

/* Removes what a directory holds: everything, or only names that begin so and end with ".tmp". */
static int sweep_directory(int parent, const char *prefix)
{
    int fd = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), first = 0;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!dir) {
        fd_close(fd);
        return -errno;
    }
    while ((entry = readdir(dir))) {
        const char *name = entry->d_name;
        int r = 0;

        if (prefix ? str_after(name, prefix) && str_ends(name, ".tmp")
                   : !streq(name, ".") && !streq(name, ".."))
            r = path_remove_tree(parent, name);
        if (r < 0 && first == 0)
            first = r;
    }
    closedir(dir);
    return first;
}

int store_sweep(struct image_store *s)
{
    int r = sweep_directory(s->temporary, NULL), q = sweep_directory(s->roots, "");

    return r < 0 ? r : q;
}

static int open_store(struct image_store *s, struct wharf_error *e)
{
    autoclose int lease = -1, lock = -1;
    int r = path_make_dirs(s->path, 0711);

    if (r < 0)
        return err_code(e, r, "cannot make '%s'", s->path);
    s->root = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->root < 0)
        return err_sys(e, "cannot open image store '%s'", s->path);
    r = make_parts(s, e);
    if (r < 0)
        return r;
    lock = store_lock(s, "index", LOCK_EX);
    r = lock < 0 ? err_code(e, lock, "cannot lock image store '%s'", s->path) : make_layout(s, e);
    if (r < 0)
        return r;
    sweep_directory(s->root, "index.json."); /* written under this lock only */
    lock = fd_close(lock);
    lease = store_lock(s, "lease", LOCK_EX | LOCK_NB);
    if (lease >= 0)
        store_sweep(s);
    lease = fd_close(lease);
    return pending_check(s, e);
}

int image_store_open(struct image_store **ret, const char *root,
                     const struct image_store_options *options, struct wharf_error *e)
{
    struct image_store_options o = { 0 };
    auto_of(image_store_free) struct image_store *s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return err_nomem(e);
    s->root = s->layers = s->temporary = s->roots = s->private = -1;
    if (options)
        memcpy(&o, options, MIN(options->size, sizeof(o)));
    set_limits(&s->limits, &o.limits);
    s->devices = o.devices;
    s->durable = o.durable;
    s->threads = o.threads > 0 ? o.threads : (int)MIN(sysconf(_SC_NPROCESSORS_ONLN), 4);
    s->user_xattr = in_user_namespace();
    s->path = *root == '/' ? path_clean(root) : NULL;
    if (!s->path && *root != '/') {
        autofree char *cwd = getcwd(NULL, 0), *joined = cwd ? str_format("%s/%s", cwd, root) : NULL;

        s->path = joined ? path_clean(joined) : NULL;
    }
    if (!s->path)
        return err_nomem(e);
    r = open_store(s, e);
    if (r == 0)
        *ret = take_ptr(&s);
    return r;
}

void image_store_free(struct image_store *s)
{
    if (!s)
        return;
    fd_close(s->root);
    fd_close(s->layers);
    fd_close(s->temporary);
    fd_close(s->roots);
    fd_close(s->private);
    free(s->path);
    free(s);
}

int store_open_blob(struct image_store *s, int staging, const struct digest *digest)
{
    char path[DIGEST_PATH_MAX + 8] = "blobs/";
    int fd = -1;

    if (staging >= 0)
        fd = openat(staging, digest->text, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    digest_path(digest, path + strlen("blobs/"));
    return path_open_plain(s->root, path, O_RDONLY, 0);
}

int store_read_blob(struct image_store *s, int staging, const struct digest *digest, size_t max,
                    char **ret, size_t *ret_len, struct wharf_error *e)
{
    autoclose int fd = store_open_blob(s, staging, digest);
    autobuf struct buf b = BUF(max);
    struct hasher h = { 0 };
    struct digest found;
    int r;

    if (fd < 0)
        return err_code(e, fd, "blob '%s' is not in the store", digest->text);
    r = fd_read_all(fd, &b);
    if (r < 0)
        return err_code(e, r, "cannot read blob '%s'", digest->text);
    r = hasher_init(&h, digest);
    if (r == 0) {
        hasher_add(&h, b.data ? b.data : "", b.len);
        hasher_end(&h, &found);
    }
    hasher_done(&h);
    if (r < 0)
        return err_nomem(e);
    if (!digest_equal(&found, digest))
        return err_set(e, -EBADMSG, WHARF_ERROR_CORRUPT, "blob '%s' is damaged: it has digest '%s'",
                       digest->text, found.text);
    *ret_len = b.len;
    *ret = buf_take(&b);
    return *ret ? 0 : err_nomem(e);
}

int store_drop_layer(struct image_store *s, const char *hex)
{
    char path[300];

    /* out of its place first: a kill in the middle must not leave half a layer there */
    snprintf(path, sizeof(path), "dead-%.200s", hex);
    if (renameat(s->layers, hex, s->temporary, path) < 0)
        return errno == ENOENT ? 0 : -errno;
    return path_remove_tree(s->temporary, path);
}

bool store_has_layer(struct image_store *s, const char *chain_id)
{
    return faccessat(s->layers, chain_id + strlen("sha256:"), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}
