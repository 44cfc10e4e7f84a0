/* SPDX-License-Identifier: Apache-2.0 */
/* Running criu. See criu.h. */
#include "libcontainer/criu.h"

#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "base/fd.h"
#include "base/str.h"
#include "libcontainer/system.h"

enum { CRIU_LOG_MAX = 64 << 20, FIRST_KEPT = 3 };

static const char *const places[] = { "/usr/sbin/criu", "/usr/local/sbin/criu", "/usr/bin/criu",
                                      "/usr/local/bin/criu" };

void criu_add(struct criu *c, const char *format, ...)
{
    char text[4096], *copy;
    va_list args;
    int n;

    if (c->count >= CRIU_ARGUMENTS_MAX)
        c->error = -E2BIG;
    if (c->error)
        return;
    va_start(args, format);
    n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    copy = n >= 0 && (size_t)n < sizeof(text) ? arena_str(c->arena, text) : NULL;
    if (!copy)
        c->error = n < 0 || (size_t)n >= sizeof(text) ? -E2BIG : -ENOMEM;
    else
        c->arguments[c->count++] = copy;
}

void criu_done(struct criu *c)
{
    c->images = fd_close(c->images);
}

/* The options that are one word of criu's command line; the values are copied, the flags added. */
static void add_options(struct criu *c, const struct container_checkpoint_options *o)
{
    const struct {
        const char *flag, *value;
    } values[] = {
        { "--work-dir", o->work_path },
        { "--prev-images-dir", o->parent_path },
        { "--network-lock", o->network_lock },
        { "--lsm-profile", o->lsm_profile },
        { "--lsm-mount-context", o->lsm_mount_context },
    };
    const struct {
        const char *flag;
        unsigned on;
    } flags[] = {
        { "--tcp-established", o->tcp_established },
        { "--tcp-close", o->tcp_close },
        { "--skip-in-flight", o->tcp_skip_in_flight },
        { "--ext-unix-sk", o->ext_unix_sockets },
        { "--shell-job", o->shell_job },
        { "--file-locks", o->file_locks },
        { "--link-remap", o->link_remap },
        { "--lazy-pages", o->lazy_pages },
        { "--auto-dedup", o->auto_dedup },
    };

    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        if (values[i].value) {
            criu_add(c, "%s", values[i].flag);
            criu_add(c, "%s", values[i].value);
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        if (flags[i].on)
            criu_add(c, "%s", flags[i].flag);
    }
    if (o->empty_network)
        criu_add(c, "--empty-ns=net");
}

int criu_begin(struct criu *c, const char *command, const struct container_checkpoint_options *o,
               struct arena *arena, bool make, struct wharf_error *e)
{
    const char *path = o->image_path ? o->image_path : "checkpoint";
    int r = make ? path_make_dirs(path, 0700) : 0;

    *c = (struct criu){ .arena = arena, .images = -1 };
    if (r < 0)
        return err_code(e, r, "cannot make the image directory '%s'", path);
    c->images = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->images < 0)
        return err_sys(e, "cannot open the image directory '%s'", path);
    c->log_dir = o->work_path ? o->work_path : path;
    c->log = arena_format(arena, "%s.log", command);
    criu_add(c, "criu");
    criu_add(c, "%s", command);
    criu_add(c, "--images-dir");
    criu_add(c, "%s", path);
    criu_add(c, "--log-file");
    criu_add(c, "%s.log", command);
    criu_add(c, "-v4");
    criu_add(c, "--manage-cgroups=%s", o->manage_cgroups ? o->manage_cgroups : "ignore");
    add_options(c, o);
    return 0;
}

static bool is_bind(const struct spec_mount *m)
{
    if (m->type && (streq(m->type, "bind") || streq(m->type, "rbind")))
        return true;
    for (size_t i = 0; i < m->options.count; i++) {
        if (streq(m->options.items[i], "bind") || streq(m->options.items[i], "rbind"))
            return true;
    }
    return false;
}

/* Whether a masked path is a file, masked by null, or a directory, masked by an empty tmpfs, which
 * criu saves itself. Below /proc and /sys the host has what the container has under the mask. */
static bool is_file(const char *rootfs, const char *path)
{
    bool kernel = str_after(path, "/proc/") || str_after(path, "/sys/");
    autofree char *inside = kernel ? NULL : str_format("%s%s", rootfs, path);
    struct stat st;

    return lstat(inside ? inside : path, &st) == 0 && !S_ISDIR(st.st_mode);
}

void criu_add_mounts(struct criu *c, const struct container_spec *spec, const char *rootfs,
                     bool restore)
{
    const field_strings *masked = &spec->linux_->masked_paths;

    for (size_t i = 0; i < spec->mounts.count; i++) {
        const struct spec_mount *m = &spec->mounts.items[i];

        if (is_bind(m)) {
            criu_add(c, "--external");
            criu_add(c, "mnt[%s]:%s", m->destination, restore ? m->source : m->destination);
        }
    }
    for (size_t i = 0; i < masked->count; i++) {
        if (is_file(rootfs, masked->items[i])) {
            criu_add(c, "--external");
            criu_add(c, "mnt[%s]:%s", masked->items[i], restore ? "/dev/null" : masked->items[i]);
        }
    }
}

/* ---- running ---- */

/* CHILD SIDE: waits for the parent's word, then becomes criu. */
static void __attribute__((noreturn))
become(const struct criu *c, const struct criu_run *run, int sync)
{
    char go;
    int r = fd_read_exact(sync, &go, 1);

    if (r == 0 && run->prepare)
        r = run->prepare(run->user);
    /* kept descriptors may lie where others have to go: first away, then into their places */
    for (unsigned i = 0; r == 0 && i < run->keep_count; i++) {
        int away = fcntl(run->keep[i], F_DUPFD_CLOEXEC, 256 + (int)i);

        r = away < 0 ? -errno : 0;
    }
    for (unsigned i = 0; r == 0 && i < run->keep_count; i++)
        r = dup2(256 + (int)i, FIRST_KEPT + (int)i) < 0 ? -errno : 0;
    if (r == 0) {
        syscall(SYS_close_range, FIRST_KEPT + run->keep_count, ~0U, 0);
        system_reset_signals();
        for (size_t i = 0; i < ARRAY_SIZE(places); i++)
            execve(places[i], (char *const *)(uintptr_t)c->arguments, environ);
    }
    _exit(127);
}

bool criu_installed(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        if (access(places[i], X_OK) == 0)
            return true;
    }
    return false;
}

/* What criu says of a kernel that is younger than it. */
static bool says_too_old(const char *line)
{
    return strstr(line, "kerndat") || strstr(line, "kernel features detection");
}

/* The last line of the log that is an error, without its time stamp. */
static int fail_with_log(const struct criu *c, int status, struct wharf_error *e)
{
    autofree char *path = str_format("%s/%s", c->log_dir, c->log), *text = NULL;
    const char *found = NULL;

    if (!path || file_read(AT_FDCWD, path, CRIU_LOG_MAX, &text) < 0)
        return err_set(e, -EIO, WHARF_ERROR_INTERNAL, "criu failed (status %d) without a log",
                       status);
    for (char *line = text; line; line = strchr(line, '\n')) {
        char *error = strstr(line, "Error (");

        if (!error)
            break;
        found = error;
        line = error;
    }
    if (!found)
        return err_set(e, -EIO, WHARF_ERROR_INTERNAL, "criu failed (status %d): see '%s'", status,
                       path);
    return err_set(e, says_too_old(found) ? -EOPNOTSUPP : -EIO,
                   says_too_old(found) ? WHARF_ERROR_UNSUPPORTED : WHARF_ERROR_INTERNAL,
                   "criu%s failed: %.*s; see '%s'",
                   says_too_old(found) ? " is too old for this kernel and" : "",
                   (int)strcspn(found, "\n"), found, path);
}

int criu_run(struct criu *c, const struct criu_run *run, struct wharf_error *e)
{
    int pair[2], pidfd = -1, r = 0;
    siginfo_t end = { 0 };
    pid_t pid;

    if (c->error)
        return err_code(e, c->error, "criu's command line");
    if (!criu_installed())
        return err_unsupported(e, "there is no criu on this host: install the package 'criu'");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_sys(e, "cannot make a socket pair");
    pid = system_clone(CLONE_PIDFD, -1, &pidfd);
    if (pid == 0)
        become(c, run, pair[1]);
    fd_close(pair[1]);
    if (pid < 0) {
        fd_close(pair[0]);
        return err_code(e, (int)pid, "cannot make a process for criu");
    }
    if (run->started)
        r = run->started(run->user, pid, e);
    if (r == 0)
        r = fd_write_all(pair[0], "", 1); /* else it reads the end of the socket, and exits */
    fd_close(pair[0]);
    if (system_wait_child(pidfd, &end) < 0 && r == 0)
        r = err_set(e, -ECHILD, WHARF_ERROR_INTERNAL, "criu was reaped by somebody else");
    fd_close(pidfd);
    if (r == 0 && (end.si_code != CLD_EXITED || end.si_status != 0))
        r = fail_with_log(c, end.si_status, e);
    return r;
}
