/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe - the program inside the container: tells what its world is like, as one JSON object
 *
 * Static, so that it runs in any root. Without arguments it tells what it sees of itself ("args",
 * "env", "cwd", "ids", "rlimits", ...); each argument is one thing more to try, and its outcome
 * stands under "did" by the argument's own text:
 *
 *     read:PATH         {"text": ...} or {"errno": NAME}          stat:PATH    type, mode, owner,
 * device write:PATH:TEXT   {} or {"errno": NAME}                     list:PATH    {"names": [...]}
 *     create:PATH       a new file                                open:PATH    for reading, as a
 * device link:PATH         where a symbolic link points              exec:PATH    whether execve is
 * allowed call:NAME[,N...]  one system call: {"value": N} or {"errno": NAME} exit:N            the
 * exit status at the end                sleep:MS     a pause
 *
 * The trap: nothing here may depend on what the container lacks (/proc may be missing or masked),
 * so whatever cannot be had is an "errno" in the answer, never a failure of the probe.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"

#define OUTPUT_MAX (8u << 20)
#define FILE_MAX   (1u << 20)
#define GROUPS_MAX 1024

static void put_string(struct buf *out, const char *s)
{
    buf_json(out, s, strlen(s));
}

static void put_name(struct buf *out, const char *name)
{
    put_string(out, name);
    buf_str(out, ":");
}

static void put_number(struct buf *out, const char *name, long long value)
{
    put_name(out, name);
    buf_printf(out, "%lld,", value);
}

/* A list or object is written with a comma behind each element; this ends it. */
static void put_end(struct buf *out, char bracket)
{
    if (out->len && out->data[out->len - 1] == ',')
        out->len--;
    buf_char(out, bracket);
    buf_char(out, ',');
}

static void put_outcome(struct buf *out, long long result)
{
    if (result < 0)
        buf_printf(out, "{\"errno\":\"%s\"},", strerrorname_np(errno));
    else
        buf_printf(out, "{\"value\":%lld},", result);
}

static void put_strings(struct buf *out, const char *name, char *const *list)
{
    put_name(out, name);
    buf_char(out, '[');
    for (; *list; list++) {
        put_string(out, *list);
        buf_char(out, ',');
    }
    put_end(out, ']');
}

/* ---- what is seen without being asked ---- */

static void put_ids(struct buf *out)
{
    uid_t u[3];
    gid_t g[3], groups[GROUPS_MAX];
    mode_t mask = umask(0);
    int n = getgroups(GROUPS_MAX, groups);

    umask(mask);
    getresuid(&u[0], &u[1], &u[2]);
    getresgid(&g[0], &g[1], &g[2]);
    buf_printf(out, "\"uid\":[%u,%u,%u],\"gid\":[%u,%u,%u],\"groups\":[", u[0], u[1], u[2], g[0],
               g[1], g[2]);
    for (int i = 0; i < n; i++)
        buf_printf(out, "%u,", groups[i]);
    put_end(out, ']');
    put_number(out, "umask", mask);
    put_number(out, "pid", getpid());
    put_number(out, "ppid", getppid());
    put_number(out, "sid", getsid(0));
    put_number(out, "pgid", getpgid(0));
}

static void put_rlimits(struct buf *out)
{
    static const char *const names[RLIM_NLIMITS] = {
        [RLIMIT_AS] = "AS",
        [RLIMIT_CORE] = "CORE",
        [RLIMIT_CPU] = "CPU",
        [RLIMIT_DATA] = "DATA",
        [RLIMIT_FSIZE] = "FSIZE",
        [RLIMIT_LOCKS] = "LOCKS",
        [RLIMIT_MEMLOCK] = "MEMLOCK",
        [RLIMIT_MSGQUEUE] = "MSGQUEUE",
        [RLIMIT_NICE] = "NICE",
        [RLIMIT_NOFILE] = "NOFILE",
        [RLIMIT_NPROC] = "NPROC",
        [RLIMIT_RSS] = "RSS",
        [RLIMIT_RTPRIO] = "RTPRIO",
        [RLIMIT_RTTIME] = "RTTIME",
        [RLIMIT_SIGPENDING] = "SIGPENDING",
        [RLIMIT_STACK] = "STACK",
    };
    put_name(out, "rlimits");
    buf_char(out, '{');
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        struct rlimit limit;
        if (names[i] && getrlimit((__rlimit_resource_t)i, &limit) == 0)
            buf_printf(out, "\"RLIMIT_%s\":[%llu,%llu],", names[i],
                       (unsigned long long)limit.rlim_cur, (unsigned long long)limit.rlim_max);
    }
    put_end(out, '}');
}

/* sched_setattr(2); <linux/sched/types.h> cannot be had together with <sched.h> */
struct scheduling {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

static void put_scheduling(struct buf *out)
{
    struct scheduling a = { .size = sizeof(a) };
    cpu_set_t cpus;

    if (syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) == 0)
        buf_printf(out,
                   "\"scheduler\":{\"policy\":%u,\"flags\":%llu,\"nice\":%d,\"priority\":%u,"
                   "\"runtime\":%llu,\"deadline\":%llu,\"period\":%llu},",
                   a.policy, (unsigned long long)a.flags, a.nice, a.priority,
                   (unsigned long long)a.runtime, (unsigned long long)a.deadline,
                   (unsigned long long)a.period);
    put_number(out, "ioprio", syscall(SYS_ioprio_get, 1, 0));
    buf_str(out, "\"cpus\":[");
    if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
        for (int i = 0; i < CPU_SETSIZE; i++)
            if (CPU_ISSET(i, &cpus))
                buf_printf(out, "%d,", i);
    put_end(out, ']');
    int mode = -1;
    unsigned long nodes[16] = { 0 };
    if (syscall(SYS_get_mempolicy, &mode, nodes, sizeof(nodes) * 8, NULL, 0) == 0)
        buf_printf(out, "\"mempolicy\":{\"mode\":%d,\"nodes\":%lu},", mode, nodes[0]);
}

static void put_session(struct buf *out)
{
    char keyring[256] = "";
    struct winsize size = { 0 };
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);

    put_number(out, "ctty", tty >= 0);
    if (ioctl(0, TIOCGWINSZ, &size) == 0)
        buf_printf(out, "\"winsize\":[%u,%u],", size.ws_row, size.ws_col);
    if (tty >= 0)
        close(tty);
    buf_printf(out, "\"tty\":[%d,%d,%d],", isatty(0), isatty(1), isatty(2));
    if (syscall(SYS_keyctl, KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING, keyring,
                sizeof(keyring) - 1) > 0) {
        put_name(out, "keyring");
        put_string(out, keyring);
        buf_char(out, ',');
    }
    put_number(out, "no_new_privs", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    put_number(out, "seccomp", prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
    put_number(out, "dumpable", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
    put_number(out, "personality", personality(0xffffffff));
}

static void put_names(struct buf *out)
{
    struct utsname u;
    char cwd[PATH_MAX] = "";

    if (uname(&u) == 0) {
        put_name(out, "hostname");
        put_string(out, u.nodename);
        buf_char(out, ',');
        put_name(out, "domainname");
        put_string(out, u.domainname);
        buf_char(out, ',');
        put_name(out, "machine");
        put_string(out, u.machine);
        buf_char(out, ',');
    }
    put_name(out, "cwd");
    put_string(out, getcwd(cwd, sizeof(cwd)) ? cwd : strerrorname_np(errno));
    buf_char(out, ',');
}

/* {number: what it points to} of the open descriptors, by trying each: /proc may be absent. */
static void put_descriptors(struct buf *out)
{
    put_name(out, "fds");
    buf_char(out, '{');
    for (int fd = 0; fd < 1024; fd++) {
        char path[64], target[PATH_MAX];
        if (fcntl(fd, F_GETFD) < 0)
            continue;
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, target, sizeof(target) - 1);
        target[n > 0 ? n : 0] = '\0';
        buf_printf(out, "\"%d\":", fd);
        put_string(out, target);
        buf_char(out, ',');
    }
    put_end(out, '}');
}

static void put_links(struct buf *out)
{
    static const char *const names[] = {
        "cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts",
    };
    put_name(out, "namespaces");
    buf_char(out, '{');
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char path[64], target[64];
        snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
        ssize_t n = readlink(path, target, sizeof(target) - 1);
        target[n > 0 ? n : 0] = '\0';
        put_name(out, names[i]);
        put_string(out, target);
        buf_char(out, ',');
    }
    put_end(out, '}');
}

static void put_files(struct buf *out)
{
    static const char *const names[] = { "status",         "mountinfo",     "cgroup",
                                         "uid_map",        "gid_map",       "setgroups",
                                         "timens_offsets", "oom_score_adj", "net/dev",
                                         "attr/current" };
    put_name(out, "proc");
    buf_char(out, '{');
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        autofree char *path = str_format("/proc/self/%s", names[i]);
        autofree char *text = NULL;
        put_name(out, names[i]);
        put_string(out, path && file_read(AT_FDCWD, path, FILE_MAX, &text) >= 0 ? text : "");
        buf_char(out, ',');
    }
    put_end(out, '}');
}

/* ---- what is tried when asked ---- */

static void do_read(struct buf *out, const char *path)
{
    autofree char *text = NULL;
    ssize_t n = file_read(AT_FDCWD, path, FILE_MAX, &text);

    if (n < 0) {
        errno = (int)-n;
        put_outcome(out, -1);
        return;
    }
    buf_str(out, "{\"text\":");
    buf_json(out, text, (size_t)n);
    buf_str(out, "},");
}

static void do_write(struct buf *out, const char *argument)
{
    const char *colon = strchr(argument, ':');
    autofree char *path = colon ? strndup(argument, (size_t)(colon - argument)) : NULL;
    int r = path ? file_write(AT_FDCWD, path, colon + 1) : -EINVAL;

    errno = -r;
    put_outcome(out, r);
}

static void do_open(struct buf *out, const char *path)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    put_outcome(out, fd < 0 ? -1 : 0);
    if (fd >= 0)
        close(fd);
}

static void do_create(struct buf *out, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

    put_outcome(out, fd < 0 ? -1 : 0);
    if (fd >= 0)
        close(fd);
}

static void do_stat(struct buf *out, const char *path)
{
    struct stat st;

    if (lstat(path, &st) < 0) {
        put_outcome(out, -1);
        return;
    }
    buf_printf(out,
               "{\"type\":\"%c\",\"mode\":\"%04o\",\"uid\":%u,\"gid\":%u,\"size\":%lld,"
               "\"device\":[%u,%u]},",
               "?pc?d?b?-?l?s???"[st.st_mode >> 12], st.st_mode & 07777, st.st_uid, st.st_gid,
               (long long)st.st_size, major(st.st_rdev), minor(st.st_rdev));
}

static void do_link(struct buf *out, const char *path)
{
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof(target) - 1);

    if (n < 0) {
        put_outcome(out, -1);
        return;
    }
    buf_str(out, "{\"text\":");
    buf_json(out, target, (size_t)n);
    buf_str(out, "},");
}

static void do_list(struct buf *out, const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    if (!dir) {
        put_outcome(out, -1);
        return;
    }
    buf_str(out, "{\"names\":[");
    while ((entry = readdir(dir)) != NULL) {
        if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
            continue;
        put_string(out, entry->d_name);
        buf_char(out, ',');
    }
    closedir(dir);
    put_end(out, ']');
    put_end(out, '}');
}

/* In a child: the value is its exit status, 126 where execve itself failed. */
static void do_exec(struct buf *out, const char *path)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        dup2(null, 1);
        execl(path, path, (char *)NULL);
        _exit(126);
    }
    put_outcome(out, pid < 0 || waitpid(pid, &status, 0) < 0 ? -1 : WEXITSTATUS(status));
}

static void do_call(struct buf *out, const char *argument)
{
    static const struct {
        const char *name;
        long number;
    } calls[] = {
        { "getppid", SYS_getppid },
        { "getpgid", SYS_getpgid },
        { "umask", SYS_umask },
        { "getpriority", SYS_getpriority },
        { "personality", SYS_personality },
        { "sethostname", SYS_sethostname },
        { "unshare", SYS_unshare },
        { "socket", SYS_socket },
        { "dup", SYS_dup },
        { "kill", SYS_kill },
        { "sync", SYS_sync },
        { "chroot", SYS_chroot },
        { "setuid", SYS_setuid },
        { "alarm", SYS_alarm },
    };
    long a[6] = { 0 };
    autofree char *copy = strdup(argument);
    char *rest = copy, *name = strsep(&rest, ",");

    for (int i = 0; i < 6 && rest; i++) {
        int64_t value = 0;
        if (parse_i64(strsep(&rest, ","), INT64_MIN, INT64_MAX, &value) == 0)
            a[i] = value;
    }
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
        if (streq(calls[i].name, name)) {
            put_outcome(out, syscall(calls[i].number, a[0], a[1], a[2], a[3], a[4], a[5]));
            return;
        }
    }
    buf_str(out, "{\"errno\":\"unknown to the probe\"},");
}

static void do_sleep(struct buf *out, const char *argument)
{
    uint64_t ms = 0;

    parse_u64(argument, 0, 100000, &ms);
    usleep((useconds_t)ms * 1000);
    put_outcome(out, 0);
}

static void act(struct buf *out, const char *argument)
{
    static const struct {
        const char *verb;
        void (*act)(struct buf *out, const char *argument);
    } verbs[] = {
        { "read:", do_read }, { "write:", do_write },   { "stat:", do_stat }, { "list:", do_list },
        { "link:", do_link }, { "create:", do_create }, { "open:", do_open }, { "exec:", do_exec },
        { "call:", do_call }, { "sleep:", do_sleep },
    };
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        const char *rest = str_after(argument, verbs[i].verb);
        if (rest) {
            put_name(out, argument);
            verbs[i].act(out, rest);
            return;
        }
    }
}

int main(int argc, char **argv, char **environment)
{
    autobuf struct buf out = BUF(OUTPUT_MAX);
    uint64_t status = 0;

    buf_char(&out, '{');
    put_descriptors(&out); /* before anything here opens one */
    put_strings(&out, "args", argv);
    put_strings(&out, "env", environment);
    put_ids(&out);
    put_names(&out);
    put_rlimits(&out);
    put_scheduling(&out);
    put_session(&out);
    put_links(&out);
    put_files(&out);
    put_name(&out, "did");
    buf_char(&out, '{');
    for (int i = 1; i < argc; i++) {
        const char *number = str_after(argv[i], "exit:");
        if (number)
            parse_u64(number, 0, 255, &status);
        else
            act(&out, argv[i]);
    }
    put_end(&out, '}');
    out.data[out.len - 1] = '}';
    buf_char(&out, '\n');
    if (out.error || fd_write_all(1, out.data, out.len) < 0)
        return 125;
    return (int)status;
}
