/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seccomp presets of container_sandbox_run. They refuse rather than list: a sandboxed program
 * is any program, and what keeps it in are its namespaces and Landlock; the filter takes away the
 * kernel's rarely used, often broken corners. A refused call fails with EPERM; one that a C library
 * tries first and has another way for fails with ENOSYS.
 */
#include "libcontainer/sandbox-policy.h"

#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/socket.h>
#include "base/str.h"

/* New namespaces, mounts, keys, tracing of the kernel, modules, clocks: nothing of a sandbox. */
static const char *const refused_default[] = {
    "acct",
    "add_key",
    "bpf",
    "chroot",
    "clock_adjtime",
    "clock_settime",
    "delete_module",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "init_module",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "mount",
    "mount_setattr",
    "move_mount",
    "move_pages",
    "name_to_handle_at",
    "nfsservctl",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pivot_root",
    "quotactl",
    "quotactl_fd",
    "reboot",
    "request_key",
    "setdomainname",
    "sethostname",
    "setns",
    "settimeofday",
    "swapoff",
    "swapon",
    "syslog",
    "umount2",
    "unshare",
    "uselib",
    "userfaultfd",
    "vhangup",
    "vm86",
    "vm86old",
};

/* "strict": no look into other processes either, no sockets, no personality. */
static const char *const refused_strict[] = {
    "socket",          "socketpair",    "ptrace",       "process_vm_readv", "process_vm_writev",
    "process_madvise", "pidfd_getfd",   "personality",  "fanotify_init",    "mbind",
    "migrate_pages",   "set_mempolicy", "memfd_secret", "ioprio_set",       "sched_setscheduler",
    "sched_setattr",
};

/* Tried before an older call: glibc clones by clone3(2), whose flags a filter cannot see. */
static const char *const absent[] = { "clone3", "io_uring_setup", "io_uring_enter",
                                      "io_uring_register" };

struct builder {
    struct arena *arena;
    struct spec_seccomp *out;
    size_t room;
};

static struct spec_seccomp_rule *add_rule(struct builder *b, const char *const names[],
                                          size_t count, int code)
{
    struct spec_seccomp_rule *rule;
    char **copy = arena_array(b->arena, count, sizeof(*copy));

    if (!copy || b->out->syscalls.count == b->room)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        copy[i] = arena_str(b->arena, names[i]);
        if (!copy[i])
            return NULL;
    }
    rule = &b->out->syscalls.items[b->out->syscalls.count++];
    rule->names.items = copy;
    rule->names.count = count;
    rule->action = SECCOMP_RET_ERRNO;
    rule->errno_ret = (struct opt_u64){ true, (uint64_t)code };
    return rule;
}

/* Refuses `name` where each of the arguments compares so. */
static bool add_if(struct builder *b, const char *name, int code,
                   const struct spec_seccomp_arg *args, size_t count)
{
    struct spec_seccomp_rule *rule = add_rule(b, &name, 1, code);

    if (!rule)
        return false;
    rule->args.items = arena_array(b->arena, count, sizeof(*args));
    if (!rule->args.items)
        return false;
    memcpy(rule->args.items, args, count * sizeof(*args));
    rule->args.count = count;
    return true;
}

static bool add_calls(struct builder *b, bool strict)
{
    static const uint64_t namespaces[] = { CLONE_NEWUSER,  CLONE_NEWNS,  CLONE_NEWPID,
                                           CLONE_NEWNET,   CLONE_NEWIPC, CLONE_NEWUTS,
                                           CLONE_NEWCGROUP };
    static const uint64_t terminal[] = { 0x5412 /* TIOCSTI */, 0x541c /* TIOCLINUX */ };
    bool ok = add_rule(b, refused_default, ARRAY_SIZE(refused_default), EPERM) &&
              (!strict || add_rule(b, refused_strict, ARRAY_SIZE(refused_strict), EPERM));

    for (size_t i = 0; i < ARRAY_SIZE(namespaces) && ok; i++) {
        const struct spec_seccomp_arg arg = {
            .index = 0,
            .value = namespaces[i],
            .value_two = namespaces[i],
            .op = SCMP_CMP_MASKED_EQ,
        };

        ok = add_if(b, "clone", EPERM, &arg, 1);
    }
    for (size_t i = 0; i < ARRAY_SIZE(terminal) && ok; i++) {
        /* CVE-2016-10124: input put into the caller's terminal; the upper half is ignored there */
        const struct spec_seccomp_arg arg = {
            .index = 1,
            .value = 0xffffffff,
            .value_two = terminal[i],
            .op = SCMP_CMP_MASKED_EQ,
        };

        ok = add_if(b, "ioctl", EPERM, &arg, 1);
    }
    return ok;
}

/* Landlock's ports are TCP's. All that could go around them is refused: other kinds of sockets,
 * protocols that look like TCP (MPTCP, SCTP), other families, and connecting by sending. */
static bool add_network(struct builder *b)
{
    static const uint64_t families[] = { AF_INET, AF_INET6 };
    static const uint64_t types[] = { SOCK_DGRAM,     SOCK_RAW,  SOCK_RDM,
                                      SOCK_SEQPACKET, SOCK_DCCP, SOCK_PACKET };
    static const uint64_t protocols[] = { 132 /* SCTP */, 262 /* MPTCP */ };
    static const struct {
        const char *name;
        unsigned index;
    } sends[] = { { "sendto", 3 }, { "sendmsg", 2 }, { "sendmmsg", 3 } };
    struct spec_seccomp_arg other = { .index = 0, .value = AF_INET6, .op = SCMP_CMP_GT };
    bool ok = add_if(b, "socket", EACCES, &other, 1);

    for (uint64_t family = AF_INET + 1; family < AF_INET6 && ok; family++) {
        other = (struct spec_seccomp_arg){ .value = family, .op = SCMP_CMP_EQ };
        ok = add_if(b, "socket", EACCES, &other, 1);
    }
    for (size_t f = 0; f < ARRAY_SIZE(families) && ok; f++) {
        struct spec_seccomp_arg args[2] = { { .value = families[f], .op = SCMP_CMP_EQ } };

        for (size_t i = 0; i < ARRAY_SIZE(types) && ok; i++) {
            args[1] = (struct spec_seccomp_arg){
                .index = 1, .value = 0xf, .value_two = types[i], .op = SCMP_CMP_MASKED_EQ
            };
            ok = add_if(b, "socket", EACCES, args, 2);
        }
        for (size_t i = 0; i < ARRAY_SIZE(protocols) && ok; i++) {
            args[1] =
                (struct spec_seccomp_arg){ .index = 2, .value = protocols[i], .op = SCMP_CMP_EQ };
            ok = add_if(b, "socket", EACCES, args, 2);
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(sends) && ok; i++) {
        const struct spec_seccomp_arg fastopen = { .index = sends[i].index,
                                                   .value = MSG_FASTOPEN,
                                                   .value_two = MSG_FASTOPEN,
                                                   .op = SCMP_CMP_MASKED_EQ };

        ok = add_if(b, sends[i].name, EACCES, &fastopen, 1);
    }
    return ok;
}

int sandbox_seccomp(const char *preset, bool network, struct arena *arena,
                    struct spec_seccomp **ret, struct wharf_error *e)
{
    bool strict = preset && streq(preset, "strict");
    struct builder b = { .arena = arena, .room = 64 };
    bool ok;

    if (preset && !strict && !streq(preset, "default"))
        return err_invalid(e, "seccomp preset '%s' is neither 'default' nor 'strict'", preset);
    if (strict && network)
        return err_invalid(e,
                           "seccomp preset 'strict' allows no sockets: it contradicts net_allow");
    *ret = NULL;
    if (!preset && !network)
        return 0;
    b.out = arena_alloc(arena, sizeof(*b.out));
    if (!b.out)
        return err_nomem(e);
    *b.out = (struct spec_seccomp){ .default_action = SECCOMP_RET_ALLOW };
    b.out->syscalls.items = arena_array(arena, b.room, sizeof(*b.out->syscalls.items));
    ok = b.out->syscalls.items && add_rule(&b, absent, ARRAY_SIZE(absent), ENOSYS);
    ok = ok && (!preset || add_calls(&b, strict)) && (!network || add_network(&b));
    if (!ok)
        return err_nomem(e);
    *ret = b.out;
    return 0;
}
