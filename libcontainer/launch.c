/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent's half of launch.h: the process object becomes a flat plan, and the stub's report
 * becomes a message. The child's half is launch-child.c.
 */
#include "libcontainer/launch.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "base/str.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U
#endif

/* A list ended by NULL, with room for `more` entries behind. */
static char **strings_of(struct arena *arena, const field_strings *list, size_t more)
{
    char **copy = arena_array(arena, list->count + more + 1, sizeof(*copy));

    for (size_t i = 0; copy && i < list->count; i++)
        copy[i] = list->items[i];
    return copy;
}

static int prepare_lists(struct launch *l, struct arena *arena, struct wharf_error *e)
{
    const struct spec_process *p = l->process;
    bool home = false;

    l->argv = strings_of(arena, &p->args, 0);
    l->env = strings_of(arena, &p->env, 1);
    if (!l->argv || !l->env)
        return err_nomem(e);
    for (size_t i = 0; i < p->env.count; i++)
        home = home || str_after(p->env.items[i], "HOME=");
    l->home_slot = home ? NULL : &l->env[p->env.count];
    return 0;
}

static int prepare_label(struct launch *l, struct arena *arena, struct wharf_error *e)
{
    const char *selinux = l->process->selinux_label, *apparmor = l->process->apparmor_profile;
    int r = lsm_check(&selinux, &apparmor, e);

    if (r < 0)
        return r;
    if (apparmor && *apparmor) {
        /* since Linux 5.8 AppArmor has a directory of its own beside other modules */
        l->label_attribute = access("/proc/self/attr/apparmor", F_OK) == 0
                                 ? "thread-self/attr/apparmor/exec"
                                 : "thread-self/attr/exec";
        l->label = arena_format(arena, "exec %s", apparmor);
        if (!l->label)
            return err_nomem(e);
    } else if (selinux && *selinux) {
        l->label_attribute = "thread-self/attr/exec";
        l->label = selinux;
    }
    return 0;
}

/* crun's extension, which podman's --group-add keep-groups asks for: setgroups(2) is left out, so
 * that the groups are the caller's, and what additionalGids says is not looked at. */
static bool keeps_groups(const struct container_spec *spec)
{
    return spec_annotation(spec, "run.oci.keep_original_groups") != NULL;
}

static int check_process(const struct spec_process *p, const struct container_spec *spec,
                         const struct launch_options *options, struct wharf_error *e)
{
    if (p->args.count == 0 || !p->args.items[0][0])
        return err_invalid(e, "process.args: the program to run is missing");
    if (!p->cwd || p->cwd[0] != '/')
        return err_invalid(e, "process.cwd: '%s' is not an absolute path", p->cwd ? p->cwd : "");
    if (!options->set_groups && p->user.additional_gids.count > 0 && !keeps_groups(spec))
        return err_invalid(e, "process.user.additionalGids: this user namespace does not allow "
                              "to set groups");
    if (p->user.additional_gids.count > NGROUPS_MAX)
        return err_invalid(e, "process.user.additionalGids: %zu groups, the limit is %d",
                           p->user.additional_gids.count, NGROUPS_MAX);
    if (options->start->keep_count > LAUNCH_KEEP_MAX)
        return err_invalid(e, "%zu descriptors to keep, the limit is %d",
                           options->start->keep_count, LAUNCH_KEEP_MAX);
    return 0;
}

static void remember(void *user, const char *name)
{
    const char **unknown = user;

    *unknown = name;
}

static int prepare_filter(const struct container_spec *spec, const struct launch_options *options,
                          struct launch *l, struct wharf_error *e)
{
    autoclose int cache = seccomp_open_cache(options->state_root);

    return seccomp_compile(spec->linux_->seccomp, cache, &l->filter, options->skipped,
                           options->user, e);
}

/* crun's extension run.oci.seccomp_fail_unknown_syscall. No cache: a filter in it no longer tells
 * what was passed over when it was compiled. */
static int prepare_strict_filter(const struct container_spec *spec, struct launch *l,
                                 struct wharf_error *e)
{
    const char *unknown = NULL;
    int r = seccomp_compile(spec->linux_->seccomp, -1, &l->filter, remember, &unknown, e);

    if (r < 0 || !unknown)
        return r;
    seccomp_done(&l->filter);
    return err_unsupported(e, "linux.seccomp: unknown system call '%s'", unknown);
}

static int prepare_seccomp(const struct container_spec *spec, const struct launch_options *options,
                           struct launch *l, struct wharf_error *e)
{
    if (!spec->linux_->seccomp)
        return 0;
    return spec_annotation(spec, "run.oci.seccomp_fail_unknown_syscall")
               ? prepare_strict_filter(spec, l, e)
               : prepare_filter(spec, options, l, e);
}

/* May be executed by all and read by nobody. Made here because the owner counts: a process of a
 * user namespace that does not map us may not read it, so execve makes the process one that only
 * our namespace can trace (would_dump() in the kernel's fs/exec.c), before its first instruction
 * and whatever capabilities the container holds (CVE-2016-9962). */
static int new_stub_file(int *ret, struct wharf_error *e)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    autoclose int fd = memfd_create("wharf-start", flags | MFD_EXEC);

    if (fd < 0 && errno == EINVAL) /* before Linux 6.3 every memfd may be executed */
        fd = memfd_create("wharf-start", flags);
    if (fd < 0)
        return err_sys(e, "cannot make the memory file of the start program (vm.memfd_noexec "
                          "must not be 2)");
    if (fchmod(fd, 0111) < 0)
        return err_sys(e, "cannot make the start program unreadable");
    *ret = take_fd(&fd);
    return 0;
}

int launch_prepare(const struct spec_process *process, const struct container_spec *spec,
                   const struct launch_options *options, struct arena *arena, struct launch **ret,
                   struct wharf_error *e)
{
    struct launch *l = arena_alloc(arena, sizeof(*l));
    uint64_t dropped;
    int r;

    if (!l)
        return err_nomem(e);
    *l = (struct launch){ .process = process,
                          .set_groups = options->set_groups && !keeps_groups(spec),
                          .die_with_caller = options->start->flags & CONTAINER_DIE_WITH_CALLER,
                          .keep_fds = options->start->keep_fds,
                          .keep_count = options->start->keep_count,
                          .proc = -1,
                          .stub = -1 };
    for (int i = 0; i < 3; i++)
        l->stdio[i] = process->terminal ? -1 : options->start->stdio[i];
    if ((r = check_process(process, spec, options, e)) < 0 ||
        (r = prepare_lists(l, arena, e)) < 0 || (r = prepare_label(l, arena, e)) < 0 ||
        (r = capabilities_resolve(process->capabilities, &l->capabilities, &dropped, e)) < 0 ||
        (r = attributes_prepare(process, spec, options->first, arena, &l->attributes, e)) < 0)
        return r;
    if (spec->linux_->landlock &&
        (r = landlock_prepare(spec->linux_->landlock, arena, &l->landlock, e)) < 0)
        return r;
    if ((r = prepare_seccomp(spec, options, l, e)) < 0)
        return r;
    r = new_stub_file(&l->stub, e);
    if (r < 0) {
        launch_done(l);
        return r;
    }
    *ret = l;
    return 0;
}

void launch_done(struct launch *l)
{
    if (!l)
        return;
    seccomp_done(&l->filter);
    fd_close(l->stub);
}

/* The words of execve's failures that engines look for stand here: "no such file or directory"
 * and "permission denied". */
static int explain_exec(int code, const char *program, struct wharf_error *e)
{
    switch (code) {
    case -ENOENT:
        return err_set(e, code, WHARF_ERROR_NO_COMMAND,
                       "exec: \"%s\": no such file or directory (perhaps its interpreter)",
                       program);
    case -EACCES:
    case -EPERM:
        return err_set(e, code, WHARF_ERROR_NOT_RUNNABLE, "exec: \"%s\": permission denied",
                       program);
    case -ENOEXEC:
        return err_set(e, code, WHARF_ERROR_NOT_RUNNABLE, "exec: \"%s\": exec format error",
                       program);
    case -E2BIG:
        return err_set(e, code, WHARF_ERROR_LIMIT,
                       "exec: \"%s\": arguments and environment are too long", program);
    default:
        err_code(e, code, "exec: \"%s\"", program);
        if (e)
            e->kind = WHARF_ERROR_NOT_RUNNABLE;
        return code;
    }
}

int launch_explain(const struct sync_message *failed, const struct spec_process *p,
                   struct wharf_error *e)
{
    static const char *const steps[STUB_STEPS] = {
        [STUB_DUMPABLE] = "cannot make the process not dumpable",
        [STUB_FILTER] = "cannot load the seccomp filter",
        [STUB_LISTENER] = "cannot pass the seccomp listener",
        [STUB_GROUPS] = "cannot set the groups of process.user.additionalGids",
        [STUB_GID] = "cannot become the group of process.user.gid",
        [STUB_UID] = "cannot become the user of process.user.uid",
        [STUB_CAPABILITIES] = "cannot set the capabilities",
        [STUB_DEATH] = "cannot bind the process's life to its caller's",
        [STUB_NO_NEW_PRIVS] = "cannot set no_new_privs",
        [STUB_LABEL] = "cannot set the label of the process",
    };

    if (failed->step == STUB_EXEC)
        return explain_exec(failed->code, p->args.items[0], e);
    return err_code(e, failed->code, "%s",
                    failed->step < STUB_STEPS ? steps[failed->step] : "unknown step");
}
