/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last mile of every process in a container: who it is, what it may do, execve.
 *
 * Why a program of its own. What a container executes as "/proc/self/exe" or "#!/proc/self/exe" is
 * the image of the process at that moment (CVE-2019-5736). Were it the runtime's, the container
 * could run it, hold it open, and later overwrite the host's binary. So init executes this stub,
 * from a sealed memfd, and the stub executes the program: no image of the host is left to be had.
 *
 * Why credentials and filter are set here and not by init. (1) A filter loaded before would have to
 * allow what starting the stub takes. (2) An LSM's exec label would go to the stub. (3) A process
 * that has a container's own ids and capabilities can be traced by the container as soon as execve
 * makes it dumpable, here before the filter is loaded; the stub begins with more capabilities than
 * the container has (ptrace(2): access needs a superset) and is not dumpable once it has fewer.
 *
 * No libc: a few system calls on a read-only plan. Executed again, by somebody in the container, it
 * finds no socket and says so.
 */
#include "libcontainer/stub/stub.h"

#include <asm/errno.h>
#include <asm/unistd.h>
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>

extern const struct stub_plan stub_plan; /* the linker script's second segment */

/* ---- the kernel, without a libc ---- */

#if defined(__x86_64__)
static long call(long n, long a, long b, long c, long d, long e)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n"
        "\tcall stub_main\n\thlt\n");
#elif defined(__aarch64__)
static long call(long n, long a, long b, long c, long d, long e)
{
    register long x8 __asm__("x8") = n;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;

    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
}
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x0, sp\n\tbl stub_main\n\tbrk #1\n");
#else
#error "the stub needs the system call convention of this architecture"
#endif

#define CALL(name, a, b, c, d, e)                                                                  \
    call(__NR_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))

void stub_main(const long *stack) __attribute__((noreturn, used));

static const void *at(uint32_t offset)
{
    return (const char *)&stub_plan + offset;
}

static size_t length(const char *s)
{
    size_t n = 0;

    while (s[n])
        n++;
    return n;
}

static void __attribute__((noreturn)) leave(int status)
{
    for (;;)
        CALL(exit_group, status, 0, 0, 0, 0);
}

static void __attribute__((noreturn)) fail(enum stub_step step, long code)
{
    struct stub_report report = { STUB_REPORT_FAILED, (int32_t)code, step };

    CALL(write, stub_plan.sync, &report, sizeof(report), 0, 0);
    leave(1);
}

static void need(enum stub_step step, long result)
{
    if (result < 0)
        fail(step, result);
}

/* ---- the steps ---- */

/* The socket crossed one execve on purpose; the next one closes it, and so tells of success. */
static void claim_socket(void)
{
    static const char text[] =
        "wharf: this program starts a container's process and cannot be run again\n";

    if (CALL(fcntl, stub_plan.sync, F_SETFD, FD_CLOEXEC, 0, 0) == 0)
        return;
    CALL(write, 2, text, sizeof(text) - 1, 0, 0);
    leave(126);
}

static void send_listener(int listener)
{
    struct stub_report report = { STUB_REPORT_LISTENER, 0, STUB_LISTENER };
    struct iovec {
        const void *base;
        size_t len;
    } data = { &report, sizeof(report) };
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = { .msg_iov = (void *)&data,
                              .msg_iovlen = 1,
                              .msg_control = control.room,
                              .msg_controllen = sizeof(control.room) };

    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    *(int *)(void *)CMSG_DATA(&control.header) = listener;
    need(STUB_LISTENER, CALL(sendmsg, stub_plan.sync, &message, MSG_NOSIGNAL, 0, 0));
}

static void load_filter(void)
{
    struct sock_fprog program = { (unsigned short)stub_plan.filter_count,
                                  (struct sock_filter *)(uintptr_t)at(stub_plan.filter) };
    long r;

    if (!stub_plan.filter)
        return;
    r = CALL(seccomp, SECCOMP_SET_MODE_FILTER, stub_plan.filter_flags, &program, 0, 0);
    need(STUB_FILTER, r);
    if (stub_plan.flags & STUB_LISTENER_WANTED)
        send_listener((int)r); /* the kernel made it close-on-exec */
}

static void change_ids(void)
{
    uint32_t uid = stub_plan.uid, gid = stub_plan.gid;
    long r = 0;

    if (stub_plan.flags & STUB_SET_GROUPS)
        r = CALL(setgroups, stub_plan.group_count, at(stub_plan.groups), 0, 0, 0);
    /* a joined user namespace may deny it: then there must be no groups to set */
    if (r != -EPERM || stub_plan.group_count > 0)
        need(STUB_GROUPS, r);
    need(STUB_GID, CALL(setresgid, gid, gid, gid, 0, 0));
    need(STUB_UID, CALL(prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0));
    need(STUB_UID, CALL(setresuid, uid, uid, uid, 0, 0));
    need(STUB_UID, CALL(prctl, PR_SET_KEEPCAPS, 0, 0, 0, 0));
}

/* The bounding set was lowered by init. An ambient capability that cannot be raised is no error:
 * the specification's users expect it to be left out. */
static void set_capabilities(void)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2];

    for (unsigned half = 0; half < 2; half++) {
        data[half].permitted = (uint32_t)(stub_plan.permitted >> (32 * half));
        data[half].effective = (uint32_t)(stub_plan.effective >> (32 * half));
        data[half].inheritable = (uint32_t)(stub_plan.inheritable >> (32 * half));
    }
    /* the runtime's own ambient set must not leak (CVE-2022-24769) */
    CALL(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    need(STUB_CAPABILITIES, CALL(capset, &header, data, 0, 0, 0));
    for (uint64_t left = stub_plan.ambient, c = 0; left; left >>= 1, c++) {
        if (left & 1)
            CALL(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, c, 0, 0);
    }
}

/* Written last, so that the next execve, and only that one, enters the profile. */
static void set_label(void)
{
    const char *label = at(stub_plan.label);
    long fd;

    if (!stub_plan.label)
        return;
    fd = CALL(openat, stub_plan.proc, at(stub_plan.attribute), O_WRONLY | O_CLOEXEC, 0, 0);
    need(STUB_LABEL, fd);
    need(STUB_LABEL, CALL(write, fd, label, length(label), 0, 0));
    CALL(close, fd, 0, 0, 0, 0);
    CALL(close, stub_plan.proc, 0, 0, 0, 0);
}

/* With no_new_privs the filter comes last and need allow little; without, loading it takes
 * CAP_SYS_ADMIN, so it comes before the capabilities go, and must allow these very steps. */
void stub_main(const long *stack)
{
    const long *argv = stack + 1, *env = argv + *stack + 1;
    int late = stub_plan.flags & STUB_NO_NEW_PRIVILEGES;

    claim_socket();
    need(STUB_DUMPABLE, CALL(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0));
    if (!late)
        load_filter();
    change_ids();
    set_capabilities();
    if (stub_plan.flags & STUB_DIE_WITH_PARENT) /* a change of credentials forgets it: so here */
        need(STUB_DEATH, CALL(prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
    if (late)
        need(STUB_NO_NEW_PRIVS, CALL(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    set_label();
    if (late)
        load_filter();
    fail(STUB_EXEC, CALL(execve, at(stub_plan.path), argv, env, 0, 0));
}
