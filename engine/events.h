/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens on this machine, told to whoever wants to know: one line an event, appended to
 * RUN/events by whichever process did it (a daemon, a command, a shim), each with one write(2).
 * Nobody needs to run for that, nothing is lost with a process, and readers wait with inotify(7).
 *
 *     OWNER
 * {"status":"die","id":...,"from":...,"Type":"container","Action":"die","Actor":{"ID":...,
 *     "Attributes":{...}},"scope":"local","time":1700000000,"timeNano":1700000000123456789}
 *
 * The file is bounded: at EVENTS_SIZE_MAX it becomes events.1, and the older one is forgotten, so
 * that at least EVENTS_RING events can be read back. An appender holds the file's lock shared while
 * it writes, who renames holds it exclusively: nothing is ever added to a file that was renamed,
 * and a reader at the end of one may go on to the next.
 */
#ifndef ENGINE_EVENTS_H
#define ENGINE_EVENTS_H

#include <sys/types.h>
#include "base/buf.h"

#define EVENTS_FILE     "events"
#define EVENTS_SIZE_MAX (1u << 20)
#define EVENTS_RING     256 /* the least that can be read back, docker's number */
#define EVENT_LINE_MAX                                                                             \
    (256u << 10) /* a longer one is dropped: its labels are somebody's mistake                     \
                  */

/* The attribute of a "die", and of the "destroy" that a container with --rm ends with. */
#define EVENT_EXIT_CODE "exitCode"

/* An event as a reader sees it. */
struct event {
    int64_t owner, time_ns;
    const char *type, *action, *actor; /* "container", "die", the object's id */
    const struct json_t *attributes;   /* jansson: strings by name */
    const char *text;                  /* the whole as docker's JSON, no newline */
    size_t len;
};

/* The line of an event into `b`, with its newline; `attributes` is the text of a JSON object. */
void event_format(struct buf *b, int64_t owner, const char *type, const char *action,
                  const char *actor, const char *attributes, int64_t time_ns);
/* Appends a line to the file at `path` below `dir` (AT_FDCWD); its folder must be there. 0 or
 * -errno. */
int events_append(int dir, const char *path, const void *line, size_t len);

#endif
