/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.json and init. See state.h.
 *
 * state.json is written once by create-temporary-and-rename, so a reader sees all of it or nothing;
 * the cgroup is made between the two, so that no moment exists in which nothing names it. It lives
 * on a tmpfs, so nothing is synced. Members that a reader does not know are ignored, and
 * absent ones have a default: an older and a newer minor version understand each other's.
 */
#include "libcontainer/state.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "base/fd.h"
#include "base/str.h"
#include "libcontainer/system.h"

static const char plan_name[] = "state.json.plan";

enum { STATE_MAX = 4 << 20, STAT_MAX = 1024 };

void state_release(struct state *s)
{
    free(s->oci_version);
    free(s->bundle);
    free(s->rootfs);
    free(s->created);
    free(s->rdt);
    json_decref(s->annotations);
    json_decref(s->cgroup);
    *s = (struct state){ 0 };
}

static void add_member(struct buf *b, const char *name, const char *value)
{
    buf_printf(b, ",\"%s\":", name);
    buf_json(b, value ? value : "", value ? strlen(value) : 0);
}

static void add_tree(struct buf *b, const char *name, json_t *tree)
{
    autofree char *text = tree ? json_dumps(tree, JSON_COMPACT) : NULL;

    if (text)
        buf_printf(b, ",\"%s\":%s", name, text);
    else if (tree)
        b->error = -ENOMEM;
}

static void format(struct buf *b, const struct state *s)
{
    buf_printf(b,
               "{\"version\":1,\"owner\":%u,\"poststart\":%s,\"poststop\":%s,\"namespaces\":%llu",
               s->owner, s->poststart ? "true" : "false", s->poststop ? "true" : "false",
               (unsigned long long)s->namespaces);
    add_member(b, "ociVersion", s->oci_version);
    add_member(b, "bundle", s->bundle);
    add_member(b, "rootfs", s->rootfs);
    add_member(b, "created", s->created);
    if (s->rdt)
        add_member(b, s->rdt_made ? "rdtMade" : "rdt", s->rdt);
    add_tree(b, "annotations", s->annotations);
    add_tree(b, "cgroup", s->cgroup);
    buf_str(b, "}\n");
}

static int cannot_write(int code, struct wharf_error *e)
{
    return err_code(e, code, "cannot write the container's state.json");
}

int state_write(int dir, const struct state *s, struct wharf_error *e)
{
    autobuf struct buf b = BUF(STATE_MAX);
    int r;

    format(&b, s);
    r = b.error ? b.error : file_replace(dir, "state.json", b.data, b.len, 0600, false);
    return r < 0 ? cannot_write(r, e) : 0;
}

int state_write_plan(int dir, const struct state *s, struct wharf_error *e)
{
    autoclose int fd = openat(dir, plan_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    autobuf struct buf b = BUF(STATE_MAX);
    int r = fd < 0 ? -errno : 0;

    format(&b, s);
    if (r == 0)
        r = b.error ? b.error : fd_write_all(fd, b.data, b.len);
    return r < 0 ? cannot_write(r, e) : 0;
}

int state_commit(int dir, struct wharf_error *e)
{
    return renameat(dir, plan_name, dir, "state.json") < 0 ? cannot_write(-errno, e) : 0;
}

static int read_from(int dir, const char *name, struct state *ret, struct wharf_error *e)
{
    autofree char *text = NULL;
    autojson json_t *tree = NULL;
    const char *version = "", *bundle = "", *rootfs = "", *created = "", *rdt = NULL,
               *rdt_made = NULL;
    json_t *annotations = NULL, *group = NULL;
    json_int_t owner = 0, namespaces = 0;
    int poststart = 0, poststop = 0, r;
    ssize_t len = file_read(dir, name, STATE_MAX, &text);
    struct state s = { 0 };

    if (len < 0)
        return len == -ENOENT ? -ENOENT : err_code(e, (int)len, "cannot read state.json");
    r = json_read(text, (size_t)len, JSON_LIMITS, "state.json", &tree, e);
    if (r < 0)
        return r;
    if (json_unpack(tree, "{s?s s?s s?s s?s s?I s?I s?b s?b s?s s?s s?o s?o}", "ociVersion",
                    &version, "bundle", &bundle, "rootfs", &rootfs, "created", &created, "owner",
                    &owner, "namespaces", &namespaces, "poststart", &poststart, "poststop",
                    &poststop, "rdt", &rdt, "rdtMade", &rdt_made, "annotations", &annotations,
                    "cgroup", &group) < 0)
        return err_set(e, -EINVAL, WHARF_ERROR_CORRUPT, "state.json: a member has a wrong type");
    s = (struct state){ .oci_version = strdup(version),
                        .bundle = strdup(bundle),
                        .rootfs = strdup(rootfs),
                        .created = strdup(created),
                        .owner = (uint32_t)owner,
                        .poststart = poststart,
                        .poststop = poststop,
                        .rdt = rdt_made ? strdup(rdt_made)
                               : rdt    ? strdup(rdt)
                                        : NULL,
                        .rdt_made = rdt_made,
                        .annotations = json_incref(annotations),
                        .cgroup = json_incref(group),
                        .namespaces = (uint64_t)namespaces };
    if (!s.oci_version || !s.bundle || !s.rootfs || !s.created || ((rdt || rdt_made) && !s.rdt)) {
        state_release(&s);
        return err_nomem(e);
    }
    *ret = s;
    return 0;
}

int state_read(int dir, struct state *ret, struct wharf_error *e)
{
    return read_from(dir, "state.json", ret, e);
}

int state_read_plan(int dir, struct state *ret)
{
    return read_from(dir, plan_name, ret, NULL);
}

/* State letter and start time from /proc/PID/stat; the command name before them may hold anything,
 * so counting begins behind its last ')'. */
static int read_stat(pid_t pid, char *ret_letter, uint64_t *ret_start)
{
    autofree char *text = NULL;
    char path[40], *field;
    ssize_t len;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    len = file_read(AT_FDCWD, path, STAT_MAX, &text);
    if (len < 0)
        return len == -ENOENT ? -ESRCH : (int)len;
    field = strrchr(text, ')');
    if (!field || !field[1])
        return -EINVAL;
    field += 2;
    *ret_letter = *field;
    for (int i = 3; i < 22; i++) {
        field = strchr(field, ' ');
        if (!field)
            return -EINVAL;
        field++;
    }
    field[strcspn(field, " ")] = 0;
    return parse_u64(field, 0, UINT64_MAX, ret_start);
}

int state_write_init(int dir, pid_t pid, struct wharf_error *e)
{
    autoclose int fd = -1;
    uint64_t start;
    char letter, text[64];
    int n, r = read_stat(pid, &letter, &start);

    if (r < 0)
        return err_code(e, r, "cannot read /proc/%d/stat", (int)pid);
    n = snprintf(text, sizeof(text), "%d %llu\n", (int)pid, (unsigned long long)start);
    fd = openat(dir, "init", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, (size_t)n) != n)
        return err_sys(e, "cannot write the container's init file");
    return 0;
}

int state_read_init(int dir, struct state_init *ret)
{
    autofree char *text = NULL;
    ssize_t len = file_read(dir, "init", 64, &text);
    uint64_t pid, start;
    char *space;

    if (len <= 0) /* empty: between the two system calls above */
        return len == 0 ? -ENOENT : (int)len;
    space = strchr(text, ' ');
    if (!space || text[len - 1] != '\n')
        return -EINVAL;
    *space = text[len - 1] = 0;
    if (parse_u64(text, 1, INT32_MAX, &pid) < 0 || parse_u64(space + 1, 0, UINT64_MAX, &start) < 0)
        return -EINVAL;
    *ret = (struct state_init){ (pid_t)pid, start };
    return 0;
}

int state_open_init(const struct state_init *init)
{
    autoclose int pidfd = system_pidfd_open(init->pid);
    uint64_t start;
    char letter;
    int r;

    if (pidfd < 0)
        return pidfd;
    /* read after the pidfd was opened: if it is our process now, it was then */
    r = read_stat(init->pid, &letter, &start);
    if (r < 0)
        return r;
    return start != init->start_time || letter == 'Z' || letter == 'X' ? -ESRCH : take_fd(&pidfd);
}

/* The date of a day counted from 1970-01-01, in the Gregorian calendar whose year begins in March,
 * so that a leap day is the last one: 146097 days are 400 years. */
static void civil_date(int64_t day, unsigned *ret_year, unsigned *ret_month, unsigned *ret_day)
{
    const uint64_t since = (uint64_t)day + 719468; /* 0000-03-01 */
    const unsigned of_era = (unsigned)(since % 146097);
    const unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    const unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
    const unsigned month = (5 * of_year + 2) / 153; /* from March */

    *ret_day = of_year - (153 * month + 2) / 5 + 1;
    *ret_month = month < 10 ? month + 3 : month - 9;
    *ret_year = year + (unsigned)(since / 146097) * 400 + (*ret_month <= 2);
}

/* Not by gmtime_r and strftime: even for UTC they read /etc/localtime. */
void state_now(char text[STATE_TIME_MAX])
{
    struct timespec now;
    unsigned year, month, day, second;

    clock_gettime(CLOCK_REALTIME, &now);
    civil_date(now.tv_sec / 86400, &year, &month, &day);
    second = (unsigned)(now.tv_sec % 86400);
    snprintf(text, STATE_TIME_MAX, "%04u-%02u-%02uT%02u:%02u:%02u.%09uZ", year, month, day,
             second / 3600, second / 60 % 60, second % 60, (unsigned)now.tv_nsec);
}
