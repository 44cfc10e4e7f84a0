/* SPDX-License-Identifier: Apache-2.0 */
/* See registry-files.h. Names were checked against the grammar before they get here, and paths are
 * opened without following links all the same. */
#include "libimage/registry-files.h"
#include "base/fd.h"
#include "base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#define LOWER "abcdefghijklmnopqrstuvwxyz0123456789"

/* [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*, joined by '/' */
bool registry_name_valid(const char *name)
{
    const char *p = name;

    if (strlen(name) > IMAGE_NAME_MAX)
        return false;
    for (;;) {
        size_t word = strspn(p, LOWER), joint;

        if (word == 0)
            return false;
        p += word;
        if (*p == 0)
            return true;
        if (*p == '/' || *p == '.') {
            p++;
            continue;
        }
        joint = *p == '-' ? strspn(p, "-") : strspn(p, "_");
        if (joint == 0 || (*p == '_' && joint > 2))
            return false;
        p += joint;
    }
}

bool registry_tag_valid(const char *tag)
{
    size_t len = strlen(tag);

    return len > 0 && len <= IMAGE_TAG_MAX && *tag != '.' && *tag != '-' &&
           strspn(tag, LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ._-") == len;
}

int registry_open(struct registry **ret, const char *root, struct wharf_error *e)
{
    autofree char *pool = str_format("%s/blobs", root), *own = str_format("%s/registry", root);
    auto_of(registry_free) struct registry *r = calloc(1, sizeof(*r));
    int code;

    if (!r || !pool || !own)
        return err_nomem(e);
    r->pool = r->repositories = -1;
    code = path_make_dirs(pool, 0755);
    if (code == 0)
        code = path_make_dirs(own, 0755);
    if (code < 0)
        return err_code(e, code, "cannot make registry '%s'", root);
    r->pool = open(pool, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r->repositories = open(own, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->pool < 0 || r->repositories < 0)
        return err_sys(e, "cannot open registry '%s'", root);
    mkdirat(r->pool, "sha256", 0755);
    mkdirat(r->pool, "sha512", 0755);
    *ret = take_ptr(&r);
    return 0;
}

void registry_free(struct registry *r)
{
    if (!r)
        return;
    fd_close(r->pool);
    fd_close(r->repositories);
    free(r->path);
    free(r);
}

static bool dir_path(const char *name, const char *kind, char path[PATH_MAX])
{
    return snprintf(path, PATH_MAX, "%s/_%s", name, kind) < PATH_MAX;
}

int registry_open_dir(const struct registry *r, const char *name, const char *kind, bool make)
{
    char path[PATH_MAX];
    int fd;

    if (!dir_path(name, kind, path))
        return -ENAMETOOLONG;
    if (make) {
        fd = path_make_dirs_in(r->repositories, path, 0755);
        if (fd < 0)
            return fd;
        fd_close(fd);
    }
    return path_open_plain(r->repositories, path, O_RDONLY | O_DIRECTORY, 0);
}

int registry_open_entry(const struct registry *r, const char *name, const char *kind,
                        const char *entry)
{
    autoclose int dir = registry_open_dir(r, name, kind, false);

    return dir < 0 ? dir : path_open_plain(dir, entry, O_RDONLY, 0);
}

bool registry_has(const struct registry *r, const char *name, const char *kind, const char *entry)
{
    int fd = registry_open_entry(r, name, kind, entry);

    fd_close(fd);
    return fd >= 0;
}

int registry_remove(const struct registry *r, const char *name, const char *kind, const char *entry)
{
    autoclose int dir = registry_open_dir(r, name, kind, false);

    if (dir < 0)
        return dir;
    return unlinkat(dir, entry, 0) < 0 ? -errno : 0;
}

int registry_write(const struct registry *r, const char *name, const char *kind, const char *entry,
                   const char *text, size_t len)
{
    autoclose int dir = registry_open_dir(r, name, kind, true);

    return dir < 0 ? dir : file_replace(dir, entry, text, len, 0644, true);
}

ssize_t registry_read(const struct registry *r, const char *name, const char *kind,
                      const char *entry, size_t max, char **ret)
{
    autoclose int dir = registry_open_dir(r, name, kind, false);

    return dir < 0 ? dir : file_read(dir, entry, max, ret);
}

int registry_adopt(const struct registry *r, int dir, const char *upload, const char *name,
                   const char *kind, const struct digest *digest)
{
    autoclose int to = registry_open_dir(r, name, kind, true);
    char pooled[DIGEST_PATH_MAX];

    if (to < 0)
        return to;
    digest_path(digest, pooled);
    if (linkat(dir, upload, r->pool, pooled, 0) < 0 && errno != EEXIST)
        return -errno;
    if (linkat(r->pool, pooled, to, digest->text, 0) < 0 && errno != EEXIST) {
        /* collected between the two calls: our own file is as good */
        if (errno != ENOENT || (linkat(dir, upload, to, digest->text, 0) < 0 && errno != EEXIST))
            return -errno;
    }
    if (fsync(to) < 0)
        return -errno;
    return unlinkat(dir, upload, 0) < 0 ? -errno : 0;
}

int registry_mount(const struct registry *r, const char *from, const char *name,
                   const struct digest *digest)
{
    autoclose int source = registry_open_dir(r, from, "blobs", false), to = -1;

    if (source < 0 || faccessat(source, digest->text, F_OK, 0) < 0)
        return -ENOENT;
    to = registry_open_dir(r, name, "blobs", true);
    if (to < 0)
        return to;
    if (linkat(source, digest->text, to, digest->text, 0) < 0 && errno != EEXIST)
        return -errno;
    return fsync(to) < 0 ? -errno : 0;
}

/* The image store that shares the directory may need what the pool has: it collects by itself. */
static bool is_shared(const struct registry *r)
{
    return faccessat(r->pool, "../oci-layout", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int registry_mount_any(const struct registry *r, const char *name, const struct digest *digest)
{
    char pooled[DIGEST_PATH_MAX];
    struct stat st;
    autoclose int to = -1;

    /* a second link: some repository has it. What only an image store has is nobody's to ask for */
    digest_path(digest, pooled);
    if (fstatat(r->pool, pooled, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_nlink < 2)
        return -ENOENT;
    to = registry_open_dir(r, name, "blobs", true);
    if (to < 0)
        return to;
    if (linkat(r->pool, pooled, to, digest->text, 0) < 0 && errno != EEXIST)
        return -errno;
    return fsync(to) < 0 ? -errno : 0;
}

int registry_drop(const struct registry *r, const char *name, const char *kind,
                  const struct digest *digest)
{
    int code = registry_remove(r, name, kind, digest->text);
    char pooled[DIGEST_PATH_MAX];
    struct stat st;

    digest_path(digest, pooled);
    /* a link made meanwhile keeps the content: only the pool's name for it may be lost */
    if (code == 0 && !is_shared(r) && fstatat(r->pool, pooled, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        st.st_nlink == 1)
        unlinkat(r->pool, pooled, 0);
    return code;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_names(int fd, char ***list)
{
    DIR *dir = fdopendir(fd);
    struct dirent *entry;
    int code = 0;

    if (!dir) {
        fd_close(fd);
        return -errno;
    }
    while (code == 0 && (entry = readdir(dir))) {
        if (entry->d_name[0] != '.')
            code = strv_add(list, entry->d_name);
    }
    closedir(dir);
    return code;
}

static void sort(char **list)
{
    if (list)
        qsort(list, strv_count((const char *const *)list), sizeof(*list), compare);
}

int registry_list(const struct registry *r, const char *name, const char *kind, char ***ret)
{
    autostrv char **list = NULL;
    int fd = registry_open_dir(r, name, kind, false);
    int code = fd < 0 ? fd : read_names(fd, &list);

    if (code < 0 && code != -ENOENT)
        return code;
    sort(list);
    *ret = take_ptr(&list);
    return 0;
}

static int walk(const struct registry *r, const char *prefix, char ***found)
{
    autostrv char **names = NULL;
    int fd = path_open_plain(r->repositories, *prefix ? prefix : ".", O_RDONLY | O_DIRECTORY, 0);
    int code = fd < 0 ? fd : read_names(fd, &names);

    for (char **n = names; n && *n && code == 0; n++) {
        autofree char *path = NULL;

        if (streq(*n, "_manifests"))
            code = strv_add(found, prefix);
        if (**n == '_')
            continue;
        path = str_format("%s%s%s", prefix, *prefix ? "/" : "", *n);
        code = path ? walk(r, path, found) : -ENOMEM;
    }
    return code;
}

int registry_catalog(const struct registry *r, char ***ret)
{
    autostrv char **list = NULL;
    int code = walk(r, "", &list);

    if (code < 0)
        return code;
    sort(list);
    *ret = take_ptr(&list);
    return 0;
}

void registry_set_policy(struct registry *r, bool read_only, int64_t upload_seconds)
{
    r->read_only = read_only;
    r->upload_seconds = upload_seconds;
}

void registry_expire_uploads(const struct registry *r, const char *name)
{
    autoclose int fd = registry_open_dir(r, name, "uploads", false);
    int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    time_t oldest = time(NULL) - (time_t)r->upload_seconds;
    struct dirent *entry;
    struct stat st;

    while (dir && r->upload_seconds > 0 && (entry = readdir(dir))) {
        if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
            st.st_mtime < oldest)
            unlinkat(fd, entry->d_name, 0);
    }
    if (dir)
        closedir(dir);
    else
        fd_close(copy);
}
