/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /build, the classic endpoint (docker-api 4.4): its parameters become build_options, its body
 * the context, the events of the build the stream that docker's clients print. The answer begins
 * with the first line: what fails before is a plain error. Whoever is gone cancels.
 */
#include "engine/service-internal.h"

#include <openssl/evp.h>
#include <poll.h>
#include <stddef.h>
#include "base/arena.h"
#include "base/str.h"
#include "engine/build-runner.h"
#include "engine/internal.h"
#include "engine/settings.h"

#define BUILD_ARENA_MAX       (16u << 20)
#define BUILD_TAGS_MAX        128
#define REGISTRY_CONFIG_MAX   (256u << 10)
#define REGISTRY_LOGIN_DOCKER "https://index.docker.io/v1/"

struct builder {
    struct classic_writer out; /* first: what callbacks are given */
    struct call *call;
    struct arena *arena;
    struct build_options options;
    struct build_user user;
    struct build_runner runner;
    struct build_fetcher fetcher;
    json_t *args, *labels, *registries;
    char *host;
};

/* ---- parameters ------------------------------------------------------------------------------ */

static bool is_true(const char *text)
{
    static const char *const no[] = { "", "0", "no", "false", "none" };

    for (size_t i = 0; text && i < ARRAY_SIZE(no); i++)
        if (strcasecmp(text, no[i]) == 0)
            return false;
    return text != NULL;
}

/* A parameter that is JSON; *ret stays NULL without it. */
static int json_parameter(struct builder *b, const char *name, const char *what, json_t **ret,
                          struct wharf_error *e)
{
    const char *text = message_string(b->call->message, name);
    int r = text && *text ? json_read(text, strlen(text), JSON_LIMITS, name, ret, e) : 0;

    return r < 0 ? err_wrap(e, r, "error reading %s", what) : 0;
}

/* {"KEY": "value" or null}; the strings are the tree's, which must live on. */
static int pairs(struct builder *b, json_t *tree, const char *what, const struct build_pair **ret,
                 struct wharf_error *e)
{
    struct build_pair *list = arena_array(b->arena, json_object_size(tree) + 1, sizeof *list);
    const char *key;
    json_t *value;
    size_t n = 0;

    if (!list)
        return err_nomem(e);
    if (tree && !json_is_object(tree) && !json_is_null(tree))
        return err_invalid(e, "error reading %s: an object is expected", what);
    json_object_foreach (tree, key, value) {
        if (!json_is_string(value) && !json_is_null(value))
            return err_invalid(e, "error reading %s: '%.100s' is not a string", what, key);
        list[n++] = (struct build_pair){ key, json_string_value(value) };
    }
    *ret = list;
    return 0;
}

/* NULL-ended; *ret NULL when there are none. */
static int strings(struct builder *b, const char *name, const char *const **ret,
                   struct wharf_error *e)
{
    json_t *list = json_object_get(b->call->message->args, name), *item;
    const char **words = arena_array(b->arena, json_array_size(list) + 1, sizeof *words);
    size_t i, n = 0;

    if (!words)
        return err_nomem(e);
    json_array_foreach (list, i, item) {
        if (*json_string_value(item))
            words[n++] = json_string_value(item);
    }
    *ret = n ? words : NULL;
    return 0;
}

static int check_tags(const char *const *tags, struct wharf_error *e)
{
    struct image_reference ref;
    int r = 0;

    if (tags && strv_count(tags) > BUILD_TAGS_MAX)
        return err_set(e, -E2BIG, WHARF_ERROR_LIMIT, "more than %d tags", BUILD_TAGS_MAX);
    for (; r == 0 && tags && *tags; tags++) {
        r = image_reference_parse(&ref, *tags, e);
        if (r < 0)
            return err_wrap(e, r, "invalid reference format");
        if (ref.digest[0])
            r = err_invalid(e, "build tag cannot contain a digest");
    }
    return r;
}

/* What is not a build of this kind, or not of this system. */
static int refuse(const struct message *m, struct wharf_error *e)
{
    const char *version = message_string(m, "version"), *remote = message_string(m, "remote");
    const char *isolation = message_string(m, "isolation"), *out = message_string(m, "outputs");

    if ((version && *version && !streq(version, "1")) ||
        (remote && streq(remote, "client-session")))
        return err_invalid(e, "this engine builds with the classic builder only, not with "
                              "BuildKit: set DOCKER_BUILDKIT=0");
    if (message_bool(m, "squash"))
        return err_invalid(e, "squash is not supported: copy into a last stage FROM scratch");
    if (settings_text(message_string(m, "securityopt")))
        return err_invalid(
            e, "The daemon on this platform does not support setting security options on build");
    if (settings_text(isolation) && strcasecmp(isolation, "default") != 0)
        return err_invalid(e, "unsupported isolation: \"%.50s\"", isolation);
    if (settings_text(out) && !streq(out, "[]") && !streq(out, "null"))
        return err_invalid(e, "the classic builder has no outputs: use docker save or docker cp");
    return 0;
}

/* ---- HostConfig of RUN ----------------------------------------------------------------------- */

static const struct {
    const char *parameter, *member;
    bool text;
} host_members[] = {
    { "memory", "Memory", false },        { "memswap", "MemorySwap", false },
    { "cpushares", "CpuShares", false },  { "cpuperiod", "CpuPeriod", false },
    { "cpuquota", "CpuQuota", false },    { "cpusetcpus", "CpusetCpus", true },
    { "cpusetmems", "CpusetMems", true }, { "cgroupparent", "CgroupParent", true },
    { "shmsize", "ShmSize", false },      { "networkmode", "NetworkMode", true },
};

static int check_host(struct builder *b, struct wharf_error *e)
{
    const char *text = arena_format(b->arena, "{\"Image\":\"build\",\"HostConfig\":%s}", b->host);
    struct settings s;
    int r = text ? settings_read(text, strlen(text), b->arena, &s, e) : err_nomem(e);

    return r < 0 ? r : settings_check(&s, e);
}

static int host_config(struct builder *b, struct wharf_error *e)
{
    const struct message *m = b->call->message;
    autojson json_t *host = json_object(), *ulimits = NULL;
    int r = json_parameter(b, "ulimits", "ulimit settings", &ulimits, e);

    if (r < 0 || !host)
        return r < 0 ? r : err_nomem(e);
    for (size_t i = 0; i < ARRAY_SIZE(host_members); i++) {
        const char *name = host_members[i].parameter, *text = NULL;

        if (host_members[i].text)
            text = message_string(m, name);
        if (text && *text)
            json_object_set_new(host, host_members[i].member, json_string(text));
        else if (!host_members[i].text && message_int(m, name))
            json_object_set_new(host, host_members[i].member, json_integer(message_int(m, name)));
    }
    if (json_array_size(ulimits))
        json_object_set(host, "Ulimits", ulimits);
    b->host = json_write(host, JSON_COMPACT);
    b->options.host = b->host;
    return b->host ? check_host(b, e) : err_nomem(e);
}

static int network(struct builder *b, struct wharf_error *e)
{
    const char *mode = message_string(b->call->message, "networkmode");

    if (mode && streq(mode, "none"))
        b->options.network = BUILD_NETWORK_NONE;
    else if (mode && streq(mode, "host"))
        b->options.network = BUILD_NETWORK_HOST;
    return host_config(b, e);
}

static int fill(struct builder *b, struct wharf_error *e)
{
    const struct message *m = b->call->message;
    struct build_options *o = &b->options;
    autojson json_t *from = NULL; /* images of cachefrom: our cache goes by content */
    int r = refuse(m, e);

    o->dockerfile = message_string(m, "dockerfile");
    if (o->dockerfile && streq(o->dockerfile, "Dockerfile"))
        o->dockerfile = NULL; /* then `dockerfile` will do, too */
    o->remote = message_string(m, "remote");
    o->target = message_string(m, "target");
    o->platform = message_string(m, "platform");
    o->no_cache = message_bool(m, "nocache");
    o->pull = is_true(message_string(m, "pull"));
    b->out.quiet = message_bool(m, "q");
    b->out.keep = !message_bool(m, "rm") && !message_bool(m, "forcerm");
    if (r == 0)
        r = strings(b, "t", &o->tags, e);
    if (r == 0)
        r = check_tags(o->tags, e);
    if (r == 0)
        r = strings(b, "extrahosts", &o->extra_hosts, e);
    if (r == 0)
        r = json_parameter(b, "buildargs", "build args", &b->args, e);
    if (r == 0)
        r = pairs(b, b->args, "build args", &o->args, e);
    if (r == 0)
        r = json_parameter(b, "labels", "labels", &b->labels, e);
    if (r == 0)
        r = pairs(b, b->labels, "labels", &o->labels, e);
    if (r == 0)
        r = json_parameter(b, "cachefrom", "cache-from", &from, e);
    return r == 0 ? network(b, e) : r;
}

/* ---- base images ----------------------------------------------------------------------------- */

/* X-Registry-Config: base64 of {"HOST": {"username": .., "password": ..}}. */
static int read_registries(struct builder *b, struct wharf_error *e)
{
    const char *text = message_string(b->call->message, "X-Registry-Config");
    size_t len = text ? strcspn(text, "=\r\n") : 0, padded = (len + 3) / 4 * 4;
    char *packed = arena_alloc(b->arena, padded + 1), *plain = arena_alloc(b->arena, padded + 1);

    if (len == 0)
        return 0;
    if (len > REGISTRY_CONFIG_MAX || !packed || !plain)
        return err_set(e, -E2BIG, WHARF_ERROR_LIMIT, "X-Registry-Config is too long");
    memset(packed, '=', padded);
    for (size_t i = 0; i < len; i++)
        packed[i] = (char)(text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i]);
    memset(plain, 0, padded + 1);
    if (EVP_DecodeBlock((unsigned char *)plain, (const unsigned char *)packed, (int)padded) < 0 ||
        json_read(plain, strlen(plain), JSON_LIMITS, "", &b->registries, NULL) < 0)
        return err_invalid(e, "X-Registry-Config is not base64 of a JSON object");
    return 0;
}

/* The login for the registry of an image, in the form of X-Registry-Auth. free() it. */
static char *login_for(const struct builder *b, const char *reference)
{
    struct image_reference ref;
    json_t *login = NULL;
    autofree char *text = NULL;

    if (image_reference_parse(&ref, reference, NULL) == 0)
        login = json_object_get(
            b->registries, streq(ref.domain, "docker.io") ? REGISTRY_LOGIN_DOCKER : ref.domain);
    text = login ? json_write(login, JSON_COMPACT) : strdup("{}");
    size_t len = text ? strlen(text) : 0;
    char *packed = text ? malloc(len / 3 * 4 + 5) : NULL;
    if (packed)
        EVP_EncodeBlock((unsigned char *)packed, (const unsigned char *)text, (int)len);
    return packed;
}

/* As docker does, the lines of a pull stand among those of the build. */
static int tell(const struct image_message *message, void *user)
{
    struct builder *b = user;

    return b->out.quiet ? 0 : call_tell(message, b->call);
}

static int pull(void *self, struct image_store *store, const char *reference, const char *platform,
                int (*progress)(const struct image_progress *progress, void *arg), void *arg,
                struct wharf_error *e)
{
    struct builder *b = self;
    const struct engine_remote *remote = b->call->options->remote;
    autofree char *login = login_for(b, reference);
    struct image_remote_options options = { .size = sizeof options,
                                            .insecure = remote->insecure,
                                            .mirrors = remote->mirrors,
                                            .platform = platform,
                                            .progress = progress,
                                            .arg = arg,
                                            .tell = tell,
                                            .tell_arg = b,
                                            .registry_auth = login };

    return login ? remote->pull(store, reference, &options, NULL, e) : err_nomem(e);
}

static int fetch(void *self, const char *url, int fd, struct build_fetched *ret,
                 struct wharf_error *e)
{
    const struct builder *b = self;

    return b->call->options->remote->fetch(url, fd, ret, e);
}

/* ---- the build ------------------------------------------------------------------------------- */

static int write_line(const char *json, size_t len, void *arg)
{
    struct reply *reply = ((struct call *)arg)->reply;
    int r = reply->state == REPLY_OPEN ? reply_begin(reply, 200, FORM_JSON_LINES) : 0;

    return r < 0 ? r : reply_write(reply, json, len);
}

static int is_cancelled(void *arg)
{
    const struct builder *b = arg;
    struct pollfd p = { .fd = b->call->reply->gone_fd, .events = POLLRDHUP };

    return __atomic_load_n(&b->out.result, __ATOMIC_RELAXED) < 0 ||
           (poll(&p, 1, 0) > 0 && p.revents);
}

static int run(struct builder *b, struct wharf_error *e)
{
    struct call *c = b->call;
    struct image_store *store;
    int r = engine_images(c->engine, c->who, &store, e);

    if (r == 0)
        r = fill(b, e);
    if (r == 0)
        r = read_registries(b, e);
    if (r < 0)
        return r;
    r = build_run(store, c->message->stream, &b->options, NULL, e);
    if (r < 0 && c->reply->state == REPLY_OPEN && b->out.held.len == 0)
        return r;
    r = classic_end(&b->out, r, e);
    if (r < 0)
        return err_code(e, r, "nobody reads the build's output");
    r = reply_end(c->reply);
    call_collect(c, store);
    return r;
}

static void builder_done(struct builder *b)
{
    json_decref(b->args);
    json_decref(b->labels);
    json_decref(b->registries);
    free(b->host);
    buf_done(&b->out.held);
    free(b->out.fault);
    arena_free(b->arena);
}

static int build(struct call *c, struct wharf_error *e)
{
    const struct engine_remote *remote = c->options->remote;
    __attribute__((cleanup(builder_done))) struct builder b = {
        .call = c,
        .user = { c->engine, c->who },
        .out = { .write = write_line, .arg = c },
        .arena = arena_new(BUILD_ARENA_MAX),
        .options = BUILD_OPTIONS,
        .fetcher = { .pull = remote ? pull : NULL,
                     .fetch = remote && remote->fetch ? fetch : NULL },
    };

    b.fetcher.self = &b;
    b.options.sequential = b.options.classic = 1;
    b.options.runner = &b.runner;
    b.options.fetcher = &b.fetcher;
    b.options.event = classic_event;
    b.options.cancelled = is_cancelled;
    b.options.arg = &b.out;
    engine_build_runner(&b.user, &b.runner);
    return b.arena ? run(&b, e) : err_nomem(e);
}

void call_collect(struct call *c, struct image_store *store)
{
    if (c->options->build_keep >= 0)
        build_collect(store, c->options->build_keep);
}

/* ---- prune ----------------------------------------------------------------------------------- */

static void note_deleted(const char *key, void *arg)
{
    json_array_append_new(arg, json_string(key));
}

/* Only `until`: a filter that is not understood must not let more go than it says. */
static int prune_filters(json_t *filters, struct build_prune_options *o, struct wharf_error *e)
{
    const char *name, *text;
    json_t *values;
    int64_t until;
    int r = 0;

    json_object_foreach (filters, name, values) {
        if (!streq(name, "until"))
            return err_unsupported(e, "the filter '%.50s' of the build cache is not supported",
                                   name);
        text = json_string_value(json_array_get(values, 0));
        r = api_time_parse(text ? text : "", &until, e);
        if (r < 0)
            return r;
        o->older = MAX((time_now_ns() - until) / 1000000000, 1);
        o->all = 0;
    }
    return r;
}

static int prune(struct call *c, struct wharf_error *e)
{
    static const char *const sizes[] = { "keep-storage", "reserved-space", "max-used-space" };
    autojson json_t *deleted = json_array(), *answer = NULL;
    struct build_prune_options o = { .size = sizeof o,
                                     .all = 1,
                                     .mounts = message_bool(c->message, "all"),
                                     .deleted = note_deleted,
                                     .arg = deleted };
    struct image_store *store;
    int64_t freed = 0;
    int r = engine_images(c->engine, c->who, &store, e);

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        o.keep = MAX(o.keep, message_int(c->message, sizes[i]));
    if (o.keep > 0)
        o.all = o.mounts = 0;
    if (r == 0)
        r = prune_filters(json_object_get(c->message->args, "filters"), &o, e);
    if (r == 0)
        r = build_prune(store, &o, &freed, e);
    if (r < 0 && r != -EAGAIN) /* in use: who uses it will collect */
        return r;
    answer = json_pack("{sOsI}", "CachesDeleted", deleted, "SpaceReclaimed", (json_int_t)freed);
    return answer ? reply_json(c->reply, 200, answer) : err_nomem(e);
}

const struct handler build_handlers[] = {
    { "image.build", build },
    { "build.prune", prune },
    { NULL, NULL },
};
