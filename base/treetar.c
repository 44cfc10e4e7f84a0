/* SPDX-License-Identifier: Apache-2.0 */
/* See treetar.h. */
#include "base/treetar.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"

enum {
    BLOCK = 512,
    NAME_MAX_USTAR = 100,
    SIZE_DIGITS = 11, /* octal: up to 8 GiB */
    XATTRS_MAX = 64 << 10,
    PAX_MAX = 1 << 20,
    DEPTH_MAX = 1024,
};

/* POSIX.1-2017 pax, "ustar Interchange Format" */
struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], check[8], type, link[100],
        magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a tar header is one block");

static void put_octal(char *to, size_t digits, uint64_t value)
{
    for (size_t i = digits; i-- > 0; value >>= 3)
        to[i] = (char)('0' + (value & 7));
}

static void put_name(char *to, size_t size, const char *text)
{
    memcpy(to, text, MIN(strlen(text), size));
}

static int write_header(struct treetar *t, struct header *h)
{
    unsigned sum = 0;

    memcpy(h->magic, "ustar", 6);
    memcpy(h->version, "00", 2);
    memset(h->check, ' ', sizeof(h->check));
    for (size_t i = 0; i < sizeof(*h); i++)
        sum += ((const unsigned char *)h)[i];
    put_octal(h->check, 6, sum);
    h->check[6] = '\0';
    return fd_write_all(t->fd, h, sizeof(*h));
}

static int write_padding(struct treetar *t, int64_t size)
{
    static const char zeros[BLOCK];
    size_t more = (size_t)((BLOCK - size % BLOCK) % BLOCK);

    return fd_write_all(t->fd, zeros, more);
}

/* "LENGTH key=value\n", where the length counts itself. */
static void put_record(struct buf *b, const char *key, const void *value, size_t len)
{
    size_t rest = strlen(key) + len + 3, total = rest + 1;

    while (total != rest + (size_t)snprintf(NULL, 0, "%zu", total))
        total = rest + (size_t)snprintf(NULL, 0, "%zu", total);
    buf_printf(b, "%zu %s=", total, key);
    buf_add(b, value, len);
    buf_char(b, '\n');
}

static int write_records(struct treetar *t, const struct buf *b)
{
    struct header h = { .type = 'x' };

    if (b->len == 0)
        return b->error;
    put_name(h.name, sizeof(h.name), "PaxHeaders/entry");
    put_octal(h.mode, 7, 0644);
    put_octal(h.uid, 7, 0);
    put_octal(h.gid, 7, 0);
    put_octal(h.size, SIZE_DIGITS, b->len);
    put_octal(h.mtime, SIZE_DIGITS, 0);
    int r = b->error ? b->error : write_header(t, &h);
    if (r == 0)
        r = fd_write_all(t->fd, b->data, b->len);
    return r == 0 ? write_padding(t, (int64_t)b->len) : r;
}

static void put_xattrs(struct buf *b, int fd)
{
    autofree char *names = malloc(XATTRS_MAX), *value = malloc(XATTRS_MAX);
    ssize_t len = names && value && fd >= 0 ? flistxattr(fd, names, XATTRS_MAX) : -1;

    for (const char *n = names; len > 0 && n < names + len; n += strlen(n) + 1) {
        autofree char *key = str_format("SCHILY.xattr.%s", n);
        ssize_t size;

        if (!key || str_after(n, "trusted.") || str_after(n, "user.overlay.") ||
            str_after(n, "system.") || str_after(n, "security.selinux"))
            continue;
        size = fgetxattr(fd, n, value, XATTRS_MAX);
        if (size >= 0)
            put_record(b, key, value, (size_t)size);
    }
}

static char type_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return '5';
    case S_IFLNK:
        return '2';
    case S_IFCHR:
        return '3';
    case S_IFBLK:
        return '4';
    case S_IFIFO:
        return '6';
    default:
        return '0';
    }
}

static void put_number(struct buf *pax, const char *key, int64_t value)
{
    char text[32];
    int n = snprintf(text, sizeof(text), "%lld", (long long)value);

    put_record(pax, key, text, (size_t)n);
}

/* Header and pax records of one entry; `link` NULL: none; `type` 0: by the mode. */
static int write_entry(struct treetar *t, const struct stat *st, const char *path, const char *link,
                       char type, int fd)
{
    autobuf struct buf pax = BUF(PAX_MAX);
    bool directory = S_ISDIR(st->st_mode);
    autofree char *name = str_format("%s%s", path, directory ? "/" : "");
    int64_t size = type == 0 && S_ISREG(st->st_mode) ? st->st_size : 0;
    struct header h = { .type = type ? type : type_of(st->st_mode) };

    if (!name)
        return -ENOMEM;
    put_name(h.name, sizeof(h.name), name);
    put_octal(h.mode, 7, st->st_mode & 07777);
    put_octal(h.uid, 7, st->st_uid & 07777777);
    put_octal(h.gid, 7, st->st_gid & 07777777);
    put_octal(h.size, SIZE_DIGITS, (uint64_t)size);
    put_octal(h.mtime, SIZE_DIGITS, (uint64_t)MAX(st->st_mtim.tv_sec, 0));
    if (h.type == '3' || h.type == '4') {
        put_octal(h.major, 7, major(st->st_rdev));
        put_octal(h.minor, 7, minor(st->st_rdev));
    }
    if (link)
        put_name(h.link, sizeof(h.link), link);
    if (strlen(name) > NAME_MAX_USTAR)
        put_record(&pax, "path", name, strlen(name));
    if (link && strlen(link) > NAME_MAX_USTAR)
        put_record(&pax, "linkpath", link, strlen(link));
    if (size >> (3 * SIZE_DIGITS))
        put_number(&pax, "size", size);
    if (st->st_uid > 07777777)
        put_number(&pax, "uid", st->st_uid);
    if (st->st_gid > 07777777)
        put_number(&pax, "gid", st->st_gid);
    put_xattrs(&pax, fd);
    int r = write_records(t, &pax);
    return r < 0 ? r : write_header(t, &h);
}

/* Exactly `size` bytes: a file that shrinks meanwhile ends in zeros. */
static int write_contents(struct treetar *t, int from, int64_t size)
{
    static const char zeros[4096];
    int64_t left = size;
    bool plain = false;

    while (left > 0) {
        char block[4096];
        ssize_t n = plain ? read(from, block, (size_t)MIN(left, (int64_t)sizeof(block)))
                          : sendfile(t->fd, from, NULL, (size_t)MIN(left, (int64_t)1 << 30));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && !plain && errno == EINVAL) {
            plain = true;
            continue;
        }
        if (n < 0)
            return -errno;
        int r = n == 0  ? fd_write_all(t->fd, zeros, (size_t)MIN(left, (int64_t)sizeof(zeros)))
                : plain ? fd_write_all(t->fd, block, (size_t)n)
                        : 0;
        if (r < 0)
            return r;
        left -= n == 0 ? MIN(left, (int64_t)sizeof(zeros)) : n;
    }
    return write_padding(t, size);
}

/* The path under which this file went in before, or NULL; notes it the first time. */
static const char *earlier(struct treetar *t, const struct stat *st, const char *path)
{
    char key[64];

    if (st->st_nlink < 2 || S_ISDIR(st->st_mode))
        return NULL;
    snprintf(key, sizeof(key), "%llx:%llx", (unsigned long long)st->st_dev,
             (unsigned long long)st->st_ino);
    const char *before = json_string_value(json_object_get(t->links, key));
    if (!before)
        json_object_set_new_nocheck(t->links, key, json_stringn_nocheck(path, strlen(path)));
    return before;
}

static int add_children(struct treetar *t, int fd, const char *path, unsigned depth,
                        struct wharf_error *e);

static int add_directory(struct treetar *t, const struct stat *st, int dir, const char *name,
                         const char *path, unsigned depth, struct wharf_error *e)
{
    autoclose int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int r = *path ? write_entry(t, st, path, NULL, 0, fd) : 0;
    if (r < 0 || t->flat || (t->one_device && st->st_dev != t->device))
        return r;
    return depth < DEPTH_MAX ? add_children(t, fd, path, depth, e) : -ELOOP;
}

static int add_entry(struct treetar *t, int dir, const char *name, const char *path, unsigned depth,
                     struct wharf_error *e)
{
    char target[4096];
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return depth > 0 && errno == ENOENT ? 0 : -errno; /* removed meanwhile */
    if (depth == 0)
        t->device = st.st_dev;
    if (S_ISSOCK(st.st_mode))
        return 0;
    if (S_ISDIR(st.st_mode))
        return add_directory(t, &st, dir, name, path, depth, e);
    const char *before = earlier(t, &st, path);
    if (before)
        return write_entry(t, &st, path, before, '1', -1);
    if (S_ISLNK(st.st_mode)) {
        ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);
        if (n < 0)
            return -errno;
        target[n] = '\0';
        return write_entry(t, &st, path, target, 0, -1);
    }
    if (!S_ISREG(st.st_mode))
        return write_entry(t, &st, path, NULL, 0, -1);
    autoclose int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISREG(st.st_mode)) /* exchanged meanwhile */
        return 0;
    int r = write_entry(t, &st, path, NULL, 0, fd);
    return r < 0 ? r : write_contents(t, fd, st.st_size);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In the order of names, so that equal trees give equal archives. */
static int add_children(struct treetar *t, int fd, const char *path, unsigned depth,
                        struct wharf_error *e)
{
    autostrv char **names = NULL;
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *list = copy < 0 ? NULL : fdopendir(copy);

    if (!list) {
        fd_close(copy);
        return -errno;
    }
    for (struct dirent *d; r == 0 && (d = readdir(list));) {
        if (!streq(d->d_name, ".") && !streq(d->d_name, ".."))
            r = strv_add(&names, d->d_name);
    }
    closedir(list);
    size_t count = names ? strv_count((const char *const *)names) : 0;
    if (count > 1)
        qsort(names, count, sizeof(*names), compare_names);
    for (size_t i = 0; r == 0 && i < count; i++) {
        autofree char *below = str_format("%s%s%s", path, *path ? "/" : "", names[i]);

        if (!below)
            return -ENOMEM;
        if (t->wants && !t->wants(t->user, below))
            continue;
        r = add_entry(t, fd, names[i], below, depth + 1, e);
        if (r < 0 && !(e && e->code))
            err_code(e, r, "cannot archive '%.200s'", below);
    }
    return r;
}

int treetar_add(struct treetar *t, int dir, const char *name, const char *as, struct wharf_error *e)
{
    if (!t->links && !(t->links = json_object()))
        return err_nomem(e);
    int r = add_entry(t, dir, name, as, 0, e);
    return r < 0 && !(e && e->code) ? err_code(e, r, "cannot archive '%.200s'", name) : r;
}

int treetar_empty(struct treetar *t, const char *as, struct wharf_error *e)
{
    struct stat st = { .st_mode = S_IFREG };
    int r = write_entry(t, &st, as, NULL, 0, -1);

    return r < 0 ? err_code(e, r, "cannot archive '%.200s'", as) : 0;
}

int treetar_end(struct treetar *t, struct wharf_error *e)
{
    static const char zeros[2 * BLOCK];
    int r = fd_write_all(t->fd, zeros, sizeof(zeros));

    json_decref(t->links);
    t->links = NULL;
    return r < 0 ? err_code(e, r, "cannot write the archive") : 0;
}
