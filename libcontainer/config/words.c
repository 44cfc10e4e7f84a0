/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vocabularies of runtime-spec 1.3 as tables. Constants that Debian 12's headers do not have
 * yet are given with their values from the kernel's own headers; they are ABI and never change.
 */
#include "libcontainer/config/words.h"

#include <linux/audit.h>
#include <linux/ioprio.h>
#include <linux/mempolicy.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/resource.h>

#define END                                                                                        \
    {                                                                                              \
        NULL, 0                                                                                    \
    }
#define WORD(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }

/* config-linux.md "Namespaces" */
const struct field_word spec_namespace_words[] = {
    { "pid", CLONE_NEWPID },       { "network", CLONE_NEWNET }, { "mount", CLONE_NEWNS },
    { "ipc", CLONE_NEWIPC },       { "uts", CLONE_NEWUTS },     { "user", CLONE_NEWUSER },
    { "cgroup", CLONE_NEWCGROUP }, { "time", CLONE_NEWTIME },   END,
};

/* config-linux.md "Devices" */
const struct field_word spec_device_words[] = {
    { "c", 'c' }, { "b", 'b' }, { "u", 'u' }, { "p", 'p' }, END,
};

/* config-linux.md "Allowed Device list" */
const struct field_word spec_device_rule_words[] = {
    { "a", 'a' }, { "c", 'c' }, { "b", 'b' }, END
};

/* config-linux.md "Rootfs Mount Propagation"; the recursive forms are what Go runtimes accept too
 */
const struct field_word spec_propagation_words[] = {
    { "private", MS_PRIVATE },
    { "shared", MS_SHARED },
    { "slave", MS_SLAVE },
    { "unbindable", MS_UNBINDABLE },
    { "rprivate", MS_PRIVATE | MS_REC },
    { "rshared", MS_SHARED | MS_REC },
    { "rslave", MS_SLAVE | MS_REC },
    { "runbindable", MS_UNBINDABLE | MS_REC },
    END,
};

/* config.md "POSIX process": getrlimit(2) */
const struct field_word spec_rlimit_words[] = {
    WORD(RLIMIT_AS),
    WORD(RLIMIT_CORE),
    WORD(RLIMIT_CPU),
    WORD(RLIMIT_DATA),
    WORD(RLIMIT_FSIZE),
    WORD(RLIMIT_LOCKS),
    WORD(RLIMIT_MEMLOCK),
    WORD(RLIMIT_MSGQUEUE),
    WORD(RLIMIT_NICE),
    WORD(RLIMIT_NOFILE),
    WORD(RLIMIT_NPROC),
    WORD(RLIMIT_RSS),
    WORD(RLIMIT_RTPRIO),
    WORD(RLIMIT_RTTIME),
    WORD(RLIMIT_SIGPENDING),
    WORD(RLIMIT_STACK),
    END,
};

/* config.md "Linux Process": ioprio_set(2) */
const struct field_word spec_io_class_words[] = {
    WORD(IOPRIO_CLASS_RT),
    WORD(IOPRIO_CLASS_BE),
    WORD(IOPRIO_CLASS_IDLE),
    END,
};

/* config.md "Linux Process": sched_setattr(2); ISO is reserved and has no header */
const struct field_word spec_scheduler_words[] = {
    { "SCHED_OTHER", SCHED_NORMAL },
    WORD(SCHED_FIFO),
    WORD(SCHED_RR),
    WORD(SCHED_BATCH),
    { "SCHED_ISO", 4 },
    WORD(SCHED_IDLE),
    WORD(SCHED_DEADLINE),
    END,
};

const struct field_word spec_scheduler_flag_words[] = {
    WORD(SCHED_FLAG_RESET_ON_FORK),  WORD(SCHED_FLAG_RECLAIM),
    WORD(SCHED_FLAG_DL_OVERRUN),     WORD(SCHED_FLAG_KEEP_POLICY),
    WORD(SCHED_FLAG_KEEP_PARAMS),    WORD(SCHED_FLAG_UTIL_CLAMP_MIN),
    WORD(SCHED_FLAG_UTIL_CLAMP_MAX), END,
};

/* config-linux.md "Personality" */
const struct field_word spec_personality_words[] = {
    { "LINUX", PER_LINUX },
    { "LINUX32", PER_LINUX32 },
    END,
};

/* config-linux.md "Memory policy": set_mempolicy(2) */
enum { MPOL_WEIGHTED_INTERLEAVE_ = 6 }; /* Linux 6.9 */
const struct field_word spec_memory_mode_words[] = {
    WORD(MPOL_DEFAULT),    WORD(MPOL_BIND),
    WORD(MPOL_INTERLEAVE), { "MPOL_WEIGHTED_INTERLEAVE", MPOL_WEIGHTED_INTERLEAVE_ },
    WORD(MPOL_PREFERRED),  WORD(MPOL_PREFERRED_MANY),
    WORD(MPOL_LOCAL),      END,
};

const struct field_word spec_memory_flag_words[] = {
    WORD(MPOL_F_NUMA_BALANCING),
    WORD(MPOL_F_RELATIVE_NODES),
    WORD(MPOL_F_STATIC_NODES),
    END,
};

/* config-linux.md "Seccomp". KILL is the older name of KILL_THREAD. */
const struct field_word spec_seccomp_action_words[] = {
    { "SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD },
    { "SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS },
    { "SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD },
    { "SCMP_ACT_TRAP", SECCOMP_RET_TRAP },
    { "SCMP_ACT_ERRNO", SECCOMP_RET_ERRNO },
    { "SCMP_ACT_TRACE", SECCOMP_RET_TRACE },
    { "SCMP_ACT_ALLOW", SECCOMP_RET_ALLOW },
    { "SCMP_ACT_LOG", SECCOMP_RET_LOG },
    { "SCMP_ACT_NOTIFY", SECCOMP_RET_USER_NOTIF },
    END,
};

const struct field_word spec_seccomp_operator_words[] = {
    WORD(SCMP_CMP_NE), WORD(SCMP_CMP_LT), WORD(SCMP_CMP_LE),        WORD(SCMP_CMP_EQ),
    WORD(SCMP_CMP_GE), WORD(SCMP_CMP_GT), WORD(SCMP_CMP_MASKED_EQ), END,
};

/* libseccomp 2.5 has no name for LoongArch, m68k and SuperH; its tokens are AUDIT_ARCH_* */
const struct field_word spec_seccomp_arch_words[] = {
    WORD(SCMP_ARCH_X86),
    WORD(SCMP_ARCH_X86_64),
    WORD(SCMP_ARCH_X32),
    WORD(SCMP_ARCH_ARM),
    WORD(SCMP_ARCH_AARCH64),
    { "SCMP_ARCH_LOONGARCH64", AUDIT_ARCH_LOONGARCH64 },
    { "SCMP_ARCH_M68K", AUDIT_ARCH_M68K },
    WORD(SCMP_ARCH_MIPS),
    WORD(SCMP_ARCH_MIPS64),
    WORD(SCMP_ARCH_MIPS64N32),
    WORD(SCMP_ARCH_MIPSEL),
    WORD(SCMP_ARCH_MIPSEL64),
    WORD(SCMP_ARCH_MIPSEL64N32),
    WORD(SCMP_ARCH_PPC),
    WORD(SCMP_ARCH_PPC64),
    WORD(SCMP_ARCH_PPC64LE),
    WORD(SCMP_ARCH_S390),
    WORD(SCMP_ARCH_S390X),
    { "SCMP_ARCH_SH", AUDIT_ARCH_SHEL },
    { "SCMP_ARCH_SHEB", AUDIT_ARCH_SH },
    WORD(SCMP_ARCH_PARISC),
    WORD(SCMP_ARCH_PARISC64),
    WORD(SCMP_ARCH_RISCV64),
    END,
};

const struct field_word spec_seccomp_flag_words[] = {
    WORD(SECCOMP_FILTER_FLAG_TSYNC),
    WORD(SECCOMP_FILTER_FLAG_LOG),
    WORD(SECCOMP_FILTER_FLAG_SPEC_ALLOW),
    { "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 1 << 5 }, /* Linux 5.19 */
    END,
};

/* Landlock's access rights in the kernel's order (userspace-api/landlock.rst), in lower case as
 * landlock's own tools and runtime-spec's open proposal write them */
const struct field_word spec_landlock_fs_words[] = {
    { "execute", 1 << 0 },
    { "write_file", 1 << 1 },
    { "read_file", 1 << 2 },
    { "read_dir", 1 << 3 },
    { "remove_dir", 1 << 4 },
    { "remove_file", 1 << 5 },
    { "make_char", 1 << 6 },
    { "make_dir", 1 << 7 },
    { "make_reg", 1 << 8 },
    { "make_sock", 1 << 9 },
    { "make_fifo", 1 << 10 },
    { "make_block", 1 << 11 },
    { "make_sym", 1 << 12 },
    { "refer", 1 << 13 },
    { "truncate", 1 << 14 },
    { "ioctl_dev", 1 << 15 },
    END,
};

const struct field_word spec_landlock_net_words[] = {
    { "bind_tcp", 1 << 0 },
    { "connect_tcp", 1 << 1 },
    END,
};

const struct field_word spec_landlock_scope_words[] = {
    { "abstract_unix_socket", 1 << 0 },
    { "signal", 1 << 1 },
    END,
};
