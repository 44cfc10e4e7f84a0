/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CHILD SIDE, between clone and exec: system calls on prepared data only, no allocation, no lock.
 *
 * The last part of launch.h: stdio, attributes, working directory, the program's path, and the
 * execution through the stub. Which descriptors survive is decided in one place,
 * launch_isolate: all others are closed, not only marked, so that a created container that waits
 * for its start holds nothing either (CVE-2024-21626).
 */
#include "libcontainer/launch.h"

#include <elf.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include "base/fd.h"
#include "base/str.h"
#include "libcontainer/home.h"

#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif

/* ---- stdio and kept descriptors ---- */

/* A descriptor below `low` that is to survive moves up, out of the way of those placed there. */
static int move_up(int *fd, int low)
{
    if (*fd >= 0 && *fd < low) {
        int moved = fcntl(*fd, F_DUPFD_CLOEXEC, low);

        if (moved < 0)
            return -errno;
        *fd = moved;
    }
    return 0;
}

/* dup2, but a descriptor that is in its place already only loses close-on-exec. */
static int place(int from, int to)
{
    if (from != to)
        return dup2(from, to) < 0 ? -errno : 0;
    return fcntl(to, F_SETFD, 0) < 0 ? -errno : 0;
}

static int place_stdio(const int given[3], struct wharf_error *e)
{
    int from[3], r;

    for (int i = 0; i < 3; i++) {
        from[i] = given[i];
        r = from[i] == i ? 0 : move_up(&from[i], 3);
        if (r < 0)
            return err_code(e, r, "cannot place descriptor %d", given[i]);
    }
    for (int i = 0; i < 3; i++) {
        r = from[i] < 0 ? 0 : place(from[i], i);
        if (r < 0)
            return err_code(e, r, "cannot make descriptor %d the container's %d", given[i], i);
    }
    return 0;
}

/* The keep list becomes 3, 4, ...; sources inside that range are first copied above it. */
static int place_kept(const struct launch *l, struct wharf_error *e)
{
    int from[LAUNCH_KEEP_MAX], low = 3 + (int)l->keep_count, r;

    for (size_t i = 0; i < l->keep_count; i++) {
        from[i] = l->keep_fds[i];
        r = from[i] == 3 + (int)i ? 0 : move_up(&from[i], low);
        if (r < 0)
            return err_code(e, r, "cannot keep descriptor %d", l->keep_fds[i]);
    }
    for (size_t i = 0; i < l->keep_count; i++) {
        r = place(from[i], 3 + (int)i);
        if (r < 0)
            return err_code(e, r, "cannot keep descriptor %d", l->keep_fds[i]);
    }
    return 0;
}

/* The user shall be able to reopen its stdio (/dev/stdout). What cannot be given stays as it is:
 * a file of another user namespace, of a read-only or network file system; /dev/null is everyone's.
 */
static void give_stdio(uint32_t uid)
{
    for (int fd = 0; uid != 0 && fd < 3; fd++) {
        struct stat st;

        if (fstat(fd, &st) < 0 || st.st_uid == uid ||
            (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)))
            continue;
        if (fchown(fd, uid, (gid_t)-1) < 0)
            continue;
    }
}

/* ---- where and what ---- */

/* The directory must be inside the root: a descriptor that leaked from outside would let "cwd"
 * lead there (CVE-2024-21626), and the kernel then says "(unreachable)". */
static int enter_cwd(const char *cwd, struct wharf_error *e)
{
    char now[4096];
    long n;

    if (chdir(cwd) < 0)
        return err_sys(e, "chdir to cwd (\"%s\") set in config.json failed", cwd);
    n = syscall(SYS_getcwd, now, sizeof(now));
    if (n < 0)
        return err_sys(e, "process.cwd: cannot tell where '%s' is", cwd);
    if (now[0] != '/')
        return err_set(e, -EPERM, WHARF_ERROR_INVALID,
                       "process.cwd: '%s' is outside of the container's root", cwd);
    return 0;
}

static const char *variable(char *const *env, const char *name_equals)
{
    for (; *env; env++) {
        const char *value = str_after(*env, name_equals);

        if (value)
            return value;
    }
    return NULL;
}

/* 0, or why this file cannot be run. */
static int runnable(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (!S_ISREG(st.st_mode))
        return -EACCES;
    return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -EACCES : 0;
}

static int cannot_run(int code, const char *program, struct wharf_error *e)
{
    if (code == -ENOENT || code == -ENOTDIR)
        return err_set(e, -ENOENT, WHARF_ERROR_NO_COMMAND,
                       "exec: \"%s\": stat %s: no such file or directory", program, program);
    if (code == -EISDIR)
        return err_set(e, -EACCES, WHARF_ERROR_NOT_RUNNABLE, "exec: \"%s\": is a directory",
                       program);
    return err_set(e, code, WHARF_ERROR_NOT_RUNNABLE, "exec: \"%s\": permission denied", program);
}

/* As a shell would: a name with a slash is a path, another is looked for in the container's PATH.
 */
static int find_program(struct launch *l, struct wharf_error *e)
{
    const char *name = l->argv[0], *path = variable(l->env, "PATH=");
    int denied = 0;

    if (strchr(name, '/')) {
        int r = runnable(name);

        if (r < 0)
            return cannot_run(r, name, e);
        if (strlen(name) >= sizeof(l->path))
            return cannot_run(-ENAMETOOLONG, name, e);
        memcpy(l->path, name, strlen(name) + 1);
        return 0;
    }
    if (!path)
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    for (;;) {
        size_t len = strcspn(path, ":");
        int n = snprintf(l->path, sizeof(l->path), "%.*s/%s", (int)(len ? len : 1),
                         len ? path : ".", name);

        if (n > 0 && (size_t)n < sizeof(l->path)) {
            int r = runnable(l->path);

            if (r == 0)
                return 0;
            denied = r == -EACCES ? r : denied;
        }
        if (!path[len])
            break;
        path += len + 1;
    }
    if (denied)
        return cannot_run(denied, name, e);
    return err_set(e, -ENOENT, WHARF_ERROR_NO_COMMAND,
                   "exec: \"%s\": executable file not found in $PATH", name);
}

/* Written into the slot that the parent left at the end of the environment. */
static void set_home(struct launch *l)
{
    autoclose int root = -1;

    if (!l->home_slot)
        return;
    root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    memcpy(l->home, "HOME=", 5);
    home_find(root, l->process->user.uid, l->home + 5, LAUNCH_HOME_MAX);
    *l->home_slot = l->home;
}

int launch_enter(struct launch *l, int terminal, struct wharf_error *e)
{
    const int tty[3] = { terminal, terminal, terminal };
    int r;

    /* a session of its own: no process in it can reach the caller's terminal (CVE-2016-10124) */
    if (setsid() < 0 && errno != EPERM)
        return err_sys(e, "cannot make a session");
    r = place_stdio(terminal >= 0 ? tty : l->stdio, e);
    if (r < 0)
        return r;
    if (terminal >= 0 && ioctl(0, TIOCSCTTY, 0) < 0)
        return err_sys(e, "cannot make the terminal the controlling one");
    umask(l->process->user.umask.set ? (mode_t)l->process->user.umask.value : 022);
    give_stdio(l->process->user.uid);
    if ((r = enter_cwd(l->process->cwd, e)) < 0 || (r = find_program(l, e)) < 0)
        return r;
    set_home(l);
    r = attributes_apply(l->attributes, e);
    if (r == 0 && l->landlock)
        r = landlock_enforce(l->landlock, e);
    return r;
}

/* ---- descriptors ---- */

int launch_isolate(struct launch *l, int *sync, int *listener, struct wharf_error *e)
{
    int *own[] = { sync, listener, &l->proc, &l->stub };
    int low = 3 + (int)l->keep_count, next = low, r;

    for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
        r = move_up(own[i], low + (int)ARRAY_SIZE(own));
        if (r < 0)
            return err_code(e, r, "cannot move a descriptor");
    }
    r = place_kept(l, e);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(own); i++) {
        if (*own[i] < 0)
            continue;
        if (dup3(*own[i], next, O_CLOEXEC) < 0)
            return err_sys(e, "cannot move a descriptor");
        *own[i] = next++;
    }
    if (r == 0 && syscall(SYS_close_range, next, ~0U, 0) < 0)
        return err_sys(e, "cannot close the runtime's descriptors");
    return r;
}

/* ---- the stub ---- */

/* The stub's ELF file (meson.build makes it). */
static const unsigned char stub_image[] __attribute__((aligned(16))) = {
#include "stub-bytes.h"
};

/* How that file begins: stub.lds lays out exactly these program headers. */
struct stub_head {
    Elf64_Ehdr elf;
    Elf64_Phdr code, plan;
};

enum { STUB_PARTS = 8 };

/* Parts of the plan are collected here and written with one writev(2). */
struct image {
    struct iovec parts[STUB_PARTS];
    unsigned count;
    uint32_t length; /* of the plan */
};

/* Adds a part and returns its offset; lengths are kept multiples of 8 by the padding behind. */
static uint32_t add_part(struct image *image, const void *data, size_t len)
{
    uint32_t offset = image->length;

    image->parts[image->count++] = (struct iovec){ (void *)(uintptr_t)data, len };
    image->length += (uint32_t)len;
    return offset;
}

static void fill_plan(struct stub_plan *plan, struct image *image, const struct launch *l, int sync)
{
    const struct spec_process *p = l->process;

    *plan = (struct stub_plan){
        .sync = sync,
        .proc = l->proc,
        .flags = (p->no_new_privileges ? STUB_NO_NEW_PRIVILEGES : 0) |
                 (l->set_groups ? STUB_SET_GROUPS : 0) |
                 (l->filter.notify ? STUB_LISTENER_WANTED : 0) |
                 (l->die_with_caller ? STUB_DIE_WITH_PARENT : 0),
        .uid = p->user.uid,
        .gid = p->user.gid,
        .group_count = (uint32_t)p->user.additional_gids.count,
        .permitted = l->capabilities.permitted,
        .effective = l->capabilities.effective,
        .inheritable = l->capabilities.inheritable,
        .ambient = l->capabilities.ambient,
        .filter_flags = l->filter.flags,
        .filter_count = l->filter.count,
    };
    add_part(image, plan, sizeof(*plan));
    /* filter first (8-byte instructions), then groups (4), then text: all stay aligned */
    if (l->filter.code)
        plan->filter =
            add_part(image, l->filter.code, l->filter.count * sizeof(struct sock_filter));
    plan->groups = add_part(image, p->user.additional_gids.items,
                            p->user.additional_gids.count * sizeof(uint32_t));
    plan->path = add_part(image, l->path, strlen(l->path) + 1);
    if (l->label) {
        plan->attribute = add_part(image, l->label_attribute, strlen(l->label_attribute) + 1);
        plan->label = add_part(image, l->label, strlen(l->label) + 1);
    }
}

/* Code and plan in one sealed file: nobody can change either, whoever holds it. */
static int seal_stub(const struct launch *l, int sync, struct wharf_error *e)
{
    struct stub_head head;
    struct stub_plan plan;
    struct image image = { .count = 2 };
    size_t size;

    memcpy(&head, stub_image, sizeof(head));
    fill_plan(&plan, &image, l, sync);
    head.plan.p_filesz = head.plan.p_memsz = image.length;
    head.elf.e_shoff = head.elf.e_shnum = head.elf.e_shstrndx = 0;
    image.parts[0] = (struct iovec){ &head, sizeof(head) };
    image.parts[1] = (struct iovec){ (void *)(uintptr_t)(stub_image + sizeof(head)),
                                     head.plan.p_offset - sizeof(head) };
    size = head.plan.p_offset + image.length;

    if (writev(l->stub, image.parts, (int)image.count) != (ssize_t)size)
        return err_sys(e, "cannot write the start program");
    /* EINVAL: F_SEAL_EXEC is younger than this kernel */
    if (fcntl(l->stub, F_ADD_SEALS,
              F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_EXEC) < 0 &&
        (errno != EINVAL ||
         fcntl(l->stub, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0))
        return err_sys(e, "cannot seal the start program");
    return 0;
}

/* The stub needs today's capabilities to set the final ones, and execve keeps them for uid 0 if
 * they are inheritable, whatever the bounding set; for any other uid if they are ambient too. */
static int keep_capabilities(struct wharf_error *e)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &header, data) < 0)
        return err_sys(e, "cannot read the capabilities");
    data[0].inheritable = data[0].effective = data[0].permitted;
    data[1].inheritable = data[1].effective = data[1].permitted;
    if (syscall(SYS_capset, &header, data) < 0)
        return err_sys(e, "cannot keep the capabilities for the start program");
    for (unsigned c = 0; geteuid() != 0 && c < 64; c++) {
        if (data[c / 32].permitted >> (c % 32) & 1)
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, c, 0, 0);
    }
    return 0;
}

int launch_exec(struct launch *l, int sync, struct wharf_error *e)
{
    int r;

    /* inheritable may only hold what the bounding set has, so keep before lowering that */
    if ((r = keep_capabilities(e)) < 0 ||
        (r = capabilities_drop_bounding(&l->capabilities, e)) < 0 ||
        (r = seal_stub(l, sync, e)) < 0)
        return r;
    if (fcntl(sync, F_SETFD, 0) < 0 || (l->proc >= 0 && fcntl(l->proc, F_SETFD, 0) < 0))
        return err_sys(e, "cannot hand over a descriptor to the start program");
    syscall(SYS_execveat, l->stub, "", l->argv, l->env, AT_EMPTY_PATH);
    return err_sys(e, "cannot execute the start program");
}
