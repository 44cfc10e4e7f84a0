/* SPDX-License-Identifier: Apache-2.0 */
/* What a shim must know of its container beside the specification: how it logs, what its events
 * say, when it is run again, how its health is checked. From settings, the image and the record. */
#include "engine/internal.h"

#include "base/str.h"

#define LOG_BUFFER_DEFAULT (1u << 20)
#define LOG_SIZE_LOCAL     (20u << 20) /* docker's bound of the local driver, and ours of both */
#define ATTRIBUTES_MAX     (128u << 10)

/* docker's defaults of a health check */
#define HEALTH_INTERVAL_MS       30000
#define HEALTH_TIMEOUT_MS        30000
#define HEALTH_START_INTERVAL_MS 5000
#define HEALTH_RETRIES           3

/* ---- the log --------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum log_driver driver;
} drivers[] = { { "json-file", LOG_DRIVER_JSON },
                { "local", LOG_DRIVER_LOCAL },
                { "none", LOG_DRIVER_NONE } };

int log_driver_parse(const struct settings_host *host, enum log_driver *ret, struct wharf_error *e)
{
    const char *name = host->log && settings_text(host->log->type) ? host->log->type : "json-file";

    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++) {
        if (streq(name, drivers[i].name)) {
            *ret = drivers[i].driver;
            return 0;
        }
    }
    return err_unsupported(
        e, "logger: no log driver named '%s' is registered: use json-file, local or none", name);
}

static int option_bool(const char *value, uint64_t *ret)
{
    bool yes = streq(value, "true") || streq(value, "1"),
         no = streq(value, "false") || streq(value, "0");

    *ret = yes;
    return yes || no ? 0 : -EINVAL;
}

/* 0, -EINVAL: its value; -ENOENT: there is no such option. */
static int log_option(const char *key, const char *value, struct shim_config *c)
{
    int64_t size = 0;

    if (streq(key, "max-size")) {
        if (streq(value, "-1"))
            size = INT64_MAX;
        else if (parse_size(value, &size) < 0 || size <= 0)
            return -EINVAL;
        c->log_max_size = (uint64_t)size;
        return 0;
    }
    if (streq(key, "max-buffer-size")) {
        if (parse_size(value, &size) < 0 || size <= 0)
            return -EINVAL;
        c->log_buffer = (uint64_t)MIN(size, (int64_t)LOG_BUFFER_LIMIT);
        return 0;
    }
    if (streq(key, "max-file"))
        return parse_u64(value, 1, LOG_FILES_LIMIT, &c->log_max_files) < 0 ? -EINVAL : 0;
    if (streq(key, "compress"))
        return option_bool(value, &c->log_compress);
    if (streq(key, "mode"))
        return streq(value, "blocking") || streq(value, "non-blocking") ? 0 : -EINVAL;
    return streq(key, "labels") || streq(key, "env") || streq(key, "tag") ? 0 : -ENOENT;
}

static const char *option_value(const struct settings_log *log, const char *key)
{
    for (size_t i = 0; log && i < log->options.count; i++) {
        if (streq(log->options.items[i].key, key))
            return log->options.items[i].value;
    }
    return NULL;
}

int log_configure(const struct settings_host *host, struct shim_config *c, struct wharf_error *e)
{
    enum log_driver driver;
    int r = log_driver_parse(host, &driver, e);

    if (r < 0)
        return r;
    c->log_driver = driver;
    c->log_max_size = LOG_MAX_SIZE_DEFAULT;
    c->log_max_files = LOG_MAX_FILES_DEFAULT;
    c->log_compress = driver == LOG_DRIVER_LOCAL;
    c->log_buffer = LOG_BUFFER_DEFAULT;
    for (size_t i = 0; host->log && i < host->log->options.count; i++) {
        const struct field_pair *o = &host->log->options.items[i];

        r = log_option(o->key, o->value, c);
        if (r == -ENOENT)
            return err_invalid(e, "unknown log opt '%s' for %s log driver", o->key,
                               drivers[driver].name);
        if (r < 0)
            return err_invalid(e, "invalid value for log opt '%s': '%s'", o->key, o->value);
    }
    const char *mode = option_value(host->log, "mode");
    if (!mode || !streq(mode, "non-blocking"))
        c->log_buffer = 0;
    return 0;
}

static void add_attribute(struct buf *b, const char *key, const char *value, size_t len)
{
    if (b->len > 1)
        buf_char(b, ',');
    buf_json(b, key, strlen(key));
    buf_char(b, ':');
    buf_json(b, value, len);
}

static bool in_list(const char *list, const char *word, size_t len)
{
    for (const char *p = list; p && *p;) {
        size_t n = strcspn(p, ",");

        if (n == len && strncmp(p, word, n) == 0)
            return true;
        p += n + (p[n] == ',');
    }
    return false;
}

/* docker's few templates that people use in a tag. */
static void expand_tag(const char *tag, const struct record *r, struct buf *b)
{
    const struct {
        const char *name, *value;
        int len;
    } words[] = { { "{{.ID}}", r->id, 12 },
                  { "{{.FullID}}", r->id, -1 },
                  { "{{.Name}}", r->name, -1 },
                  { "{{.ImageName}}", r->image, -1 },
                  { "{{.ImageID}}", r->image_id, 19 } };

    while (*tag) {
        size_t i = 0;

        while (i < ARRAY_SIZE(words) && !str_after(tag, words[i].name))
            i++;
        if (i == ARRAY_SIZE(words)) {
            buf_char(b, *tag++);
            continue;
        }
        buf_printf(b, "%.*s", words[i].len, words[i].value);
        tag += strlen(words[i].name);
    }
}

/* What the options labels, env and tag put beside each line. */
static char *log_attributes(const struct record *r, const struct settings *s, struct arena *arena)
{
    const struct settings_log *log = s->host->log;
    const char *labels = option_value(log, "labels"), *env = option_value(log, "env"),
               *tag = option_value(log, "tag");
    autobuf struct buf b = BUF(ATTRIBUTES_MAX), text = BUF(ATTRIBUTES_MAX);

    if (!labels && !env && !tag)
        return arena_str(arena, "");
    buf_char(&b, '{');
    for (size_t i = 0; labels && i < s->labels.count; i++) {
        const struct field_pair *l = &s->labels.items[i];

        if (in_list(labels, l->key, strlen(l->key)))
            add_attribute(&b, l->key, l->value, strlen(l->value));
    }
    for (size_t i = 0; env && i < s->env.count; i++) {
        size_t n = strcspn(s->env.items[i], "=");
        autofree char *key = strndup(s->env.items[i], n);

        if (key && s->env.items[i][n] && in_list(env, key, n))
            add_attribute(&b, key, s->env.items[i] + n + 1, strlen(s->env.items[i] + n + 1));
    }
    if (tag) {
        expand_tag(tag, r, &text);
        add_attribute(&b, "tag", text.data ? text.data : "", text.len);
    }
    buf_char(&b, '}');
    return b.error ? NULL : arena_str(arena, b.len > 2 ? b.data : "");
}

/* ---- events ---------------------------------------------------------------------------------- */

void record_attributes(const struct record *r, const struct settings *s, struct buf *b)
{
    buf_str(b, "\"image\":");
    buf_json(b, r->image, strlen(r->image));
    for (size_t i = 0; i < s->labels.count; i++) {
        const struct field_pair *l = &s->labels.items[i];

        if (!streq(l->key, "image") && !streq(l->key, "name"))
            add_attribute(b, l->key, l->value, strlen(l->value));
    }
}

/* ---- restart, health ------------------------------------------------------------------------- */

enum shim_policy restart_policy(const struct settings_host *host)
{
    static const char *const names[] = { [POLICY_NO] = "no",
                                         [POLICY_ALWAYS] = "always",
                                         [POLICY_UNLESS_STOPPED] = "unless-stopped",
                                         [POLICY_ON_FAILURE] = "on-failure" };

    for (size_t i = 0; host->restart.name && i < ARRAY_SIZE(names); i++) {
        if (streq(host->restart.name, names[i]))
            return (enum shim_policy)i;
    }
    return POLICY_NO;
}

static uint64_t milliseconds(int64_t ns, uint64_t fallback_ms)
{
    return ns > 0 ? (uint64_t)((ns + 999999) / 1000000) : fallback_ms;
}

/* CMD-SHELL runs in the container's shell (SHELL of the image), CMD as it is. */
static int health_words(const struct plan *plan, field_strings test, field_strings *ret,
                        struct wharf_error *e)
{
    static char sh[] = "/bin/sh", c[] = "-c";
    char *fallback[] = { sh, c };
    field_strings shell = plan->settings.shell;

    if (streq(test.items[0], "CMD")) {
        *ret = (field_strings){ test.items + 1, test.count - 1 };
        return 0;
    }
    if (shell.count == 0)
        shell = (field_strings){ fallback, ARRAY_SIZE(fallback) };
    char **words = arena_array(plan->arena, shell.count + 1, sizeof(*words));
    if (!words)
        return err_nomem(e);
    memcpy(words, shell.items, shell.count * sizeof(*words));
    words[shell.count] = test.items[1];
    *ret = (field_strings){ words, shell.count + 1 };
    return 0;
}

/* The settings have the image's check, where they have none of their own. */
static int health_configure(const struct plan *plan, struct shim_config *c, struct wharf_error *e)
{
    const struct settings_health *h = plan->settings.health;
    autobuf struct buf json = BUF(OCI_TEXT_MAX);
    struct oci_exec process = { 0 };

    c->health = "";
    if (!h || h->test.count < 2 || streq(h->test.items[0], "NONE"))
        return 0;
    int r = health_words(plan, h->test, &process.args, e);
    if (r == 0)
        r = oci_process(&plan->input, &process, plan->arena, &json, e);
    if (r < 0)
        return r;
    c->health = json.error ? NULL : arena_str(plan->arena, json.data);
    c->health_interval_ms = milliseconds(h->interval, HEALTH_INTERVAL_MS);
    c->health_timeout_ms = milliseconds(h->timeout, HEALTH_TIMEOUT_MS);
    c->health_start_ms = milliseconds(h->start_period, 0);
    c->health_start_interval_ms = milliseconds(
        h->start_interval, MIN(c->health_interval_ms, (uint64_t)HEALTH_START_INTERVAL_MS));
    c->health_retries = h->retries > 0 ? (uint64_t)h->retries : HEALTH_RETRIES;
    return c->health ? 0 : err_nomem(e);
}

int shim_configure(struct engine *en, const struct record *r, const struct plan *plan,
                   struct shim_config *ret, struct wharf_error *e)
{
    const struct settings *s = &plan->settings;
    autobuf struct buf attributes = BUF(ATTRIBUTES_MAX);
    struct shim_config c = {
        .state_root = arena_format(plan->arena, "%s/%s", en->run, STATE_DIR),
        .generation = (uint64_t)r->generation,
        .rows = plan->input.rows,
        .columns = plan->input.columns,
        .tty = s->tty,
        .open_stdin = s->open_stdin,
        .stdin_once = s->stdin_once,
        .auto_remove = r->auto_remove != 0,
        .owner = (uint64_t)r->owner,
        .name = r->name,
        .policy = restart_policy(s->host),
        .policy_max = (uint64_t)MAX(s->host->restart.maximum_retries, (int64_t)0),
        .log_attrs = log_attributes(r, s, plan->arena),
    };

    record_attributes(r, s, &attributes);
    c.attributes = attributes.error ? NULL : arena_str(plan->arena, attributes.data);
    if (!c.state_root || !c.attributes || !c.log_attrs)
        return err_nomem(e);
    int code = log_configure(s->host, &c, e);
    if (code == 0)
        code = health_configure(plan, &c, e);
    if (code == 0)
        *ret = c;
    return code;
}
