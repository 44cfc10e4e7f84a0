/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runc's log lines, which engines above parse: text is logfmt, json one object a line. Times are
 * UTC: the local time would read /etc/localtime at every start.
 *
 * Warnings stay out of stderr unless asked for: it is the container's stderr too.
 */
#include "log.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"

static int open_datagram(const char *path, struct wharf_error *e)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    autoclose int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        return err_sys(e, "cannot log to '%s'", path);
    return take_fd(&fd);
}

static int open_target(struct log *log, const char *target, struct wharf_error *e)
{
    const char *path = str_after(target, "file:");

    if ((log->journal = str_after(target, "journald:")))
        return open_datagram("/run/systemd/journal/socket", e);
    if ((log->syslog = str_after(target, "syslog:")))
        return open_datagram("/dev/log", e);
    path = path ? path : target;
    log->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    return log->fd < 0 ? err_sys(e, "cannot open the log '%s'", path) : log->fd;
}

int log_open(struct log *ret, const struct options *o, struct wharf_error *e)
{
    static const struct {
        const char *name;
        enum container_log_level level;
    } levels[] = {
        { "error", CONTAINER_LOG_ERROR },  { "warning", CONTAINER_LOG_WARNING },
        { "warn", CONTAINER_LOG_WARNING }, { "info", CONTAINER_LOG_INFO },
        { "debug", CONTAINER_LOG_DEBUG },
    };
    struct log log = { .fd = STDERR_FILENO, .level = CONTAINER_LOG_ERROR };
    size_t i = 0;

    if (o->log_format && !streq(o->log_format, "text") && !streq(o->log_format, "json"))
        return err_invalid(e, "--log-format: '%s' is neither text nor json", o->log_format);
    log.json = o->log_format && streq(o->log_format, "json");
    if (o->log && *o->log) {
        log.level = CONTAINER_LOG_WARNING;
        log.fd = open_target(&log, o->log, e);
        if (log.fd < 0)
            return log.fd;
    }
    while (o->log_level && i < ARRAY_SIZE(levels) && !streq(levels[i].name, o->log_level))
        i++;
    if (i == ARRAY_SIZE(levels))
        return err_invalid(e, "--log-level: '%s' is not error, warning or debug", o->log_level);
    if (o->log_level)
        log.level = levels[i].level;
    if (o->debug)
        log.level = CONTAINER_LOG_DEBUG;
    *ret = log;
    return 0;
}

static void format(const struct log *log, const char *level, const char *line, struct buf *text)
{
    time_t now = time(NULL);
    char when[32];
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (log->json)
        buf_printf(text, "{\"level\":\"%s\",\"msg\":", level);
    else
        buf_printf(text, "time=\"%s\" level=%s msg=", when, level);
    buf_json(text, line, strlen(line));
    if (log->json)
        buf_printf(text, ",\"time\":\"%s\"}", when);
    buf_char(text, '\n');
}

void log_line(void *user, enum container_log_level level, const char *line)
{
    static const char *const names[] = { "error", "warning", "info", "debug" };
    static const int priorities[] = { 3, 4, 6, 7 }; /* syslog(3) */
    autobuf struct buf text = BUF(8192);
    const struct log *log = user;

    if (level > log->level)
        return;
    if (log->journal)
        buf_printf(&text, "MESSAGE=%s\nPRIORITY=%d\nSYSLOG_IDENTIFIER=%s\n", line,
                   priorities[level], log->journal);
    else if (log->syslog)
        buf_printf(&text, "<%d>%s: %s", 3 << 3 | priorities[level], log->syslog, line);
    else
        format(log, names[level], line, &text);
    fd_write_all(log->fd, text.data ? text.data : "", text.len);
    if (level == CONTAINER_LOG_ERROR && log->fd != STDERR_FILENO)
        fprintf(stderr, "%s\n", line);
}
