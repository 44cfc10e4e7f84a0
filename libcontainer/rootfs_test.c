/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Roots, ordinary and hostile, built for real: each case makes a directory, prepares a plan, and
 * carries it out in a child with its own mount, pid, ipc, uts and cgroup namespaces. What the child
 * finds inside comes back as its exit status, what went wrong as an error through a pipe. Needs
 * root.
 */
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <cmocka.h>
#include "base/fd.h"
#include "base/str.h"
#include "libcontainer/console.h"
#include "libcontainer/rootfs.h"

DEFINE_AUTO(struct container_spec, container_spec_free)

#define RUN_NAMESPACES (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

static char base_dir[64]; /* of one test; the root is "root" in it */

struct run {
    const char *config; /* members of config.json after the root, with a leading comma or "" */
    bool readonly;
    int (*inside)(void);  /* 0: all is as it should be; else a line number */
    int (*between)(void); /* before the pivot */
    int namespaces;
    unsigned flags;
    int code; /* results */
    struct wharf_error e;
};

/* A check inside the child: tells the line that failed. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return __LINE__;                                                                       \
    } while (0)

static struct container_spec *make_spec(const struct run *run)
{
    autofree char *json =
        str_format("{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"%s/root\",\"readonly\":%s},"
                   "\"process\":{\"cwd\":\"/\",\"args\":[\"x\"],\"user\":{\"uid\":0,\"gid\":0}}%s}",
                   base_dir, run->readonly ? "true" : "false", run->config);
    struct container_spec *spec = NULL;
    struct wharf_error e = { 0 };

    if (container_spec_parse(&spec, json, strlen(json), &e) < 0)
        fail_msg("%s", e.message);
    return spec;
}

static int walk(struct rootfs *r, const struct run *run, struct wharf_error *e)
{
    int code = rootfs_build(r, e);

    if (code == 0 && run->between)
        code = run->between();
    if (code == 0)
        code = rootfs_pivot(r, e);
    if (code == 0)
        code = rootfs_finish(r, e);
    if (code == 0 && run->inside)
        code = run->inside();
    return code;
}

static void child(struct rootfs *r, const struct run *run, int out)
{
    struct wharf_error e = { 0 };
    int code;

    if (unshare(run->namespaces ? run->namespaces : RUN_NAMESPACES) < 0)
        _exit(98);
    if (fork() == 0) {
        alarm(20);
        code = walk(r, run, &e);
        if (write(out, &code, sizeof(code)) < 0 || write(out, &e, sizeof(e)) < 0)
            _exit(97);
        _exit(0);
    }
    wait(NULL);
    _exit(0);
}

static int try_run(struct run *run)
{
    auto_of(arena_free) struct arena *arena = arena_new(16 << 20);
    auto_of(container_spec_free) struct container_spec *spec = make_spec(run);
    struct rootfs_options options = { .bundle_fd = -1, .root_fd = -1, .flags = run->flags };
    struct rootfs *r = NULL;
    int pipes[2];
    pid_t pid;

    memset(&run->e, 0, sizeof(run->e));
    run->code = rootfs_prepare(spec, &options, arena, &r, &run->e);
    if (run->code < 0)
        return run->code;
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0)
        child(r, run, pipes[1]);
    close(pipes[1]);
    rootfs_done(r);
    if (fd_read_exact(pipes[0], &run->code, sizeof(run->code)) < 0 ||
        fd_read_exact(pipes[0], &run->e, sizeof(run->e)) < 0)
        run->code = -EPIPE;
    close(pipes[0]);
    waitpid(pid, NULL, 0);
    return run->code;
}

static void must_run(struct run *run)
{
    int code = try_run(run);

    if (code != 0)
        fail_msg("code %d (%s)", code, run->e.message);
}

static void must_fail(struct run *run, const char *text)
{
    if (try_run(run) >= 0 || !strstr(run->e.message, text))
        fail_msg("code %d, '%s' instead of '%s'", run->code, run->e.message, text);
}

/* ---- the host's side ---- */

static char *mounts_of_host(void)
{
    char *text = NULL;

    assert_true(file_read(AT_FDCWD, "/proc/self/mountinfo", 1 << 20, &text) > 0);
    return text;
}

static void in_root(const char *name, char out[256])
{
    snprintf(out, 256, "%s/%s", base_dir, name);
}

static void make_dir(const char *name)
{
    char path[256];

    in_root(name, path);
    assert_int_equal(mkdir(path, 0755), 0);
}

static void make_file(const char *name, const char *text)
{
    char path[256];
    autoclose int fd = -1;

    in_root(name, path);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

static void make_link(const char *text, const char *name)
{
    char path[256];

    in_root(name, path);
    assert_int_equal(symlink(text, path), 0);
}

static int entries;

static int count_entry(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)path;
    (void)st;
    (void)type;
    entries += where->level > 0;
    return 0;
}

/* How many things lie below a directory of the host's side. */
static int count_entries(const char *name)
{
    char path[256];

    in_root(name, path);
    entries = 0;
    assert_int_equal(nftw(path, count_entry, 8, FTW_PHYS), 0);
    return entries;
}

static int setup(void **state)
{
    (void)state;
    if (geteuid() != 0)
        return 0;
    snprintf(base_dir, sizeof(base_dir), "/tmp/rootfs-test-XXXXXX");
    if (!mkdtemp(base_dir))
        return -1;
    make_dir("root");
    make_dir("host");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return geteuid() == 0 ? path_remove_tree(AT_FDCWD, base_dir) : 0;
}

#define NEED_ROOT()                                                                                \
    do {                                                                                           \
        if (geteuid() != 0) {                                                                      \
            print_message("skipped: mounting needs root\n");                                       \
            skip();                                                                                \
        }                                                                                          \
    } while (0)

/* ---- the default container ---- */

#define DEFAULT_MOUNTS                                                                             \
    "\"mounts\":["                                                                                 \
    "{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"                           \
    "{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":"               \
    "[\"nosuid\",\"strictatime\",\"mode=755\",\"size=65536k\"]},"                                  \
    "{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\",\"options\":"         \
    "[\"nosuid\",\"noexec\",\"newinstance\",\"ptmxmode=0666\",\"mode=0620\",\"gid=5\"]},"          \
    "{\"destination\":\"/dev/shm\",\"type\":\"tmpfs\",\"source\":\"shm\",\"options\":"             \
    "[\"nosuid\",\"noexec\",\"nodev\",\"mode=1777\",\"size=65536k\"]},"                            \
    "{\"destination\":\"/dev/mqueue\",\"type\":\"mqueue\",\"source\":\"mqueue\",\"options\":"      \
    "[\"nosuid\",\"noexec\",\"nodev\"]},"                                                          \
    "{\"destination\":\"/sys\",\"type\":\"sysfs\",\"source\":\"sysfs\",\"options\":"               \
    "[\"nosuid\",\"noexec\",\"nodev\",\"ro\"]}]"

#define DEFAULT_NAMESPACES                                                                         \
    "\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"pid\"},{\"type\":\"ipc\"},"                  \
    "{\"type\":\"uts\"},{\"type\":\"cgroup\"}]"

#define DEFAULT_PATHS                                                                              \
    "\"maskedPaths\":[\"/proc/acpi\",\"/proc/asound\",\"/proc/kcore\",\"/proc/keys\","             \
    "\"/proc/latency_stats\",\"/proc/timer_list\",\"/proc/timer_stats\",\"/proc/sched_debug\","    \
    "\"/proc/scsi\",\"/sys/firmware\"],"                                                           \
    "\"readonlyPaths\":[\"/proc/bus\",\"/proc/fs\",\"/proc/irq\",\"/proc/sys\","                   \
    "\"/proc/sysrq-trigger\"]"

#define DEFAULT_CONFIG "," DEFAULT_MOUNTS ",\"linux\":{" DEFAULT_NAMESPACES "," DEFAULT_PATHS "}"

static bool is_char(const char *path, unsigned major_number, unsigned minor_number, mode_t mode)
{
    struct stat st;

    return lstat(path, &st) == 0 && S_ISCHR(st.st_mode) && (st.st_mode & 07777) == mode &&
           st.st_rdev == makedev(major_number, minor_number);
}

static bool links_to(const char *path, const char *text)
{
    char found[256];
    ssize_t n = readlink(path, found, sizeof(found) - 1);

    found[MAX(n, 0)] = 0;
    return streq(found, text);
}

static bool write_fails(const char *path, int with)
{
    autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);

    return fd < 0 && errno == with;
}

static int inside_default(void)
{
    struct stat st;
    char byte;
    autoclose int timers = -1;

    CHECK(getpid() == 1);
    CHECK(access("/proc/1/stat", R_OK) == 0);
    CHECK(is_char("/dev/null", 1, 3, 0666) && is_char("/dev/zero", 1, 5, 0666));
    CHECK(is_char("/dev/full", 1, 7, 0666) && is_char("/dev/random", 1, 8, 0666));
    CHECK(is_char("/dev/urandom", 1, 9, 0666) && is_char("/dev/tty", 5, 0, 0666));
    CHECK(links_to("/dev/fd", "/proc/self/fd") && links_to("/dev/stdout", "/proc/self/fd/1"));
    CHECK(links_to("/dev/ptmx", "pts/ptmx"));
    CHECK(stat("/dev/shm", &st) == 0 && (st.st_mode & 07777) == 01777);
    CHECK(stat("/dev/pts/ptmx", &st) == 0 && (st.st_mode & 07777) == 0666);
    CHECK(access("/proc/sysrq-trigger", F_OK) < 0 || write_fails("/proc/sysrq-trigger", EROFS));
    CHECK(write_fails("/proc/sys/kernel/core_pattern", EROFS));
    CHECK(mkdir("/sys/x", 0755) < 0 && errno == EROFS);
    CHECK(mkdir("/sys/firmware/x", 0755) < 0 && errno == EROFS);
    timers = open("/proc/timer_list", O_RDONLY | O_CLOEXEC);
    CHECK(timers >= 0 && read(timers, &byte, 1) == 0);
    CHECK(access(base_dir, F_OK) < 0);
    CHECK(mkdir("/made", 0755) == 0);
    return 0;
}

static void test_default(void **state)
{
    struct run run = { .config = DEFAULT_CONFIG, .inside = inside_default };
    autofree char *before = NULL, *after = NULL;

    (void)state;
    NEED_ROOT();
    before = mounts_of_host();
    must_run(&run);
    after = mounts_of_host();
    assert_string_equal(before, after);
}

/* The same through every other way to a root. */
static int inside_readonly(void)
{
    CHECK(mkdir("/made", 0755) < 0 && errno == EROFS);
    CHECK(mkdir("/dev/shm/made", 0755) == 0);
    return 0;
}

static void test_readonly_root(void **state)
{
    struct run run = { .config = DEFAULT_CONFIG, .readonly = true, .inside = inside_readonly };

    (void)state;
    NEED_ROOT();
    must_run(&run);
    run.flags = CONTAINER_NO_PIVOT;
    must_run(&run);
}

/* ---- binds ---- */

static int inside_binds(void)
{
    char text[16] = "";
    autoclose int fd = open("/etc/deep/file", O_RDONLY | O_CLOEXEC);

    CHECK(fd >= 0 && read(fd, text, sizeof(text)) == 4 && strncmp(text, "text", 4) == 0);
    CHECK(write_fails("/etc/deep/file", EROFS));
    CHECK(mkdir("/data/made", 0755) == 0);
    CHECK(mkdir("/locked/other", 0755) < 0 && errno == EROFS);
    CHECK(mkdir("/locked/sub/other", 0755) < 0 && errno == EROFS);
    CHECK(mkdir("/partly/other", 0755) < 0 && errno == EROFS);
    CHECK(mkdir("/partly/sub/other", 0755) == 0);
    return 0;
}

static void test_binds(void **state)
{
    char sub[256];
    autofree char *config = NULL;
    struct run run = { .inside = inside_binds };

    (void)state;
    NEED_ROOT();
    make_file("file", "text");
    make_dir("host/sub");
    in_root("host/sub", sub);
    assert_int_equal(mount("none", sub, "tmpfs", 0, NULL), 0);
    config = str_format(
        ",\"mounts\":["
        "{\"destination\":\"/etc/deep/file\",\"source\":\"%s/file\",\"options\":[\"bind\",\"ro\"]},"
        "{\"destination\":\"/data\",\"source\":\"%s/host\",\"options\":[\"rbind\",\"rprivate\"]},"
        "{\"destination\":\"/locked\",\"source\":\"%s/host\",\"options\":[\"rbind\",\"rro\"]},"
        "{\"destination\":\"/partly\",\"source\":\"%s/host\",\"options\":[\"rbind\",\"ro\"]}],"
        "\"linux\":{" DEFAULT_NAMESPACES "}",
        base_dir, base_dir, base_dir, base_dir);
    run.config = config;
    (void)try_run(&run);
    assert_int_equal(umount(sub), 0);
    if (run.code != 0)
        fail_msg("code %d (%s)", run.code, run.e.message);
    assert_int_equal(count_entries("host"), 2);
}

static void test_bad_mounts(void **state)
{
    static const struct {
        const char *mount, *error;
    } cases[] = {
        { "\"destination\":\"/proc\",\"type\":\"tmpfs\"", "/proc" },
        { "\"destination\":\"/proc/self/attr\",\"type\":\"tmpfs\"", "/proc" },
        { "\"destination\":\"/x/../proc\",\"type\":\"tmpfs\"", "/proc" },
        { "\"destination\":\"//proc/./sys/../self\",\"source\":\"/tmp\",\"options\":[\"bind\"]",
          "/proc" },
        { "\"destination\":\"/proc/uptime\",\"type\":\"tmpfs\"", "/proc" },
        { "\"destination\":\"/proc\",\"source\":\"/tmp\",\"options\":[\"bind\"]", "/proc" },
        { "\"destination\":\"/\",\"type\":\"tmpfs\"", "hide the root" },
        { "\"destination\":\"/a\",\"source\":\"/nonexistent\",\"options\":[\"bind\"]",
          "'/nonexistent' of mount '/a'" },
        { "\"destination\":\"/a\",\"options\":[\"bind\"]", "needs a source" },
        { "\"destination\":\"/a\",\"source\":\"/tmp\"", "no type" },
        { "\"destination\":\"/a\",\"type\":\"nofs\"", "'/a'" },
        { "\"destination\":\"/a\",\"type\":\"tmpfs\",\"options\":[\"nonsense\"]", "nonsense" },
        { "\"destination\":\"/a\",\"source\":\"/tmp\",\"options\":[\"bind\",\"idmap\"]", "idmap" },
    };

    (void)state;
    NEED_ROOT();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        autofree char *config =
            str_format(",\"mounts\":[{%s}],\"linux\":{" DEFAULT_NAMESPACES "}", cases[i].mount);
        struct run run = { .config = config };

        must_fail(&run, cases[i].error);
    }
}

/* ---- hostile roots ---- */

static void test_dev_is_a_link(void **state) /* CVE-2026-41579, CVE-2026-47766 */
{
    struct run run = { .config = DEFAULT_CONFIG };
    char host[256];

    (void)state;
    NEED_ROOT();
    in_root("host", host);
    make_link(host, "root/dev");
    must_fail(&run, "'/dev' in the root must be an ordinary directory");
    run.config = ",\"linux\":{" DEFAULT_NAMESPACES "}";
    must_fail(&run, "'/dev' in the root must be an ordinary directory");
    assert_int_equal(count_entries("host"), 0);
}

static void test_proc_and_sys_are_links(void **state) /* CVE-2019-19921, CVE-2023-27561 */
{
    struct run run = { .config = DEFAULT_CONFIG };
    char name[256];

    (void)state;
    NEED_ROOT();
    make_dir("root/elsewhere");
    make_link("elsewhere", "root/proc");
    must_fail(&run, "'/proc' in the root must be an ordinary directory");
    in_root("root/proc", name);
    assert_int_equal(unlink(name), 0);
    make_file("root/proc", "");
    must_fail(&run, "'/proc'");
    assert_int_equal(unlink(name), 0);
    make_link("/elsewhere", "root/sys");
    must_fail(&run, "'/sys' in the root must be an ordinary directory");
}

static void test_null_is_a_link(void **state) /* CVE-2025-31133 */
{
    struct run run = { .config = ",\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\"}],"
                                 "\"linux\":{" DEFAULT_NAMESPACES "," DEFAULT_PATHS "}" };

    (void)state;
    NEED_ROOT();
    make_dir("root/dev");
    make_link("/proc/sysrq-trigger", "root/dev/null");
    must_fail(&run, "cannot make device '/dev/null': the root holds something else");
}

static int inside_links(void)
{
    char text[16] = "";
    autoclose int fd = open("/run/resolv", O_RDONLY | O_CLOEXEC);

    CHECK(fd >= 0 && read(fd, text, sizeof(text)) == 4);
    CHECK(links_to("/etc", "/real"));
    CHECK(links_to("/real/resolv.conf", "../../../run/resolv"));
    CHECK(access("/inner/x/dir/made", F_OK) == 0);
    return 0;
}

/* Mount points behind links are made inside the root, at the place the links name there. */
static void test_links_to_mount_points(void **state) /* CVE-2024-45310, CVE-2025-24965 */
{
    autofree char *config = NULL;
    struct run run = { .inside = inside_links };

    (void)state;
    NEED_ROOT();
    make_file("file", "text");
    make_dir("source");
    make_dir("source/made");
    make_dir("root/real");
    make_link("/real", "root/etc");
    make_link("../../../run/resolv", "root/real/resolv.conf");
    make_link("/inner/x", "root/out");
    config = str_format(
        ",\"mounts\":["
        "{\"destination\":\"/etc/resolv.conf\",\"source\":\"%s/file\",\"options\":[\"bind\"]},"
        "{\"destination\":\"/out/dir\",\"source\":\"%s/source\",\"options\":[\"bind\"]}],"
        "\"linux\":{" DEFAULT_NAMESPACES "}",
        base_dir, base_dir);
    run.config = config;
    must_run(&run);
    assert_int_equal(access("/run/resolv", F_OK), -1);
    assert_int_equal(access("/inner", F_OK), -1);
    assert_int_equal(count_entries("host"), 0);
}

static void test_link_into_proc(void **state) /* CVE-2015-3631 */
{
    autofree char *config = NULL;
    struct run run = { 0 };

    (void)state;
    NEED_ROOT();
    make_link("/proc", "root/x");
    config = str_format(",\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\"},"
                        "{\"destination\":\"/x/sys\",\"source\":\"%s/host\",\"options\":"
                        "[\"bind\"]}],\"linux\":{" DEFAULT_NAMESPACES "}",
                        base_dir);
    run.config = config;
    must_fail(&run, "'/x/sys' leads into /proc");
}

/* Exchanges root/volume/turn with a link out of the root until it is killed. */
static pid_t start_racer(void)
{
    char dir[256], link[256];
    pid_t pid;

    in_root("root/volume/turn", dir);
    in_root("root/volume/link", link);
    pid = fork();
    if (pid == 0) {
        alarm(30);
        for (;;)
            syscall(SYS_renameat2, AT_FDCWD, dir, AT_FDCWD, link, 2 /* RENAME_EXCHANGE */);
    }
    return pid;
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void test_racing_link(void **state) /* CVE-2021-30465, CVE-2024-45310 */
{
    autofree char *config = NULL, *before = NULL, *after = NULL;
    struct run run = { 0 };
    int64_t end = now_ms() + 1500;
    char host[256];
    pid_t racer;

    (void)state;
    NEED_ROOT();
    make_dir("root/volume");
    make_dir("root/volume/turn");
    in_root("host", host);
    make_link(host, "root/volume/link");
    config = str_format(",\"mounts\":[{\"destination\":\"/volume/turn/a/b\",\"type\":\"tmpfs\"},"
                        "{\"destination\":\"/volume/turn/f\",\"source\":\"/etc/passwd\","
                        "\"options\":[\"bind\",\"ro\"]}],\"linux\":{" DEFAULT_NAMESPACES "}");
    run.config = config;
    before = mounts_of_host();
    racer = start_racer();
    while (now_ms() < end)
        (void)try_run(&run); /* may fail or not; what it must not do is looked at below */
    kill(racer, SIGKILL);
    waitpid(racer, NULL, 0);
    after = mounts_of_host();
    assert_string_equal(before, after);
    assert_int_equal(count_entries("host"), 0);
}

/* ---- details ---- */

static int inside_details(void)
{
    struct stat st;
    char text[8] = "";
    autoclose int fd = open("/up/file", O_RDONLY | O_CLOEXEC);

    CHECK(fd >= 0 && read(fd, text, sizeof(text)) == 4);
    CHECK(links_to("/up/link", "file"));
    CHECK(stat("/up/sub", &st) == 0 && (st.st_mode & 07777) == 0700);
    CHECK(mkdir("/up/new", 0755) == 0);
    CHECK(links_to("/copied", "/where/ever"));
    CHECK(is_char("/dev/net/tun", 10, 200, 0600) && is_char("/dev/null", 1, 3, 0600));
    CHECK(stat("/dev/net/tun", &st) == 0 && st.st_uid == 7 && st.st_gid == 8);
    CHECK(stat("/dev/fifo", &st) == 0 && S_ISFIFO(st.st_mode));
    CHECK(mkdir("/again/x", 0755) < 0 && errno == EROFS);
    return 0;
}

static void test_details(void **state)
{
    autofree char *config = NULL;
    struct run run = { .inside = inside_details };
    char sub[256];

    (void)state;
    NEED_ROOT();
    make_dir("root/up");
    make_dir("root/up/sub");
    in_root("root/up/sub", sub);
    assert_int_equal(chmod(sub, 0700), 0);
    make_file("root/up/file", "text");
    make_link("file", "root/up/link");
    make_link("/where/ever", "copied");
    config = str_format(
        ",\"mounts\":["
        "{\"destination\":\"/up\",\"type\":\"tmpfs\",\"options\":[\"tmpcopyup\",\"nosuid\"]},"
        "{\"destination\":\"/again\",\"type\":\"tmpfs\"},"
        "{\"destination\":\"/again\",\"options\":[\"remount\",\"ro\"],\"type\":\"tmpfs\"},"
        "{\"destination\":\"/copied\",\"source\":\"%s/copied\","
        "\"options\":[\"bind\",\"copy-symlink\"]}],"
        "\"linux\":{" DEFAULT_NAMESPACES ",\"devices\":["
        "{\"path\":\"/dev/net/tun\",\"type\":\"c\",\"major\":10,\"minor\":200,\"fileMode\":384,"
        "\"uid\":7,\"gid\":8},"
        "{\"path\":\"/dev/null\",\"type\":\"c\",\"major\":1,\"minor\":3,\"fileMode\":384},"
        "{\"path\":\"/dev/fifo\",\"type\":\"p\",\"fileMode\":384}]}",
        base_dir);
    run.config = config;
    must_run(&run);
    assert_int_equal(count_entries("root/up"), 3);
}

static int inside_idmap(void)
{
    struct stat st;

    CHECK(stat("/data/file", &st) == 0 && st.st_uid == 1005 && st.st_gid == 1005);
    return 0;
}

static void test_idmap(void **state)
{
    autofree char *config = NULL;
    struct run run = { .inside = inside_idmap };
    char file[256];

    (void)state;
    NEED_ROOT();
    make_file("host/file", "text");
    in_root("host/file", file);
    assert_int_equal(chown(file, 5, 5), 0);
    config = str_format(
        ",\"mounts\":[{\"destination\":\"/data\",\"source\":\"%s/host\",\"options\":[\"bind\"],"
        "\"uidMappings\":[{\"containerID\":0,\"hostID\":1000,\"size\":10}],"
        "\"gidMappings\":[{\"containerID\":0,\"hostID\":1000,\"size\":10}]}],"
        "\"linux\":{" DEFAULT_NAMESPACES "}",
        base_dir);
    run.config = config;
    must_run(&run);
}

static int inside_sysctl(void)
{
    autofree char *text = NULL;

    CHECK(file_read(AT_FDCWD, "/proc/sys/kernel/shmmni", 64, &text) > 0);
    CHECK(strncmp(text, "1234\n", 5) == 0);
    return 0;
}

/* The root brings a /proc/sys of its own: the write must not go there. */
static void test_sysctl(void **state) /* CVE-2025-52881 */
{
    struct run run = { .config = ",\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\"}],"
                                 "\"linux\":{" DEFAULT_NAMESPACES
                                 ",\"sysctl\":{\"kernel.shmmni\":\"1234\"}}",
                       .inside = inside_sysctl };

    (void)state;
    NEED_ROOT();
    make_dir("root/proc");
    make_dir("root/proc/sys");
    make_dir("root/proc/sys/kernel");
    make_file("root/proc/sys/kernel/shmmni", "1");
    must_run(&run);
    run.config = ",\"linux\":{" DEFAULT_NAMESPACES ",\"sysctl\":{\"kernel.shmmni\":\"77\"}}";
    run.inside = NULL;
    must_run(&run);
    {
        autofree char *text = NULL;
        char name[256];

        in_root("root/proc/sys/kernel/shmmni", name);
        assert_int_equal(file_read(AT_FDCWD, name, 64, &text), 1);
    }
}

static int inside_console(void)
{
    autoclose int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), master = -1, slave = -1;
    struct wharf_error e = { 0 };
    struct stat console, pts;

    CHECK(console_new(root, &master, &slave, &e) == 0);
    CHECK(console_bind(root, slave, &e) == 0);
    CHECK(stat("/dev/console", &console) == 0 && fstat(slave, &pts) == 0);
    CHECK(console.st_rdev == pts.st_rdev && S_ISCHR(console.st_mode));
    CHECK(write(slave, "x", 1) == 1);
    return 0;
}

static int inside_without_devpts(void)
{
    autoclose int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct wharf_error e = { 0 };
    int master = -1, slave = -1;

    CHECK(mkdir("/dev/pts", 0755) == 0);
    CHECK(mknod("/dev/pts/ptmx", S_IFCHR | 0666, makedev(5, 2)) == 0);
    CHECK(console_new(root, &master, &slave, &e) < 0 && strstr(e.message, "/dev/pts"));
    return 0;
}

static void test_console(void **state) /* CVE-2025-52565 */
{
    struct run run = { .config = DEFAULT_CONFIG, .inside = inside_console };

    (void)state;
    NEED_ROOT();
    must_run(&run);
    run.config = ",\"linux\":{" DEFAULT_NAMESPACES "}";
    run.inside = inside_without_devpts;
    must_run(&run);
}

/* What is mounted on the host later reaches a slave, and nothing made inside reaches the host. */
static int inside_propagation(void)
{
    autofree char *text = NULL;

    CHECK(file_read(AT_FDCWD, "/proc/self/mountinfo", 1 << 16, &text) > 0);
    CHECK(strstr(text, " / / rw") || strstr(text, "/root / "));
    CHECK(strstr(text, "shared:"));
    return 0;
}

static void test_propagation(void **state)
{
    struct run run = { .config =
                           ",\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\"}],"
                           "\"linux\":{" DEFAULT_NAMESPACES ",\"rootfsPropagation\":\"shared\"}",
                       .inside = inside_propagation };
    autofree char *before = NULL, *after = NULL;

    (void)state;
    NEED_ROOT();
    before = mounts_of_host();
    must_run(&run);
    after = mounts_of_host();
    assert_string_equal(before, after);
}

#define ROOT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROOT_TEST(test_default),        ROOT_TEST(test_readonly_root),
        ROOT_TEST(test_binds),          ROOT_TEST(test_bad_mounts),
        ROOT_TEST(test_dev_is_a_link),  ROOT_TEST(test_proc_and_sys_are_links),
        ROOT_TEST(test_null_is_a_link), ROOT_TEST(test_links_to_mount_points),
        ROOT_TEST(test_link_into_proc), ROOT_TEST(test_racing_link),
        ROOT_TEST(test_details),        ROOT_TEST(test_idmap),
        ROOT_TEST(test_sysctl),         ROOT_TEST(test_console),
        ROOT_TEST(test_propagation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
