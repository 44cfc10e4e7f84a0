/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a tree in overlayfs form to the tar of a layer. [I layer; O "whiteouts and opaque
 * directories"] Names in the order of their bytes, what hides something before its neighbours; of
 * hard links the first is the file; sockets are left out; of extended attributes, those that
 * extraction would take. Nobody else sees the tree: what was listed is still there when it is read.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include "base/fd.h"
#include "base/str.h"
#include "libimage/build/sink.h"
#include "libimage/build/work.h"

enum { NAMES_MAX = 64 << 20, READ_SIZE = 256 << 10 };

struct diff {
    struct job *job;
    struct sink *sink;
    int64_t entries, bytes;
    int64_t epoch;
    char *buffer;
    struct buf xattrs;
    json_t *links; /* "dev:ino" -> path of the first */
    struct wharf_error *e;
    char path[IMAGE_PATH_MAX + 300]; /* of what is being written */
};

static int fail(struct diff *d, int r, const char *verb)
{
    return err_code(d->e, r, "cannot %s '%.200s'", verb, d->path);
}

/* ---- names ----------------------------------------------------------------------------------- */

struct names {
    struct buf text;
    char **sorted;
    size_t count;
};

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_done(struct names *n)
{
    buf_done(&n->text);
    free(n->sorted);
}
#define autonames __attribute__((cleanup(names_done)))

static int names_read(struct names *n, int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    char *p;

    if (!stream) {
        int r = -errno;

        fd_close(fd);
        return r;
    }
    while ((entry = readdir(stream))) {
        if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
            continue;
        buf_add(&n->text, entry->d_name, strlen(entry->d_name) + 1);
        n->count++;
    }
    closedir(stream);
    if (n->text.error)
        return n->text.error;
    n->sorted = calloc(n->count + 1, sizeof(*n->sorted));
    if (!n->sorted)
        return -ENOMEM;
    p = n->text.data;
    for (size_t i = 0; i < n->count; i++, p += strlen(p) + 1)
        n->sorted[i] = p;
    if (n->count > 1)
        qsort(n->sorted, n->count, sizeof(*n->sorted), compare);
    return 0;
}

/* ---- one entry ------------------------------------------------------------------------------- */

static bool xattr_wanted(const char *name)
{
    return !str_after(name, "user.overlay.") &&
           (str_after(name, "user.") || streq(name, "security.capability") ||
            str_after(name, "system.posix_acl_"));
}

/* By path: nothing is opened that is no file or directory. */
static int read_xattrs(struct diff *d, int dir, const char *name)
{
    char path[300 + 64], list[8192];
    ssize_t n;

    buf_reset(&d->xattrs);
    snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, name);
    n = llistxattr(path, list, sizeof(list));
    if (n < 0)
        return errno == EOPNOTSUPP || errno == ENOENT ? 0 : -errno;
    for (const char *p = list; p < list + n; p += strlen(p) + 1) {
        uint32_t len;
        ssize_t got;
        char *at;

        if (!xattr_wanted(p))
            continue;
        buf_add(&d->xattrs, p, strlen(p) + 1);
        at = buf_reserve(&d->xattrs, sizeof(len) + IMAGE_XATTR_MAX);
        got = at ? lgetxattr(path, p, at + sizeof(len), IMAGE_XATTR_MAX) : -1;
        if (got < 0)
            return at ? -errno : -ENOMEM;
        len = (uint32_t)got;
        memcpy(at, &len, sizeof(len));
        d->xattrs.len += sizeof(len) + len;
    }
    return d->xattrs.error;
}

/* No time in a layer is later than SOURCE_DATE_EPOCH; the tree is given the same times. */
static int clamp(struct diff *d, int dir, const char *name, struct stat *st)
{
    struct timespec times[2] = { { d->epoch, 0 }, { d->epoch, 0 } };

    if (d->epoch < 0 || st->st_mtime <= d->epoch)
        return 0;
    st->st_mtime = d->epoch;
    return utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int put_file(struct diff *d, int dir, const char *name, int64_t size)
{
    autoclose int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int r = fd < 0 ? -errno : 0;

    while (r == 0 && size > 0) {
        ssize_t n = read(fd, d->buffer, (size_t)MIN(size, (int64_t)READ_SIZE));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            r = n < 0 ? -errno : -EIO;
            break;
        }
        r = sink_data(d->sink, d->buffer, (size_t)n, d->e);
        if (r < 0)
            return r;
        size -= n;
    }
    return r < 0 ? fail(d, r, "read") : 0;
}

/* The path of an earlier link to the same file, or NULL and this one is remembered. */
static const char *earlier_link(struct diff *d, const struct stat *st)
{
    char key[64];
    const char *first;

    snprintf(key, sizeof(key), "%llx:%llx", (unsigned long long)st->st_dev,
             (unsigned long long)st->st_ino);
    first = json_string_value(json_object_get(d->links, key));
    if (!first)
        json_object_set_new_nocheck(d->links, key, json_stringn_nocheck(d->path, strlen(d->path)));
    return first;
}

static int put_entry(struct diff *d, const struct tar_member *entry)
{
    int64_t limit = d->job->store->limits.layer_entries;

    if (++d->entries > limit)
        return err_set(d->e, -EFBIG, WHARF_ERROR_LIMIT,
                       "a layer has more than %lld entries (limit layer_entries)",
                       (long long)limit);
    return sink_entry(d->sink, entry, d->e);
}

static int put_other(struct diff *d, int dir, const char *name, const struct stat *st)
{
    struct tar_member entry = { .name = d->path, .st = *st, .xattrs = &d->xattrs };
    char target[IMAGE_PATH_MAX + 1];
    int r = read_xattrs(d, dir, name);

    if (r < 0)
        return fail(d, r, "read the attributes of");
    if (S_ISLNK(st->st_mode)) {
        ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);

        if (n < 0)
            return fail(d, -errno, "read");
        target[n] = 0;
        entry.link = target;
    }
    if (S_ISREG(st->st_mode) && st->st_nlink > 1) {
        entry.link = earlier_link(d, st);
        entry.hard = entry.link != NULL;
        if (entry.hard)
            entry.xattrs = NULL;
    }
    r = put_entry(d, &entry);
    if (S_ISREG(st->st_mode) && !entry.hard)
        d->bytes += st->st_size;
    if (r == 0 && S_ISREG(st->st_mode) && !entry.hard && st->st_size > 0)
        r = put_file(d, dir, name, st->st_size);
    return r;
}

/* `.wh.NAME`, or `.wh..wh..opq` for NULL, in the directory d->path[0..len). */
static int put_whiteout(struct diff *d, size_t len, const char *name, const struct stat *st)
{
    char path[IMAGE_PATH_MAX + 300];
    struct tar_member entry = { .name = path, .st = { .st_mode = S_IFREG } };

    entry.st.st_mtime = d->epoch >= 0 ? MIN(st->st_mtime, d->epoch) : st->st_mtime;
    snprintf(path, sizeof(path), "%.*s%s.wh.%s", (int)len, d->path, len ? "/" : "",
             name ? name : ".wh..opq");
    return put_entry(d, &entry);
}

/* ---- directories ----------------------------------------------------------------------------- */

static bool is_whiteout(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static bool is_opaque(int fd)
{
    char value[4];

    return fgetxattr(fd, "trusted.overlay.opaque", value, sizeof(value)) > 0 ||
           fgetxattr(fd, "user.overlay.opaque", value, sizeof(value)) > 0;
}

static int put_directory(struct diff *d, int dir, size_t len);

static int put_child(struct diff *d, int dir, size_t len, const char *name, struct stat *st)
{
    int n = snprintf(d->path + len, sizeof(d->path) - len, "%s%s", len ? "/" : "", name), r;

    if (len + (size_t)n > IMAGE_PATH_MAX)
        return err_set(d->e, -ENAMETOOLONG, WHARF_ERROR_LIMIT, "'%.80s..': the path is too long",
                       d->path);
    r = clamp(d, dir, name, st);
    if (r == 0)
        r = put_other(d, dir, name, st);
    else
        r = fail(d, r, "set the time of");
    if (r == 0 && S_ISDIR(st->st_mode)) {
        autoclose int child = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        r = child < 0 ? fail(d, -errno, "open") : put_directory(d, child, len + (size_t)n);
        if (r == 0 && d->epoch >= 0)
            clamp(d, dir, name, st);
    }
    d->path[len] = 0;
    return r;
}

static int put_directory(struct diff *d, int dir, size_t len)
{
    autonames struct names names = { .text = BUF(NAMES_MAX) };
    struct stat st;
    int r = job_check(d->job, d->e);

    if (r < 0)
        return r;
    r = names_read(&names, dir);
    if (r == 0 && fstat(dir, &st) < 0)
        r = -errno;
    if (r < 0)
        return fail(d, r, "read");
    if (is_opaque(dir))
        r = put_whiteout(d, len, NULL, &st);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < names.count && r == 0; i++) {
            if (fstatat(dir, names.sorted[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
                return fail(d, -errno, "look at");
            if (pass == 0 && is_whiteout(&st))
                r = put_whiteout(d, len, names.sorted[i], &st);
            else if (pass == 1 && !is_whiteout(&st) && !S_ISSOCK(st.st_mode))
                r = put_child(d, dir, len, names.sorted[i], &st);
        }
    }
    return r;
}

/* The root itself stands in the layer only if it is not as below. */
static int put_root(struct diff *d, int tree, int top)
{
    struct stat have, below = { .st_mode = S_IFDIR | 0755 };
    struct tar_member entry = { .name = "." };

    if (fstat(tree, &have) < 0 || (top >= 0 && fstat(top, &below) < 0))
        return fail(d, -errno, "look at the root of");
    if (have.st_mode == below.st_mode && have.st_uid == below.st_uid && have.st_gid == below.st_gid)
        return 0;
    entry.st = have;
    if (d->epoch >= 0)
        entry.st.st_mtime = MIN(have.st_mtime, d->epoch);
    return put_entry(d, &entry);
}

static int write_all(struct diff *d, int tree, int top, struct layer_ref *ret)
{
    int r = put_root(d, tree, top);

    if (r == 0)
        r = put_directory(d, tree, 0);
    if (r == 0)
        r = sink_end(d->sink, &ret->diff, &ret->blob, &ret->size, d->e);
    ret->bytes = d->bytes;
    ret->entries = d->entries;
    snprintf(ret->media_type, sizeof(ret->media_type), "%s+gzip", MEDIA_LAYER);
    return r;
}

int diff_write(struct job *job, int tree, int top, struct layer_ref *ret, bool *ret_empty,
               struct wharf_error *e)
{
    autojson json_t *links = json_object();
    auto_of(sink_free) struct sink *sink = NULL;
    autofree char *buffer = malloc(READ_SIZE);
    autobuf struct buf xattrs = BUF(TAR_XATTRS_MAX);
    struct diff *d = calloc(1, sizeof(*d));
    char name[INTAKE_NAME_MAX];
    autoclose int fd = intake_create(&job->intake, name, e);
    int r = fd < 0 ? fd : sink_open(&sink, fd, e);

    if (r == 0 && (!links || !buffer || !d))
        r = err_nomem(e);
    if (r == 0) {
        *d = (struct diff){
            .job = job, .sink = sink, .epoch = job->epoch, .buffer = buffer, .links = links, .e = e
        };
        d->xattrs = xattrs;
        r = write_all(d, tree, top, ret);
        xattrs = d->xattrs;
    }
    *ret_empty = r == 0 && d->entries == 0;
    free(d);
    if (r < 0 || *ret_empty) {
        if (fd >= 0)
            unlinkat(job->intake.dir, name, 0);
        return MIN(r, 0);
    }
    pthread_mutex_lock(&job->lock);
    r = intake_name_blob(&job->intake, name, &ret->blob);
    if (r == 0)
        r = intake_want_blob(&job->intake, &ret->blob);
    pthread_mutex_unlock(&job->lock);
    return r < 0 ? err_code(e, r, "cannot write to image store '%s'", job->store->path) : 0;
}
