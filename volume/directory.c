/* SPDX-License-Identifier: Apache-2.0 */
/* The directories of volumes: made before their row is written, and renamed into the trash before
 * it is deleted, so that a kill leaves an empty directory without a row, or trash, and nothing
 * else. Trash may be swept by several at once. */
#include "volume/internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "base/str.h"

int directory_open(struct volume_store *s, const char *name)
{
    autoclose int dir = openat(s->dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int fd;

    if (dir < 0)
        return -errno;
    fd = openat(dir, DATA_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int directory_make(struct volume_store *s, const char *name, struct wharf_error *e)
{
    if (mkdirat(s->dir, name, 0701) < 0 && errno != EEXIST)
        return err_sys(e, "cannot make volume '%s'", name);
    autoclose int dir = openat(s->dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0 || (mkdirat(dir, DATA_DIR, 0755) < 0 && errno != EEXIST))
        return err_sys(e, "cannot make volume '%s'", name);
    return 0;
}

/* Whether something is mounted on it: 1, 0 or -errno. */
int directory_is_mounted(struct volume_store *s, const char *name)
{
    autofree char *path = str_format("%s/" DATA_DIR, name);
    struct statx sx;

    if (!path)
        return -ENOMEM;
    if (statx(s->dir, path, AT_SYMLINK_NOFOLLOW, 0, &sx) < 0)
        return -errno;
    return (sx.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

int directory_discard(struct volume_store *s, const char *name, char *ret, struct wharf_error *e)
{
    char random[8], hex[2 * sizeof(random) + 1], trash[TRASH_NAME_MAX];

    ret[0] = '\0';
    if (directory_is_mounted(s, name) == 1) {
        autofree char *path = str_format("%s/%s/" DATA_DIR, s->root, name);

        if (!path)
            return err_nomem(e);
        if (umount2(path, UMOUNT_NOFOLLOW) < 0)
            return err_sys(e, "remove %s: cannot unmount '%s'", name, path);
    }
    if (getrandom(random, sizeof(random), 0) != sizeof(random))
        return err_sys(e, "cannot make a name");
    hex_encode(random, sizeof(random), hex);
    snprintf(trash, sizeof(trash), TRASH "%s", hex);
    if (renameat(s->dir, name, s->dir, trash) < 0)
        return errno == ENOENT ? 0 : err_sys(e, "cannot remove volume '%s'", name);
    memcpy(ret, trash, sizeof(trash));
    return 0;
}

void directory_sweep(struct volume_store *s)
{
    int fd = openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);

    if (!list) {
        fd_close(fd);
        return;
    }
    for (struct dirent *d; (d = readdir(list));) {
        if (str_after(d->d_name, TRASH))
            path_remove_tree(s->dir, d->d_name);
    }
    closedir(list);
}

int64_t directory_size(struct volume_store *s, const char *name)
{
    autoclose int fd = directory_open(s, name);

    return fd < 0 ? 0 : path_tree_size(fd);
}
