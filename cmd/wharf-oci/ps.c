/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ps: the container's processes, read from our own /proc in the form of `ps -ef`. Options of ps are
 * for ps itself: it is run, and the rows of our processes are kept.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <sys/wait.h>
#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"
#include "options.h"

DEFINE_AUTO(struct container, container_close)

struct pids {
    pid_t *items;
    size_t count;
};

static bool is_ours(const struct pids *pids, uint64_t pid)
{
    for (size_t i = 0; i < pids->count; i++) {
        if ((uint64_t)pids->items[i] == pid)
            return true;
    }
    return false;
}

static int print_json(const struct pids *pids)
{
    putchar('[');
    for (size_t i = 0; i < pids->count; i++)
        printf("%s%d", i > 0 ? "," : "", (int)pids->items[i]);
    puts("]");
    return 0;
}

/* ---- our own reader ---- */

/* A user's name from /etc/passwd without NSS; the number where it has none. */
static void user_name(const char *passwd, unsigned uid, char *ret, size_t size)
{
    snprintf(ret, size, "%u", uid);
    for (const char *line = passwd; line && *line;
         line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        unsigned found;
        char name[33];

        if (sscanf(line, "%32[^:\n]:%*[^:\n]:%u:", name, &found) == 2 && found == uid) {
            snprintf(ret, size, "%s", name);
            return;
        }
    }
}

/* The arguments with blanks between; a kernel thread or zombie has none: its name in brackets. */
static void command_line(int dir, const char *comm, char *ret, size_t size)
{
    autofree char *text = NULL;
    ssize_t len = file_read(dir, "cmdline", 65536, &text);

    if (len <= 0) {
        snprintf(ret, size, "[%s]", comm);
        return;
    }
    for (ssize_t i = 0; i + 1 < len; i++) {
        if (!text[i])
            text[i] = ' ';
    }
    snprintf(ret, size, "%s", text);
}

/* stat's times are in clock ticks since boot */
static void start_time(uint64_t ticks, char *ret, size_t size)
{
    struct timespec boot, now;
    struct tm tm;
    time_t at;

    clock_gettime(CLOCK_BOOTTIME, &boot);
    clock_gettime(CLOCK_REALTIME, &now);
    at = now.tv_sec - boot.tv_sec + (time_t)(ticks / (uint64_t)sysconf(_SC_CLK_TCK));
    gmtime_r(&at, &tm);
    strftime(ret, size, now.tv_sec - at < 86400 ? "%H:%M" : "%b%d", &tm);
}

static void terminal_name(int device, char *ret, size_t size)
{
    unsigned major = (unsigned)device >> 8 & 0xfff;

    if (major >= 136 && major <= 143)
        snprintf(ret, size, "pts/%u", (major - 136) * 256 + ((unsigned)device & 0xff));
    else
        snprintf(ret, size, "?");
}

/* One row, or nothing when the process is gone meanwhile. */
static void print_process(pid_t pid, const char *passwd)
{
    char path[32], user[33], start[16], tty[16], line[256], *comm, *end;
    autofree char *stat_text = NULL;
    uint64_t ticks, user_ticks, system_ticks;
    autoclose int dir = -1;
    int parent, device;
    struct stat st;
    uint64_t used;

    snprintf(path, sizeof(path), "/proc/%d", (int)pid);
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || fstat(dir, &st) < 0 || file_read(dir, "stat", 4096, &stat_text) <= 0)
        return;
    comm = strchr(stat_text, '(');
    end = strrchr(stat_text, ')');
    if (!comm || !end)
        return;
    *end = 0;
    /* proc(5): state ppid pgrp session tty_nr ... utime stime ... starttime */
    if (sscanf(end + 2,
               "%*c %d %*d %*d %d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
               " %*d %*d %*d %*d %*d %*d %" SCNu64,
               &parent, &device, &user_ticks, &system_ticks, &ticks) != 5)
        return;
    used = (user_ticks + system_ticks) / (uint64_t)sysconf(_SC_CLK_TCK);
    user_name(passwd, st.st_uid, user, sizeof(user));
    start_time(ticks, start, sizeof(start));
    terminal_name(device, tty, sizeof(tty));
    command_line(dir, comm + 1, line, sizeof(line));
    printf("%-8s %7d %7d  0 %5s %-8s %02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 " %s\n", user,
           (int)pid, parent, start, tty, used / 3600, used / 60 % 60, used % 60, line);
}

static int print_table(const struct pids *pids)
{
    autofree char *passwd = NULL;

    if (file_read(AT_FDCWD, "/etc/passwd", 1 << 20, &passwd) < 0)
        passwd = NULL;
    printf("%-8s %7s %7s  C %5s %-8s %8s %s\n", "UID", "PID", "PPID", "STIME", "TTY", "TIME",
           "CMD");
    for (size_t i = 0; i < pids->count; i++)
        print_process(pids->items[i], passwd);
    return 0;
}

/* ---- ps itself ---- */

static int run_ps(char **args, FILE **ret_output, pid_t *ret_pid, struct wharf_error *e)
{
    posix_spawn_file_actions_t actions;
    int ends[2], r;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_sys(e, "cannot make a pipe");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    r = posix_spawnp(ret_pid, "ps", &actions, NULL, args, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (r != 0) {
        close(ends[0]);
        return err_code(e, -r, "cannot run ps");
    }
    *ret_output = fdopen(ends[0], "r");
    return *ret_output ? 0 : err_nomem(e);
}

/* Which blank-separated column is named PID, from 0; -1: none. */
static int pid_column(const char *header)
{
    char word[64];
    int used, column = 0;

    for (; sscanf(header, "%63s%n", word, &used) == 1; header += used, column++) {
        if (streq(word, "PID"))
            return column;
    }
    return -1;
}

static uint64_t pid_in(const char *line, int column)
{
    uint64_t pid = 0;
    char word[64];
    int used;

    for (; sscanf(line, "%63s%n", word, &used) == 1; line += used) {
        if (column-- == 0)
            return parse_u64(word, 0, INT32_MAX, &pid) < 0 ? 0 : pid;
    }
    return 0;
}

static int filter(FILE *output, const struct pids *pids, struct wharf_error *e)
{
    autofree char *line = NULL;
    size_t size = 0;
    int column = -2;

    while (getline(&line, &size, output) > 0) {
        if (column == -2 && (column = pid_column(line)) < 0)
            return err_invalid(e, "ps prints no PID column with these options");
        else if (column >= 0 && (streq(line, "") || pid_in(line, column) == 0 ||
                                 is_ours(pids, pid_in(line, column))))
            fputs(line, stdout);
    }
    return 0;
}

static int print_by_ps(const struct pids *pids, char **args, struct wharf_error *e)
{
    FILE *output = NULL;
    int status, r;
    pid_t pid;

    args[0] = (char *)"ps"; /* in place of the container's id */
    r = run_ps(args, &output, &pid, e);
    if (r < 0)
        return r;
    r = filter(output, pids, e);
    fclose(output);
    waitpid(pid, &status, 0);
    return r;
}

int command_ps(struct container_engine *engine, const struct options *o, struct wharf_error *e)
{
    auto_of(container_close) struct container *c = NULL;
    const char *format = o->format ? o->format : "table";
    struct pids pids = { 0 };
    int r = container_open(engine, o->args[0], &c, e);

    if (r == 0 && !streq(format, "table") && !streq(format, "json"))
        r = err_invalid(e, "--format: '%s' is neither table nor json", format);
    if (r == 0)
        r = container_pids(c, &pids.items, &pids.count, e);
    if (r == 0)
        r = streq(format, "json") ? print_json(&pids)
            : o->count == 1       ? print_table(&pids)
                                  : print_by_ps(&pids, o->args, e);
    container_free(pids.items);
    return r;
}
