/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's terminal. It is made in the container's own devpts, found by openat2 without links,
 * and its slave comes from the master itself (TIOCGPTPEER), never from a path: a process in the
 * container may have put something else at /dev/pts/N (CVE-2025-52565).
 */
#include "libcontainer/rootfs.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include "base/fd.h"
#include "libcontainer/console.h"
#include "libcontainer/mount.h"

/* Majors of unix98 pty slaves: Documentation/admin-guide/devices.txt. */
enum { PTS_MAJOR_FIRST = 136, PTS_MAJOR_LAST = 143 };

static int check_slave(int fd, struct wharf_error *e)
{
    struct statfs fs;
    struct stat st;

    if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
        return err_sys(e, "cannot examine the terminal");
    if (fs.f_type != DEVPTS_SUPER_MAGIC || !S_ISCHR(st.st_mode) ||
        major(st.st_rdev) < PTS_MAJOR_FIRST || major(st.st_rdev) > PTS_MAJOR_LAST)
        return err_set(e, -ENOTTY, WHARF_ERROR_INVALID, "the terminal is not one of a devpts");
    return 0;
}

int console_new(int root, int *ret_master, int *ret_slave, struct wharf_error *e)
{
    autoclose int master = path_open_plain(root, "dev/pts/ptmx", O_RDWR | O_NOCTTY, 0);
    autoclose int slave = -1;
    struct statfs fs;
    int unlock = 0, r;

    if (master < 0)
        return err_code(e, master,
                        "cannot open '/dev/pts/ptmx' for the terminal: does the "
                        "configuration mount a devpts there?");
    if (fstatfs(master, &fs) < 0 || fs.f_type != DEVPTS_SUPER_MAGIC)
        return err_set(e, -ENOTTY, WHARF_ERROR_INVALID, "'/dev/pts' in the root is no devpts");
    if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
        return err_sys(e, "cannot unlock the terminal");
    slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return err_sys(e, "cannot open the terminal's slave");
    r = check_slave(slave, e);
    if (r < 0)
        return r;
    *ret_master = take_fd(&master);
    *ret_slave = take_fd(&slave);
    return 0;
}

int console_bind(int root, int slave, struct wharf_error *e)
{
    autoclose int tree = -1, dev = -1, target = -1;
    int r;

    dev = path_open_plain(root, "dev", O_PATH | O_DIRECTORY, 0);
    if (dev < 0)
        return err_code(e, dev, "cannot open '/dev' in the root");
    if (mknodat(dev, "console", S_IFREG | 0600, 0) < 0 && errno != EEXIST)
        return err_sys(e, "cannot make '/dev/console'");
    target = path_open_plain(dev, "console", O_PATH, 0);
    if (target < 0)
        return err_code(e, target, "'/dev/console' in the root is not an ordinary file");
    tree = mount_clone(slave, "", 0);
    if (tree < 0)
        return err_code(e, tree, "cannot bind the terminal");
    r = mount_attach(tree, target);
    return r < 0 ? err_code(e, r, "cannot bind the terminal to '/dev/console'") : 0;
}
