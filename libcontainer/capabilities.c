/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capabilities: the five sets of capabilities(7), resolved in the parent, applied in the child.
 *
 * The wish is cut down to what the kernel knows and to what this process itself may give (its
 * bounding set): a host whose root lacks CAP_SYS_RESOURCE still runs docker's default. What had to
 * go is told to the caller, who warns. The order around the change of ids matters: the bounding set
 * first (needs CAP_SETPCAP), then the ids with the permitted set kept, then the other sets, the
 * ambient set last (it must lie within permitted and inheritable).
 */
#include "libcontainer/credentials.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define WORD(name)                                                                                 \
    {                                                                                              \
        "CAP_" #name, (int64_t)1 << CAP_##name                                                     \
    }
const struct field_word capability_words[] = {
    WORD(CHOWN),
    WORD(DAC_OVERRIDE),
    WORD(DAC_READ_SEARCH),
    WORD(FOWNER),
    WORD(FSETID),
    WORD(KILL),
    WORD(SETGID),
    WORD(SETUID),
    WORD(SETPCAP),
    WORD(LINUX_IMMUTABLE),
    WORD(NET_BIND_SERVICE),
    WORD(NET_BROADCAST),
    WORD(NET_ADMIN),
    WORD(NET_RAW),
    WORD(IPC_LOCK),
    WORD(IPC_OWNER),
    WORD(SYS_MODULE),
    WORD(SYS_RAWIO),
    WORD(SYS_CHROOT),
    WORD(SYS_PTRACE),
    WORD(SYS_PACCT),
    WORD(SYS_ADMIN),
    WORD(SYS_BOOT),
    WORD(SYS_NICE),
    WORD(SYS_RESOURCE),
    WORD(SYS_TIME),
    WORD(SYS_TTY_CONFIG),
    WORD(MKNOD),
    WORD(LEASE),
    WORD(AUDIT_WRITE),
    WORD(AUDIT_CONTROL),
    WORD(SETFCAP),
    WORD(MAC_OVERRIDE),
    WORD(MAC_ADMIN),
    WORD(SYSLOG),
    WORD(WAKE_ALARM),
    WORD(BLOCK_SUSPEND),
    WORD(AUDIT_READ),
    WORD(PERFMON),
    WORD(BPF),
    WORD(CHECKPOINT_RESTORE),
    { NULL, 0 },
};

enum { CAPABILITIES = ARRAY_SIZE(capability_words) - 1 };

/* capset(2) takes two 32-bit halves per set. */
static int read_sets(struct __user_cap_data_struct data[2])
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

    return syscall(SYS_capget, &header, data) < 0 ? -errno : 0;
}

/* What of `wish` can be given: the bounding set of this process, within what the kernel knows. One
 * call a capability, so only those that are asked for are looked at. */
static uint64_t givable(uint64_t wish)
{
    uint64_t set = 0;

    for (unsigned c = 0; c < CAPABILITIES; c++) {
        if ((wish >> c & 1) && prctl(PR_CAPBSET_READ, c, 0, 0, 0) == 1)
            set |= UINT64_C(1) << c;
    }
    return set;
}

int capabilities_resolve(const struct spec_capabilities *wish, struct spec_capabilities *ret,
                         uint64_t *ret_dropped, struct wharf_error *e)
{
    struct __user_cap_data_struct data[2] = { 0 };
    uint64_t can = wish ? givable(wish->bounding | wish->permitted | wish->inheritable) : 0, held;
    struct spec_capabilities got = { 0 };
    int r = read_sets(data);

    if (r < 0)
        return err_code(e, r, "cannot read the capabilities of this process");
    held = data[0].permitted | (uint64_t)data[1].permitted << 32;
    if (wish) {
        /* in a new user namespace the child holds everything, so only the bounding set limits it
         * there; outside, permitted cannot exceed what we hold ourselves */
        got.bounding = wish->bounding & can;
        got.permitted = wish->permitted & can & (held ? held : can);
        got.effective = wish->effective & got.permitted;
        got.inheritable = wish->inheritable & can;
        got.ambient = wish->ambient & got.permitted & got.inheritable;
        *ret_dropped = (wish->bounding | wish->permitted) & ~can;
    } else {
        *ret_dropped = 0;
    }
    *ret = got;
    return 0;
}

int capabilities_drop_bounding(const struct spec_capabilities *caps, struct wharf_error *e)
{
    for (unsigned c = 0; c < CAPABILITIES; c++) {
        if (caps->bounding >> c & 1)
            continue;
        /* EINVAL: a capability younger than this kernel */
        if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0 && errno != EINVAL)
            return err_sys(e, "cannot drop %s from the bounding set", capability_words[c].name);
    }
    return 0;
}

static int raise_ambient(const struct spec_capabilities *caps, uint64_t *ret_missed)
{
    uint64_t missed = 0;

    for (unsigned c = 0; c < CAPABILITIES; c++) {
        if ((caps->ambient >> c & 1) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, c, 0, 0) < 0)
            missed |= UINT64_C(1) << c;
    }
    *ret_missed = missed;
    return 0;
}

int capabilities_apply(const struct spec_capabilities *caps, uint64_t *ret_ambient_missed,
                       struct wharf_error *e)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2];

    for (unsigned half = 0; half < 2; half++) {
        data[half].effective = (uint32_t)(caps->effective >> (32 * half));
        data[half].permitted = (uint32_t)(caps->permitted >> (32 * half));
        data[half].inheritable = (uint32_t)(caps->inheritable >> (32 * half));
    }
    /* the ambient set of the runtime itself must not leak (CVE-2022-24769) */
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
        return err_sys(e, "cannot clear the ambient capabilities");
    if (syscall(SYS_capset, &header, data) < 0)
        return err_sys(e, "cannot set the capabilities");
    return raise_ambient(caps, ret_ambient_missed);
}
