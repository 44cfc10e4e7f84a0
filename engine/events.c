/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reading half of events.h, and the events of this engine's own verbs. A reader holds the file
 * open and waits for the run directory to change; at the end of a file that has lost its name it
 * goes on to the one that has it now. To begin, both files are read back.
 */
#include "engine/internal.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "base/str.h"

#define READ_SIZE  (64u << 10)
#define OLDER_FILE EVENTS_FILE ".1"

/* ---- telling --------------------------------------------------------------------------------- */

int engine_tell(struct engine *en, int64_t owner, const char *type, const char *action,
                const char *actor, const char *attributes)
{
    autofree char *path = str_format("%s/" EVENTS_FILE, en->run);
    autobuf struct buf line = BUF(EVENT_LINE_MAX);

    event_format(&line, owner, type, action, actor, attributes, time_now_ns());
    if (!path || line.error)
        return -ENOMEM;
    int r = events_append(AT_FDCWD, path, line.data, line.len);
    if (r != -ENOENT) /* nothing ever ran here */
        return r;
    r = path_make_dirs(en->run, 0711);
    return r < 0 ? r : events_append(AT_FDCWD, path, line.data, line.len);
}

void engine_emit(struct engine *en, const struct record *r, const char *action,
                 const char *const *extra)
{
    auto_of(arena_free) struct arena *arena = arena_new(SETTINGS_ARENA_MAX);
    autobuf struct buf b = BUF(EVENT_LINE_MAX);
    struct settings s;

    if (!arena || settings_read(r->settings, strlen(r->settings), arena, &s, NULL) < 0)
        return;
    buf_str(&b, "{\"name\":");
    buf_json(&b, r->name, strlen(r->name));
    buf_char(&b, ',');
    record_attributes(r, &s, &b);
    for (; extra && extra[0]; extra += 2) {
        buf_char(&b, ',');
        buf_json(&b, extra[0], strlen(extra[0]));
        buf_char(&b, ':');
        buf_json(&b, extra[1], strlen(extra[1]));
    }
    buf_char(&b, '}');
    if (!b.error)
        engine_tell(en, r->owner, "container", action, r->id, b.data);
}

/* ---- filters --------------------------------------------------------------------------------- */

static const char *attribute(const struct event *event, const char *name)
{
    return json_string_value(json_object_get(event->attributes, name));
}

/* Of type `type`: by id, by the beginning of one, or by name. */
static bool is_object(const struct event *event, const char *type, const char *wanted)
{
    const char *name = attribute(event, "name");

    return streq(event->type, type) &&
           (str_after(event->actor, wanted) || (name && streq(name, wanted)));
}

static bool match_type(const struct event *event, const char *value)
{
    return streq(event->type, value);
}

/* "exec_create" means "exec_create: sh -c ..." too. */
static bool match_action(const struct event *event, const char *value)
{
    const char *rest = str_after(event->action, value);

    return rest && (!*rest || *rest == ':');
}

static bool match_scope(const struct event *event, const char *value)
{
    return streq(value, "local");
}

/* Also what happens to a container of that image; a name without a tag means any tag. */
static bool match_image(const struct event *event, const char *value)
{
    const char *image = streq(event->type, "container") ? attribute(event, "image")
                        : streq(event->type, "image")   ? attribute(event, "name")
                                                        : NULL;
    const char *rest = image ? str_after(image, value) : NULL;

    return is_object(event, "image", value) ||
           (rest && (!*rest || (*rest == ':' && !strchr(rest, '/'))));
}

/* "k" or "k=v" */
static bool match_label(const struct event *event, const char *value)
{
    size_t n = strcspn(value, "=");
    autofree char *key = strndup(value, n);
    const char *has = key ? attribute(event, key) : NULL;

    return has && (!value[n] || streq(has, value + n + 1));
}

static const struct filter {
    const char *name;
    bool (*match)(const struct event *event, const char *value); /* NULL: is_object of that name */
    bool all; /* every value must match; else one of them */
} filters[] = {
    { "type", match_type, false },   { "event", match_action, false },
    { "scope", match_scope, false }, { "label", match_label, true },
    { "image", match_image, false }, { "container", NULL, false },
    { "network", NULL, false },      { "volume", NULL, false },
    { "plugin", NULL, false },       { "daemon", NULL, false },
    { "node", NULL, false },         { "service", NULL, false },
    { "secret", NULL, false },       { "config", NULL, false },
};

static const struct filter *filter_named(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
        if (streq(filters[i].name, name))
            return &filters[i];
    }
    return NULL;
}

static bool filter_match(const struct filter *f, const struct event *event, const json_t *values)
{
    const json_t *value;
    size_t i;

    json_array_foreach (values, i, value) {
        const char *text = json_string_value(value);
        bool yes = f->match ? f->match(event, text) : is_object(event, f->name, text);

        if (yes != f->all)
            return yes;
    }
    return f->all || json_array_size(values) == 0;
}

static int filters_check(const json_t *asked, struct wharf_error *e)
{
    const char *name;
    json_t *values, *value;
    size_t i;

    json_object_foreach ((json_t *)asked, name, values) {
        if (!filter_named(name))
            return err_invalid(e, "invalid filter '%s'", name);
        if (!json_is_array(values))
            return err_invalid(e, "invalid filter '%s': no list", name);
        json_array_foreach (values, i, value) {
            if (!json_is_string(value))
                return err_invalid(e, "invalid filter '%s': no string", name);
        }
    }
    return 0;
}

static bool filters_match(const json_t *asked, const struct event *event)
{
    const char *name;
    json_t *values;

    json_object_foreach ((json_t *)asked, name, values) {
        if (!filter_match(filter_named(name), event, values))
            return false;
    }
    return true;
}

/* ---- reading --------------------------------------------------------------------------------- */

struct reader {
    const struct engine_events *ask;
    int64_t owner; /* 0: sees all */
    int dir;       /* the run directory */
    int fd;        /* the file that is read; -1: there is none yet */
    bool past;     /* `until` is behind us */
    struct buf text;
};

/* One line, ended by NUL: "OWNER {...}". What is no event is passed over. */
static int give(struct reader *r, char *line)
{
    autojson json_t *tree = NULL;
    char *json = strchr(line, ' ');
    struct event event = { 0 };

    if (!json)
        return 0;
    *json++ = '\0';
    if (parse_i64(line, 0, INT64_MAX, &event.owner) < 0 ||
        (r->owner != 0 && event.owner != r->owner))
        return 0;
    event.text = json;
    event.len = strlen(json);
    if (json_read(json, event.len, JSON_LIMITS, "event", &tree, NULL) < 0)
        return 0;
    const json_t *actor = json_object_get(tree, "Actor");
    event.time_ns = json_integer_value(json_object_get(tree, "timeNano"));
    event.type = json_string_value(json_object_get(tree, "Type"));
    event.action = json_string_value(json_object_get(tree, "Action"));
    event.actor = json_string_value(json_object_get(actor, "ID"));
    event.attributes = json_object_get(actor, "Attributes");
    if (!event.type || !event.action || !event.actor || event.time_ns < r->ask->since_ns)
        return 0;
    if (r->ask->until_ns && event.time_ns > r->ask->until_ns) {
        r->past = true;
        return 0;
    }
    return filters_match(r->ask->filters, &event) ? r->ask->each(r->ask->user, &event) : 0;
}

/* Whole lines of what was read; the rest stays for the next time. */
static int give_lines(struct reader *r)
{
    size_t at = 0;
    int code = 0;

    while (code == 0 && !r->past && at < r->text.len) {
        char *line = r->text.data + at, *end = memchr(line, '\n', r->text.len - at);

        if (!end)
            break;
        *end = '\0';
        at += (size_t)(end - line) + 1;
        code = give(r, line);
    }
    memmove(r->text.data, r->text.data + at, r->text.len - at);
    r->text.len -= at;
    return code;
}

/* Reads the open file to its end. */
static int read_file(struct reader *r)
{
    for (;;) {
        char *room = buf_reserve(&r->text, READ_SIZE);
        ssize_t n = !room ? -1 : r->fd < 0 ? 0 : read(r->fd, room, READ_SIZE);

        if (!room)
            return -ENOMEM;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n <= 0)
            return 0;
        r->text.len += (size_t)n;
        int code = give_lines(r);
        if (code != 0 || r->past)
            return code;
    }
}

/* Is it the file that is read? */
static bool is_ours(const struct reader *r, const char *name)
{
    struct stat ours, named;

    return fstatat(r->dir, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && r->fd >= 0 &&
           fstat(r->fd, &ours) == 0 && ours.st_ino == named.st_ino;
}

/* A new file has the name: 1, it is open now. A writer adds nothing to one that was renamed, so
 * that it was read to its end only after the rename counts. Who was slow, and finds that ours is
 * not even the older one any more, goes on with that. */
static int next_file(struct reader *r)
{
    if (faccessat(r->dir, EVENTS_FILE, F_OK, AT_SYMLINK_NOFOLLOW) < 0 || is_ours(r, EVENTS_FILE))
        return 0;
    int code = read_file(r);
    if (code != 0 || r->past)
        return code;
    int fd = openat(r->dir, EVENTS_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int older =
        is_ours(r, OLDER_FILE) ? -1 : openat(r->dir, OLDER_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (older >= 0) {
        fd_close(fd);
        fd = older;
    }
    fd_close(r->fd);
    r->fd = fd;
    r->text.len = 0;
    return 1;
}

static int read_all(struct reader *r)
{
    int code;

    do {
        code = read_file(r);
        if (code == 0 && !r->past)
            code = next_file(r);
    } while (code == 1);
    return code;
}

/* From the older file on; or from the end of the newer one. */
static int begin(struct reader *r)
{
    static const char *const names[] = { OLDER_FILE, EVENTS_FILE };

    if (r->ask->since_ns == 0 && r->ask->until_ns == 0) {
        r->fd = openat(r->dir, EVENTS_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (r->fd >= 0)
            lseek(r->fd, 0, SEEK_END);
        return 0;
    }
    for (size_t i = 0; r->fd < 0 && i < ARRAY_SIZE(names); i++)
        r->fd = openat(r->dir, names[i], O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return 0;
}

static int64_t left_ms(const struct engine_events *ask)
{
    int64_t ms = (ask->until_ns - time_now_ns()) / 1000000 + 1;

    return ask->until_ns == 0 ? -1 : MAX(MIN(ms, (int64_t)INT32_MAX), (int64_t)0);
}

static int follow(struct reader *r, int watch)
{
    struct pollfd p[] = { { watch, POLLIN, 0 }, { r->ask->gone_fd, POLLRDHUP, 0 } };
    char events[4096];

    for (;;) {
        int code = read_all(r);

        if (code == 0 && !r->past)
            code = r->ask->each(r->ask->user, NULL);
        int64_t left = left_ms(r->ask);
        if (code != 0 || r->past || left == 0)
            return code;
        if (poll(p, ARRAY_SIZE(p), (int)left) < 0 && errno != EINTR)
            return -errno;
        if (p[1].revents)
            return 0;
        while (read(watch, events, sizeof(events)) > 0)
            ;
    }
}

int engine_events(struct engine *en, struct principal who, const struct engine_events *ask,
                  struct wharf_error *e)
{
    struct reader r = { .ask = ask, .owner = who.uid, .fd = -1, .text = BUF(2 * EVENT_LINE_MAX) };
    int code = principal_check(en, who, e);

    if (code == 0)
        code = filters_check(ask->filters, e);
    if (code < 0)
        return code;
    path_make_dirs(en->run, 0711);
    autoclose int dir = open(en->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    autoclose int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    autofree char *path = str_format("%s/" EVENTS_FILE, en->run);
    r.dir = dir;
    /* the directory tells of new files and of every change in them */
    if (dir < 0 || watch < 0 || !path ||
        inotify_add_watch(watch, en->run, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
        return err_sys(e, "cannot watch the events of '%s'", en->run);
    code = begin(&r);
    if (code == 0)
        code = follow(&r, watch);
    fd_close(r.fd);
    buf_done(&r.text);
    return code;
}
