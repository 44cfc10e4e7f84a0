/* SPDX-License-Identifier: Apache-2.0 */
/* Extraction. See extract.h for containment and the directory cache. [I layer; O "whiteouts"] */
#include "libimage/extract.h"
#include "base/fd.h"
#include "base/str.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#define WHITEOUT        ".wh."
#define WHITEOUT_META   ".wh..wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"

/* Where an entry goes. */
struct place {
    char path[IMAGE_PATH_MAX + 1]; /* cleaned, no leading '/'; "" is the root */
    const char *name;              /* last component, in path */
    char parent[IMAGE_PATH_MAX + 1];
    int dir; /* the parent's descriptor, owned by the cache */
};

void extract_init(struct extract *x, int root, const char *what)
{
    *x = (struct extract){ .root = root, .what = what, .xattr_opaque = "trusted.overlay.opaque" };
    x->times = BUF(EXTRACT_TIMES_MAX);
    x->implied = BUF(EXTRACT_IMPLIED_MAX);
    for (size_t i = 0; i < EXTRACT_CACHE; i++)
        x->cache[i].fd = -1;
}

static void cache_drop(struct extract *x)
{
    for (size_t i = 0; i < EXTRACT_CACHE; i++) {
        x->cache[i].fd = fd_close(x->cache[i].fd);
        free(take_ptr(&x->cache[i].path));
    }
}

void extract_done(struct extract *x)
{
    cache_drop(x);
    buf_done(&x->times);
    buf_done(&x->implied);
}

/* Takes over `fd`. */
static int cache_add(struct extract *x, const char *path, int fd)
{
    unsigned at = x->turn++ % EXTRACT_CACHE;
    char *copy = strdup(path);

    if (!copy) {
        fd_close(fd);
        return -ENOMEM;
    }
    fd_close(x->cache[at].fd);
    free(x->cache[at].path);
    x->cache[at].fd = fd;
    x->cache[at].path = copy;
    return fd;
}

static int cache_find(const struct extract *x, const char *path)
{
    /* newest first: members of one directory follow each other */
    for (unsigned i = 1; i <= EXTRACT_CACHE; i++) {
        unsigned at = (x->turn - i) % EXTRACT_CACHE;

        if (x->cache[at].path && streq(x->cache[at].path, path))
            return x->cache[at].fd;
    }
    return -1;
}

static bool is_whiteout(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static int set_opaque(struct extract *x, int fd)
{
    return fsetxattr(fd, x->xattr_opaque, "y", 1, 0) < 0 ? -errno : 0;
}

static int open_directory(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

static void split(char *path, char **ret_name)
{
    char *slash = strrchr(path, '/');

    *ret_name = slash ? slash + 1 : path;
    if (slash)
        *slash = 0;
}

static int find_directory(struct extract *x, const char *path);

/* Makes a directory that no entry has listed (so far), over a whiteout as an opaque one. */
static int make_implied(struct extract *x, const char *path)
{
    char copy[IMAGE_PATH_MAX + 1], *name;
    bool opaque = false;
    struct stat st;
    int parent, fd, r;

    snprintf(copy, sizeof(copy), "%s", path);
    split(copy, &name);
    parent = find_directory(x, name == copy ? "" : copy);
    if (parent < 0)
        return parent;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (!is_whiteout(&st))
            return -ENOTDIR;
        opaque = true;
        if (unlinkat(parent, name, 0) < 0)
            return -errno;
    }
    if (mkdirat(parent, name, 0755) < 0)
        return -errno;
    fd = open_directory(parent, name);
    if (fd < 0)
        return fd;
    r = fchmod(fd, 0755) < 0 ? -errno : opaque ? set_opaque(x, fd) : 0;
    if (r == 0 && !opaque)
        buf_add(&x->implied, path, strlen(path) + 1);
    if (r == 0)
        r = x->implied.error;
    if (r < 0) {
        fd_close(fd);
        return r;
    }
    return cache_add(x, path, fd);
}

/* The descriptor of a directory of the layer, from the cache if it is there. */
static int find_directory(struct extract *x, const char *path)
{
    int fd;

    if (!*path)
        return x->root;
    fd = cache_find(x, path);
    if (fd >= 0)
        return fd;
    fd = path_open_in(x->root, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd >= 0)
        return cache_add(x, path, fd);
    return fd == -ENOENT || fd == -ENOTDIR ? make_implied(x, path) : fd;
}

/* Cleans a name of the archive: "./a//b/" is "a/b"; ".." and what is too long is refused. */
static int clean_name(struct extract *x, const char *name, char *ret, struct wharf_error *e)
{
    size_t used = 0;

    for (const char *p = name; *p;) {
        size_t n = strcspn(p, "/");

        if (n == 2 && p[0] == '.' && p[1] == '.')
            return err_set(e, -EINVAL, WHARF_ERROR_INVALID, "%s: entry '%.200s' contains '..'",
                           x->what, name);
        if (n > 255 || used + n + 1 > IMAGE_PATH_MAX)
            return err_set(e, -ENAMETOOLONG, WHARF_ERROR_LIMIT,
                           "%s: entry '%.80s..': the name is too long", x->what, name);
        if (n > 0 && !(n == 1 && *p == '.')) {
            if (used)
                ret[used++] = '/';
            memcpy(ret + used, p, n);
            used += n;
        }
        p += n;
        p += *p == '/';
    }
    ret[used] = 0;
    return 0;
}

static int fail(struct extract *x, int r, const char *verb, const char *path, struct wharf_error *e)
{
    if (r == -ENOTDIR || r == -ELOOP)
        return err_set(e, -EINVAL, WHARF_ERROR_INVALID,
                       "%s: entry '%.200s' lies below something that is not a directory", x->what,
                       path);
    return err_code(e, r, "%s: cannot %s '%.200s'", x->what, verb, path);
}

static int find_place(struct extract *x, const char *name, struct place *p, struct wharf_error *e)
{
    char *last;
    int r = clean_name(x, name, p->path, e);

    if (r < 0)
        return r;
    memcpy(p->parent, p->path, strlen(p->path) + 1);
    split(p->parent, &last);
    p->name = p->path + (last - p->parent);
    if (last == p->parent)
        p->parent[0] = 0;
    p->dir = find_directory(x, p->parent);
    return p->dir < 0 ? fail(x, p->dir, "make the parents of", p->path, e) : 0;
}

/* Removes what stands in the way. 1 if it was a whiteout. */
static int clear_place(struct extract *x, struct place *p)
{
    struct stat st;
    int r;

    if (fstatat(p->dir, p->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (x->keep_kind && S_ISDIR(st.st_mode))
        return -EISDIR;
    r = path_remove_tree(p->dir, p->name);
    if (r < 0)
        return r;
    if (S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode)) {
        cache_drop(x);
        p->dir = find_directory(x, p->parent);
        if (p->dir < 0)
            return p->dir;
    }
    return is_whiteout(&st);
}

/* Makes something by a call that fails with EEXIST when the name is taken. */
#define MAKE(x, p, call)                                                                           \
    ({                                                                                             \
        int made_ = (call) < 0 ? -errno : 0;                                                       \
        if (made_ == -EEXIST) {                                                                    \
            made_ = clear_place((x), (p));                                                         \
            if (made_ >= 0)                                                                        \
                made_ = (call) < 0 ? -errno : 0;                                                   \
        }                                                                                          \
        made_;                                                                                     \
    })

static bool xattr_wanted(const char *name)
{
    /* overlayfs and the host's own labels are not the layer's to set */
    if (str_after(name, "user.overlay."))
        return false;
    return str_after(name, "user.") || streq(name, "security.capability") ||
           str_after(name, "system.posix_acl_");
}

/* On `fd`, or, where nothing can be opened, by `path`. */
static int set_xattrs(struct extract *x, struct archive_entry *entry, int fd, const char *path)
{
    const char *name;
    const void *value;
    size_t len;

    if (archive_entry_xattr_reset(entry) == 0)
        return 0;
    while (archive_entry_xattr_next(entry, &name, &value, &len) == ARCHIVE_OK) {
        int r;

        if (!name || !xattr_wanted(name))
            continue;
        if (len > IMAGE_XATTR_MAX)
            return -E2BIG;
        r = path ? lsetxattr(path, name, value, len, 0) : fsetxattr(fd, name, value, len, 0);
        if (r < 0 && errno != EOPNOTSUPP && errno != EPERM)
            return -errno;
    }
    return 0;
}

static void times_of(struct archive_entry *entry, struct timespec times[2])
{
    times[1] = (struct timespec){ archive_entry_mtime(entry), archive_entry_mtime_nsec(entry) };
    times[0] = times[1];
}

static mode_t mode_of(struct archive_entry *entry)
{
    return archive_entry_perm(entry) & 07777;
}

static uid_t user_of(const struct extract *x, struct archive_entry *entry)
{
    return x->owned ? x->uid : (uid_t)archive_entry_uid(entry);
}

static gid_t group_of(const struct extract *x, struct archive_entry *entry)
{
    return x->owned ? x->gid : (gid_t)archive_entry_gid(entry);
}

/* chown clears set-id bits and capabilities: owner, then mode, then attributes. */
static int finish_fd(struct extract *x, struct archive_entry *entry, int fd)
{
    if (fchown(fd, user_of(x, entry), group_of(x, entry)) < 0 || fchmod(fd, mode_of(entry)) < 0)
        return -errno;
    return set_xattrs(x, entry, fd, NULL);
}

/* For what must not be opened: links, devices, pipes. */
static int finish_name(struct extract *x, struct archive_entry *entry, const struct place *p)
{
    char path[64 + IMAGE_PATH_MAX];
    struct timespec times[2];
    int r;

    if (fchownat(p->dir, p->name, user_of(x, entry), group_of(x, entry), AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    /* the name was just made, O_EXCL; in a container's root it may be a link by now */
    if (archive_entry_filetype(entry) != AE_IFLNK &&
        fchmodat(p->dir, p->name, mode_of(entry), AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", p->dir, p->name);
    r = set_xattrs(x, entry, -1, path);
    if (r < 0)
        return r;
    times_of(entry, times);
    return utimensat(p->dir, p->name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int count_bytes(struct extract *x, int64_t more, struct wharf_error *e)
{
    if (more < 0 || __builtin_add_overflow(x->bytes, more, &x->bytes) ||
        x->bytes > x->limits.layer_bytes)
        return err_set(e, -EFBIG, WHARF_ERROR_LIMIT,
                       "%s: unpacks to more than %lld bytes (limit "
                       "layer_bytes)",
                       x->what, (long long)x->limits.layer_bytes);
    return 0;
}

static int write_data(struct extract *x, struct tar *t, int fd, const char *path, int64_t size,
                      struct wharf_error *e)
{
    int64_t at = 0, offset;
    const void *block;
    size_t len;
    int r;

    while ((r = tar_block(t, &block, &len, &offset, e)) == 1) {
        if (len == 0)
            continue;
        if (offset != at && lseek(fd, offset, SEEK_SET) < 0)
            return err_sys(e, "%s: cannot seek in '%.200s'", x->what, path);
        r = fd_write_all(fd, block, len);
        if (r < 0)
            return err_code(e, r, "%s: cannot write '%.200s'", x->what, path);
        at = offset + (int64_t)len;
    }
    if (r == 0 && at < size && ftruncate(fd, size) < 0) /* a hole at the end */
        return err_sys(e, "%s: cannot extend '%.200s'", x->what, path);
    return r;
}

static int make_file(struct extract *x, struct tar *t, struct archive_entry *entry, struct place *p,
                     struct wharf_error *e)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int64_t size = archive_entry_size(entry);
    struct timespec times[2];
    autoclose int fd = -1;
    int r = count_bytes(x, size, e);

    if (r < 0)
        return r;
    r = MAKE(x, p, fd = openat(p->dir, p->name, flags, 0600));
    if (r < 0)
        return fail(x, r, "make", p->path, e);
    r = size > 0 ? write_data(x, t, fd, p->path, size, e) : 0;
    if (r < 0)
        return r;
    r = finish_fd(x, entry, fd);
    times_of(entry, times);
    if (r == 0 && futimens(fd, times) < 0)
        r = -errno;
    return r < 0 ? fail(x, r, "set the attributes of", p->path, e) : 0;
}

/* Times of directories are set last; when the list is full, what is in it is set early. */
static int flush_times(struct extract *x)
{
    struct timespec times[2];

    for (size_t at = 0; at < x->times.len;) {
        const char *path = x->times.data + at + sizeof(times[1]);
        int fd;

        memcpy(&times[1], x->times.data + at, sizeof(times[1]));
        times[0] = times[1];
        fd = *path ? path_open_in(x->root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0) : -1;
        if (!*path)
            futimens(x->root, times);
        else if (fd >= 0) /* else it was replaced meanwhile */
            futimens(fd, times);
        fd_close(fd);
        at += sizeof(times[1]) + strlen(path) + 1;
    }
    buf_reset(&x->times);
    return 0;
}

static int note_times(struct extract *x, struct archive_entry *entry, const char *path)
{
    struct timespec times[2];

    if (x->times.len + sizeof(times[1]) + strlen(path) + 1 > EXTRACT_TIMES_MAX)
        flush_times(x);
    times_of(entry, times);
    buf_add(&x->times, &times[1], sizeof(times[1]));
    buf_add(&x->times, path, strlen(path) + 1);
    return x->times.error;
}

/* A directory keeps the children of one that is there; over a whiteout it hides the lower ones. */
static int make_directory(struct extract *x, struct archive_entry *entry, struct place *p,
                          struct wharf_error *e)
{
    int fd = x->root, r = 0;
    bool opaque = false;

    if (*p->path) {
        r = mkdirat(p->dir, p->name, 0700) < 0 ? -errno : 0;
        fd = r == 0 || r == -EEXIST ? open_directory(p->dir, p->name) : r;
        if ((fd == -ENOTDIR || fd == -ELOOP) && !x->keep_kind) {
            r = clear_place(x, p);
            opaque = r == 1;
            if (r >= 0)
                r = mkdirat(p->dir, p->name, 0700) < 0 ? -errno : 0;
            fd = r < 0 ? r : open_directory(p->dir, p->name);
        }
        if (fd >= 0)
            fd = cache_add(x, p->path, fd);
    }
    if (fd < 0)
        return fail(x, fd, "make", p->path, e);
    r = finish_fd(x, entry, fd);
    if (r == 0 && opaque)
        r = set_opaque(x, fd);
    if (r == 0)
        r = note_times(x, entry, p->path);
    return r < 0 ? fail(x, r, "set the attributes of", p->path, e) : 0;
}

static int make_hard_link(struct extract *x, struct archive_entry *entry, struct place *p,
                          struct wharf_error *e)
{
    const char *target = archive_entry_hardlink(entry);
    struct place to;
    int r;

    r = clean_name(x, target, to.path, e);
    if (r < 0)
        return err_wrap(e, r, "hard link '%.100s'", p->path);
    if (!*to.path || streq(to.path, p->path))
        return err_invalid(e, "%s: hard link '%.200s' leads to itself or to the root", x->what,
                           p->path);
    /* looking for the target must not make parents: open, do not find */
    {
        autoclose int dir = -1;
        char *last;

        memcpy(to.parent, to.path, sizeof(to.path));
        split(to.parent, &last);
        to.name = to.path + (last - to.parent);
        if (last == to.parent)
            to.parent[0] = 0;
        dir = path_open_in(x->root, *to.parent ? to.parent : ".", O_PATH | O_DIRECTORY, 0);
        r = dir < 0 ? dir : MAKE(x, p, linkat(dir, to.name, p->dir, p->name, 0));
    }
    if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
        return err_invalid(e, "%s: hard link '%.150s' leads to '%.150s', which the layer lacks",
                           x->what, p->path, target);
    return r < 0 ? fail(x, r, "link", p->path, e) : 0;
}

static int make_link(struct extract *x, struct archive_entry *entry, struct place *p,
                     struct wharf_error *e)
{
    const char *target = archive_entry_symlink(entry);
    int r;

    if (!target || !*target)
        return err_invalid(e, "%s: link '%.200s' leads nowhere", x->what, p->path);
    r = MAKE(x, p, symlinkat(target, p->dir, p->name));
    if (r == 0)
        r = finish_name(x, entry, p);
    return r < 0 ? fail(x, r, "make link", p->path, e) : 0;
}

static int make_node(struct extract *x, struct archive_entry *entry, struct place *p,
                     struct wharf_error *e)
{
    mode_t type = archive_entry_filetype(entry);
    dev_t device = type == AE_IFIFO ? 0 : archive_entry_rdev(entry);
    int r;

    if (type != AE_IFIFO) {
        if (x->devices == IMAGE_DEVICES_REFUSE || (type == AE_IFCHR && device == makedev(0, 0)))
            return err_set(e, -EINVAL, WHARF_ERROR_INVALID,
                           "%s: device '%.200s' (%u:%u) is refused", x->what, p->path,
                           major(device), minor(device));
        if (++x->device_count > x->limits.layer_devices)
            return err_set(e, -EFBIG, WHARF_ERROR_LIMIT,
                           "%s: more than %lld devices (limit layer_devices)", x->what,
                           (long long)x->limits.layer_devices);
        if (x->devices == IMAGE_DEVICES_SKIP)
            return 0;
    }
    r = MAKE(x, p, mknodat(p->dir, p->name, type | 0600, device));
    if (r == -EPERM && type != AE_IFIFO)
        return 0; /* no privilege here: as SKIP, see image.h */
    if (r == 0)
        r = finish_name(x, entry, p);
    return r < 0 ? fail(x, r, "make device", p->path, e) : 0;
}

/* `.wh.NAME` hides NAME of the layers below. If this layer has NAME itself, whichever comes first,
 * a directory turns opaque and anything else hides it anyway. */
static int make_whiteout(struct extract *x, struct place *p, struct wharf_error *e)
{
    const char *name = p->name + strlen(WHITEOUT);
    autoclose int fd = -1;
    int r;

    if (streq(p->name, WHITEOUT_OPAQUE)) {
        r = set_opaque(x, p->dir);
        return r < 0 ? fail(x, r, "set the attributes of", p->path, e) : 0;
    }
    if (!*name || streq(name, ".") || streq(name, ".."))
        return err_invalid(e, "%s: whiteout '%.200s' names nothing", x->what, p->path);
    if (mknodat(p->dir, name, S_IFCHR, makedev(0, 0)) == 0)
        return 0;
    if (errno != EEXIST)
        return fail(x, -errno, "make whiteout", p->path, e);
    fd = open_directory(p->dir, name);
    r = fd >= 0 ? set_opaque(x, fd) : 0;
    return r < 0 ? fail(x, r, "make whiteout", p->path, e) : 0;
}

/* AUFS leftovers and things in a directory whose name is a whiteout: 1 skip, 0 keep, or an error.
 */
static int odd_name(struct extract *x, const char *path, struct wharf_error *e)
{
    for (const char *p = path; *p;) {
        size_t n = strcspn(p, "/");
        bool last = !p[n];

        if (str_after(p, WHITEOUT_META) &&
            !(last && (streq(p, WHITEOUT_OPAQUE) || n == strlen(WHITEOUT_META))))
            return 1;
        if (str_after(p, WHITEOUT) && !last)
            return err_invalid(e, "%s: entry '%.200s' lies below a whiteout", x->what, path);
        p += n + !last;
    }
    return 0;
}

static int extract_one(struct extract *x, struct tar *t, struct archive_entry *entry,
                       struct wharf_error *e)
{
    mode_t type = archive_entry_filetype(entry);
    struct place p;
    int r;

    r = clean_name(x, archive_entry_pathname(entry), p.path, e);
    if (r == 0 && !x->plain)
        r = odd_name(x, p.path, e);
    if (r != 0)
        return r < 0 ? r : 0;
    r = find_place(x, archive_entry_pathname(entry), &p, e);
    if (r < 0)
        return r;
    if (!*p.path && (type != AE_IFDIR || archive_entry_hardlink(entry)))
        return err_invalid(e, "%s: the root itself is not a directory", x->what);
    if (!x->plain && str_after(p.name, WHITEOUT))
        return make_whiteout(x, &p, e);
    if (archive_entry_hardlink(entry))
        return make_hard_link(x, entry, &p, e);
    switch (type) {
    case AE_IFREG:
        return make_file(x, t, entry, &p, e);
    case AE_IFDIR:
        return make_directory(x, entry, &p, e);
    case AE_IFLNK:
        return make_link(x, entry, &p, e);
    case AE_IFCHR:
    case AE_IFBLK:
    case AE_IFIFO:
        return make_node(x, entry, &p, e);
    default:
        return err_invalid(e, "%s: entry '%.200s' has an unknown type", x->what, p.path);
    }
}

int extract_all(struct extract *x, struct tar *t, struct wharf_error *e)
{
    bool root_listed = false;
    struct archive_entry *entry;
    int r;

    while ((r = tar_next(t, &entry, e)) == 1) {
        const char *name = archive_entry_pathname(entry);

        if (++x->entries > x->limits.layer_entries)
            return err_set(e, -EFBIG, WHARF_ERROR_LIMIT,
                           "%s: more than %lld entries (limit layer_entries)", x->what,
                           (long long)x->limits.layer_entries);
        r = extract_one(x, t, entry, e);
        if (r < 0)
            return r;
        root_listed |= !name[strspn(name, "./")];
    }
    if (r == 0 && !root_listed)
        buf_add(&x->implied, "", 1);
    if (r == 0)
        flush_times(x);
    return r;
}

static int copy_attributes(const struct stat *st, int to)
{
    struct timespec times[2] = { st->st_atim, st->st_mtim };

    if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0 ||
        futimens(to, times) < 0)
        return -errno;
    return 0;
}

int extract_settle(struct extract *x, const int *lower, size_t count, struct wharf_error *e)
{
    for (size_t at = 0; at < x->implied.len; at += strlen(x->implied.data + at) + 1) {
        const char *path = x->implied.data + at;

        for (size_t i = 0; i < count; i++) {
            autoclose int from =
                path_open_plain(lower[i], *path ? path : ".", O_PATH | O_NOFOLLOW, 0);
            autoclose int to = -1;
            struct stat st;
            int r;

            if (from == -ENOENT)
                continue;
            if (from < 0 || fstat(from, &st) < 0 || !S_ISDIR(st.st_mode))
                break;
            to = path_open_in(x->root, *path ? path : ".", O_RDONLY | O_DIRECTORY, 0);
            r = to < 0 ? to : copy_attributes(&st, to);
            if (r < 0)
                return fail(x, r, "set the attributes of", path, e);
            break;
        }
    }
    return 0;
}
