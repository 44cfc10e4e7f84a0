/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor - the least that this kernel asks for one container: the physical limit beside every figure
 *
 *     floor ROOTFS COUNT PROGRAM [ARG...]
 *
 * Runs COUNT containers one after the other, each with five namespaces, a bound root, the seven
 * mounts, six devices, ten masked and five read-only paths of the default specification, pivot_root
 * and exec; waits for each. No cgroup, no parsing, no state, no error handling worth the name,
 * nothing checked: what a runtime costs above this is the runtime's own doing.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int result, const char *what)
{
    if (result < 0) {
        perror(what);
        _exit(1);
    }
}

static const struct {
    const char *target, *type, *data;
    unsigned long flags;
} mounts[] = {
    { "proc", "proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
    { "dev", "tmpfs", "mode=755,size=65536k", MS_NOSUID | MS_STRICTATIME },
    { "dev/pts", "devpts", "newinstance,ptmxmode=0666,mode=0620,gid=5", MS_NOSUID | MS_NOEXEC },
    { "dev/shm", "tmpfs", "mode=1777,size=65536k", MS_NOSUID | MS_NODEV | MS_NOEXEC },
    { "dev/mqueue", "mqueue", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
    { "sys", "sysfs", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY },
};

static const struct {
    const char *path;
    unsigned major, minor;
} devices[] = { { "dev/null", 1, 3 }, { "dev/zero", 1, 5 },   { "dev/full", 1, 7 },
                { "dev/tty", 5, 0 },  { "dev/random", 1, 8 }, { "dev/urandom", 1, 9 } };

static const char *const masked[] = { "/proc/acpi",          "/proc/asound",
                                      "/proc/kcore",         "/proc/keys",
                                      "/proc/latency_stats", "/proc/timer_list",
                                      "/proc/timer_stats",   "/proc/sched_debug",
                                      "/proc/scsi",          "/sys/firmware" };
static const char *const readonly[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                        "/proc/sysrq-trigger" };

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void mask(const char *path)
{
    /* a directory gets an empty one, a file gets null; a path that is not there needs nothing */
    if (mount("/dev/null", path, NULL, MS_BIND, NULL) < 0 && errno == ENOTDIR)
        mount("tmpfs", path, "tmpfs", MS_RDONLY, "size=0k");
}

static void contain(const char *root, char *const argv[])
{
    must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "private");
    must(mount(root, root, NULL, MS_BIND | MS_REC, NULL), "bind");
    must(chdir(root), "chdir");
    for (size_t i = 0; i < COUNT(mounts); i++) {
        mkdir(mounts[i].target, 0755);
        must(mount("none", mounts[i].target, mounts[i].type, mounts[i].flags, mounts[i].data),
             mounts[i].target);
    }
    umask(0);
    for (size_t i = 0; i < COUNT(devices); i++)
        must(mknod(devices[i].path, S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor)),
             devices[i].path);
    must((int)syscall(SYS_pivot_root, ".", "."), "pivot_root");
    must(umount2(".", MNT_DETACH), "umount");
    must(chdir("/"), "chdir /");
    for (size_t i = 0; i < COUNT(masked); i++)
        mask(masked[i]);
    for (size_t i = 0; i < COUNT(readonly); i++) {
        if (mount(readonly[i], readonly[i], NULL, MS_BIND | MS_REC, NULL) == 0)
            mount(NULL, readonly[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL);
    }
    sethostname("floor", 5);
    execv(argv[0], argv);
    must(-1, argv[0]);
}

static unsigned parse_count(const char *text)
{
    unsigned count = 0;

    return sscanf(text, "%u", &count) == 1 ? count : 0;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    for (unsigned n = parse_count(argv[2]); n > 0; n--) {
        struct clone_args args = { .flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
                                            CLONE_NEWIPC | CLONE_NEWUTS,
                                   .exit_signal = SIGCHLD };
        pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
        int status;

        must(pid, "clone3");
        if (pid == 0)
            contain(argv[1], argv + 3);
        waitpid(pid, &status, 0);
        if (status)
            return 1;
    }
    return 0;
}
