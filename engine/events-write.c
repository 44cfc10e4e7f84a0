/* SPDX-License-Identifier: Apache-2.0 */
/* The writing half of events.h: also in the shim. */
#include "engine/events.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "base/str.h"

void event_format(struct buf *b, int64_t owner, const char *type, const char *action,
                  const char *actor, const char *attributes, int64_t time_ns)
{
    buf_printf(b, "%" PRId64 " {", owner);
    if (streq(type, "container")) { /* the form before 1.22, which docker still adds */
        buf_str(b, "\"status\":");
        buf_json(b, action, strlen(action));
        buf_str(b, ",\"id\":");
        buf_json(b, actor, strlen(actor));
        buf_char(b, ',');
    }
    buf_str(b, "\"Type\":");
    buf_json(b, type, strlen(type));
    buf_str(b, ",\"Action\":");
    buf_json(b, action, strlen(action));
    buf_str(b, ",\"Actor\":{\"ID\":");
    buf_json(b, actor, strlen(actor));
    buf_printf(b,
               ",\"Attributes\":%s},\"scope\":\"local\",\"time\":%" PRId64 ",\"timeNano\":%" PRId64
               "}\n",
               attributes, time_ns / 1000000000, time_ns);
}

/* Opens the file that has the name now, its lock held shared. */
static int open_current(int dir, const char *path)
{
    for (;;) {
        struct stat ours, named;
        autoclose int fd =
            openat(dir, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

        if (fd < 0)
            return -errno;
        while (flock(fd, LOCK_SH) < 0) {
            if (errno != EINTR)
                return -errno;
        }
        if (fstat(fd, &ours) < 0)
            return -errno;
        if (fstatat(dir, path, &named, AT_SYMLINK_NOFOLLOW) == 0 && named.st_ino == ours.st_ino)
            return take_fd(&fd);
    }
}

/* Somebody may be at it, or hold the file to append: then the next one does it. */
static void rotate(int dir, const char *path, int fd)
{
    char old[4096 + 8];
    struct stat ours, named;

    snprintf(old, sizeof(old), "%s.1", path);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &ours) == 0 &&
        fstatat(dir, path, &named, AT_SYMLINK_NOFOLLOW) == 0 && named.st_ino == ours.st_ino)
        renameat(dir, path, dir, old);
}

int events_append(int dir, const char *path, const void *line, size_t len)
{
    struct stat st;

    if (len > EVENT_LINE_MAX)
        return -E2BIG;
    autoclose int fd = open_current(dir, path);
    if (fd < 0)
        return fd;
    ssize_t n = write(fd, line, len);
    if (n != (ssize_t)len)
        return n < 0 ? -errno : -ENOSPC;
    if (fstat(fd, &st) == 0 && st.st_size >= EVENTS_SIZE_MAX)
        rotate(dir, path, fd);
    return 0;
}
