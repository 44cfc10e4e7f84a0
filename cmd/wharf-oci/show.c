/* SPDX-License-Identifier: Apache-2.0 */
/* list, events, spec, features: what is told, and the config.json to begin with. */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include "base/buf.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"
#include "options.h"

DEFINE_AUTO(struct container, container_close)
DEFINE_AUTO(struct container_spec, container_spec_free)

/* ---- list ---- */

struct listing {
    struct container_engine *engine;
    json_t *states; /* an array; with --quiet of ids */
    bool quiet;
};

/* A container that goes away while we look is left out. */
static int add_state(void *user, const char *id)
{
    auto_of(container_close) struct container *c = NULL;
    struct listing *l = user;
    autofree char *text = NULL;
    json_t *state = NULL;

    if (l->quiet) {
        puts(id);
        return 0;
    }
    if (container_open(l->engine, id, &c, NULL) < 0 || container_state_json(c, &text, NULL) < 0 ||
        json_read(text, strlen(text), JSON_LIMITS, "state", &state, NULL) < 0)
        return 0;
    return json_array_append_new(l->states, state) < 0 ? -ENOMEM : 0;
}

/* Columns as Go's tabwriter makes them for runc: at least 12 wide, 3 blanks between. */
static void print_rows(json_t *states)
{
    static const char *const titles[] = { "ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER" };
    static const char *const keys[] = { "id", "pid", "status", "bundle", "created", "owner" };
    int widths[ARRAY_SIZE(keys)];
    char number[24];

    for (size_t pass = 0; pass < 2; pass++) {
        for (size_t row = 0; row <= json_array_size(states); row++) {
            json_t *state = row > 0 ? json_array_get(states, row - 1) : NULL;

            for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
                json_t *value = json_object_get(state, keys[k]);
                const char *text = json_string_value(value);
                bool last = k + 1 == ARRAY_SIZE(keys);

                snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
                         json_integer_value(value));
                text = !state ? titles[k] : text ? text : json_is_integer(value) ? number : "";
                if (pass == 0)
                    widths[k] = MAX(row == 0 ? 12 : widths[k], (int)strlen(text) + 3);
                else
                    printf("%-*s%s", last ? 0 : widths[k], text, last ? "\n" : "");
            }
        }
    }
}

int command_list(struct container_engine *engine, const struct options *o, struct wharf_error *e)
{
    const char *format = o->format ? o->format : "table";
    autojson json_t *states = json_array();
    struct listing l = { engine, states, o->quiet };
    autofree char *text = NULL;
    int r;

    if (!streq(format, "table") && !streq(format, "json"))
        return err_invalid(e, "--format: '%s' is neither table nor json", format);
    if (o->root && access(o->root, F_OK) < 0)
        return err_sys(e, "cannot open the root '%s'", o->root);
    r = container_engine_list(engine, add_state, &l, e);
    if (r < 0 || o->quiet)
        return r;
    if (streq(format, "table")) {
        print_rows(states);
        return 0;
    }
    text = json_array_size(states) > 0 ? json_write(states, JSON_COMPACT) : strdup("null");
    if (!text)
        return err_nomem(e);
    puts(text);
    return 0;
}

/* ---- events ---- */

/* "5s", "500ms", "2m" as Go's durations, in milliseconds. */
static int parse_interval(const char *text, int *ret, struct wharf_error *e)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 } };
    size_t digits = strspn(text, "0123456789");
    autofree char *number = strndup(text, digits);
    uint64_t value;

    for (size_t i = 0; number && i < ARRAY_SIZE(units); i++) {
        if (streq(units[i].unit, text + digits) &&
            parse_u64(number, 1, INT32_MAX / units[i].ms, &value) == 0) {
            *ret = (int)(value * units[i].ms);
            return 0;
        }
    }
    return err_invalid(e, "--interval: '%s' is not like 5s", text);
}

static int print_event(const char *type, const char *id, const char *data, struct wharf_error *e)
{
    autobuf struct buf line = BUF(4u << 20);

    buf_printf(&line, "{\"type\":\"%s\",\"id\":", type);
    buf_json(&line, id, strlen(id));
    if (data)
        buf_printf(&line, ",\"data\":%s", data);
    buf_str(&line, "}");
    if (line.error)
        return err_code(e, line.error, "an event of '%s'", id);
    puts(line.data);
    return fflush(stdout) == 0 ? 0 : err_sys(e, "cannot write");
}

static int print_stats(struct container *c, const char *id, struct wharf_error *e)
{
    autofree char *data = NULL;
    int r = container_stats_json(c, &data, e);

    return r < 0 ? r : print_event("stats", id, data, e);
}

/* Prints what happened. 1: the container ended. */
static int print_pending(struct container *c, const char *id, struct wharf_error *e)
{
    struct container_event event;
    int r;

    while ((r = container_next_event(c, &event, e)) > 0) {
        const char *type = event.type == CONTAINER_EVENT_OOM      ? "oom"
                           : event.type == CONTAINER_EVENT_FROZEN ? "freeze"
                           : event.type == CONTAINER_EVENT_THAWED ? "thaw"
                                                                  : "exit";

        r = print_event(type, id, NULL, e);
        if (r < 0 || event.type == CONTAINER_EVENT_EXIT)
            return r < 0 ? r : 1;
    }
    return r;
}

static int watch(struct container *c, const char *id, int interval, struct wharf_error *e)
{
    struct pollfd events = { .events = POLLIN };
    int r;

    events.fd = container_events_fd(c,
                                    CONTAINER_EVENT_EXIT | CONTAINER_EVENT_OOM |
                                        CONTAINER_EVENT_FROZEN | CONTAINER_EVENT_THAWED,
                                    e);
    r = events.fd < 0 ? events.fd : print_stats(c, id, e);
    while (r == 0) {
        int ready = poll(&events, 1, interval);

        if (ready < 0 && errno != EINTR)
            return err_sys(e, "cannot wait for events");
        r = ready > 0 ? print_pending(c, id, e) : ready == 0 ? print_stats(c, id, e) : 0;
    }
    return r > 0 ? 0 : r;
}

int command_events(struct container_engine *engine, const struct options *o, struct wharf_error *e)
{
    auto_of(container_close) struct container *c = NULL;
    enum container_status status;
    int interval = 0, r = parse_interval(o->interval ? o->interval : "5s", &interval, e);

    if (r == 0)
        r = container_open(engine, o->args[0], &c, e);
    if (r == 0)
        r = container_status(c, &status, NULL, e);
    if (r == 0 && status == CONTAINER_STOPPED)
        r = err_set(e, -ESRCH, WHARF_ERROR_CONFLICT, "container '%s' is not running", o->args[0]);
    if (r < 0)
        return r;
    return o->stats ? print_stats(c, o->args[0], e) : watch(c, o->args[0], interval, e);
}

/* ---- spec ---- */

/* For a caller who is not root: a user namespace with the caller as its root, the host's network,
 * nothing that only root may do. A row sets one field; a NULL value drops a namespace. */
static int make_rootless(struct container_spec *spec, struct wharf_error *e)
{
    char uid[64], gid[64];
    const char *const rows[][2] = {
        { "linux.uidMappings", uid },
        { "linux.gidMappings", gid },
        { "linux.resources", "{}" },
        /* a gid that is not mapped cannot own the terminals */
        { "mounts[2].options",
          "[\"nosuid\",\"noexec\",\"newinstance\",\"ptmxmode=0666\",\"mode=0620\"]" },
        /* sysfs belongs to the network namespace, which is the host's */
        { "mounts[5].type", "none" },
        { "mounts[5].source", "/sys" },
        { "mounts[5].options", "[\"rbind\",\"nosuid\",\"noexec\",\"nodev\",\"ro\"]" },
    };
    int r;

    snprintf(uid, sizeof(uid), "[{\"containerID\":0,\"hostID\":%u,\"size\":1}]", geteuid());
    snprintf(gid, sizeof(gid), "[{\"containerID\":0,\"hostID\":%u,\"size\":1}]", getegid());
    r = container_spec_set_namespace(spec, "network", NULL, 1, e);
    if (r == 0)
        r = container_spec_set_namespace(spec, "user", NULL, 0, e);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(rows); i++)
        r = container_spec_set(spec, rows[i][0], rows[i][1], e);
    return r;
}

static int write_new(int dir, const char *name, const char *text, struct wharf_error *e)
{
    autoclose int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    int r;

    if (fd < 0 && errno == EEXIST)
        return err_set(e, -EEXIST, WHARF_ERROR_CONFLICT, "'%s' exists; remove it first", name);
    if (fd < 0)
        return err_sys(e, "cannot make '%s'", name);
    r = fd_write_all(fd, text, strlen(text));
    return r < 0 ? err_code(e, r, "cannot write '%s'", name) : 0;
}

static int print_pretty(const char *text, char **ret, struct wharf_error *e)
{
    struct json_limits limits = JSON_LIMITS;
    autojson json_t *tree = NULL;
    int r;

    limits.wide = true;
    r = json_read(text, strlen(text), limits, "document", &tree, e);
    if (r == 0 && !(*ret = json_write(tree, JSON_INDENT(4))))
        r = err_nomem(e);
    return r;
}

int command_spec(struct container_engine *engine, const struct options *o, struct wharf_error *e)
{
    auto_of(container_spec_free) struct container_spec *spec = NULL;
    autofree char *text = NULL, *pretty = NULL;
    autoclose int dir = open(o->bundle ? o->bundle : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r;

    if (dir < 0)
        return err_sys(e, "cannot open '%s'", o->bundle ? o->bundle : ".");
    r = container_spec_new(&spec, e);
    if (r == 0)
        r = container_spec_set(spec, "process.terminal", "true", e);
    if (r == 0 && o->rootless_spec)
        r = make_rootless(spec, e);
    if (r == 0)
        r = container_spec_write(spec, &text, e);
    if (r == 0)
        r = print_pretty(text, &pretty, e);
    return r < 0 ? r : write_new(dir, o->file ? o->file : "config.json", pretty, e);
}

/* ---- features ---- */

int command_features(struct container_engine *engine, const struct options *o,
                     struct wharf_error *e)
{
    autofree char *text = NULL, *pretty = NULL;
    int r = container_features_json(&text, e);

    if (r == 0)
        r = print_pretty(text, &pretty, e);
    if (r == 0)
        puts(pretty);
    return r;
}
