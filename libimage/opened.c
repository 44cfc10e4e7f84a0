/* SPDX-License-Identifier: Apache-2.0 */
/* Reading an image into memory. See opened.h. */
#include "libimage/opened.h"
#include "base/fd.h"
#include "base/str.h"

/* an image's parsed form may take so much; its documents are bounded by IMAGE_DOCUMENT_MAX */
enum { ARENA_MAX = 32 << 20 };

static const char *text_in(struct image *i, json_t *object, const char *key)
{
    const char *text = json_text(object, key);

    return text ? arena_str(i->arena, text) : NULL;
}

/* A list of strings; missing and null are empty. NULL: not a list of strings, or out of memory. */
static char **list_in(struct image *i, json_t *object, const char *key)
{
    json_t *list = json_object_get(object, key), *item;
    char **out = arena_array(i->arena, json_array_size(list) + 1, sizeof(*out));
    size_t at;

    if (!out || (list && !json_is_null(list) && !json_is_array(list)))
        return NULL;
    json_array_foreach (list, at, item) {
        if (!json_is_string(item) || !(out[at] = arena_str(i->arena, json_string_value(item))))
            return NULL;
    }
    return out;
}

/* The keys of an object whose values mean nothing (Volumes, ExposedPorts). */
static char **keys_in(struct image *i, json_t *object, const char *key)
{
    json_t *set = json_object_get(object, key), *value;
    char **out = arena_array(i->arena, json_object_size(set) + 1, sizeof(*out));
    const char *name;
    size_t at = 0;

    if (!out || (set && !json_is_null(set) && !json_is_object(set)))
        return NULL;
    json_object_foreach (set, name, value) {
        if (!(out[at++] = arena_str(i->arena, name)))
            return NULL;
    }
    return out;
}

static struct image_pair *pairs_in(struct image *i, json_t *object, const char *key)
{
    json_t *set = json_object_get(object, key), *value;
    struct image_pair *out = arena_array(i->arena, json_object_size(set) + 1, sizeof(*out));
    const char *name;
    size_t at = 0;

    if (!out || (set && !json_is_null(set) && !json_is_object(set)))
        return NULL;
    json_object_foreach (set, name, value) {
        if (!json_is_string(value))
            return NULL;
        out[at].key = arena_str(i->arena, name);
        out[at].value = arena_str(i->arena, json_string_value(value));
        if (!out[at].key || !out[at].value)
            return NULL;
        at++;
    }
    return out;
}

static int read_healthcheck(struct image *i, json_t *j, const char *what, struct wharf_error *e)
{
    struct image_healthcheck *h;
    const struct {
        const char *key;
        size_t offset;
    } table[] = {
        { "Interval", offsetof(struct image_healthcheck, interval_ns) },
        { "Timeout", offsetof(struct image_healthcheck, timeout_ns) },
        { "StartPeriod", offsetof(struct image_healthcheck, start_period_ns) },
        { "StartInterval", offsetof(struct image_healthcheck, start_interval_ns) },
        { "Retries", offsetof(struct image_healthcheck, retries) },
    };

    if (!j || json_is_null(j))
        return 0;
    h = arena_alloc(i->arena, sizeof(*h));
    if (!h)
        return err_nomem(e);
    h->test = list_in(i, j, "Test");
    if (!json_is_object(j) || !h->test)
        return err_invalid(e, "%s: member 'Healthcheck' is malformed", what);
    for (size_t n = 0; n < ARRAY_SIZE(table); n++) {
        json_t *value = json_object_get(j, table[n].key);

        if (value && !json_is_integer(value))
            return err_invalid(e, "%s: Healthcheck member '%s' is not a number", what,
                               table[n].key);
        *(int64_t *)((char *)h + table[n].offset) = json_integer_value(value);
    }
    i->info.healthcheck = h;
    return 0;
}

/* A member of the configuration and where it goes; all readers give NULL for a wrong type. */
static int read_members(struct image *i, json_t *top, const char *what, struct wharf_error *e)
{
    json_t *c = json_object_get(top, "config");
    struct image_info *f = &i->info;
    const struct {
        const char *key;
        const void *value;
    } read[] = {
        { "architecture", f->architecture = text_in(i, top, "architecture") },
        { "os", f->os = text_in(i, top, "os") },
        { "variant", f->variant = text_in(i, top, "variant") },
        { "os.version", f->os_version = text_in(i, top, "os.version") },
        { "created", f->created = text_in(i, top, "created") },
        { "author", f->author = text_in(i, top, "author") },
        { "comment", f->comment = text_in(i, top, "comment") },
        { "config.User", f->user = text_in(i, c, "User") },
        { "config.WorkingDir", f->working_dir = text_in(i, c, "WorkingDir") },
        { "config.StopSignal", f->stop_signal = text_in(i, c, "StopSignal") },
        { "config.Env", f->env = list_in(i, c, "Env") },
        { "config.Entrypoint", f->entrypoint = list_in(i, c, "Entrypoint") },
        { "config.Cmd", f->cmd = list_in(i, c, "Cmd") },
        { "config.Shell", f->shell = list_in(i, c, "Shell") },
        { "config.OnBuild", f->onbuild = list_in(i, c, "OnBuild") },
        { "config.Volumes", f->volumes = keys_in(i, c, "Volumes") },
        { "config.ExposedPorts", f->exposed_ports = keys_in(i, c, "ExposedPorts") },
        { "config.Labels", f->labels = pairs_in(i, c, "Labels") },
    };

    if (c && !json_is_null(c) && !json_is_object(c))
        return err_invalid(e, "%s: member 'config' is not an object", what);
    for (size_t n = 0; n < ARRAY_SIZE(read); n++) {
        if (!read[n].value)
            return err_invalid(e, "%s: member '%s' has the wrong type", what, read[n].key);
    }
    return read_healthcheck(i, json_object_get(c, "Healthcheck"), what, e);
}

static int read_diff_ids(struct image *i, json_t *top, const char *what, struct wharf_error *e)
{
    json_t *list = json_object_get(json_object_get(top, "rootfs"), "diff_ids"), *item;
    size_t n = json_array_size(list), at;

    if (list && !json_is_array(list) && !json_is_null(list))
        return err_invalid(e, "%s: member 'rootfs.diff_ids' is not a list", what);
    if (n > IMAGE_LAYERS_MAX)
        return err_set(e, -EFBIG, WHARF_ERROR_LIMIT, "%s: %zu layers, the limit is %d", what, n,
                       IMAGE_LAYERS_MAX);
    i->diffs = arena_array(i->arena, n + 1, sizeof(*i->diffs));
    i->chains = arena_array(i->arena, n + 1, sizeof(*i->chains));
    i->info.diff_ids = arena_array(i->arena, n + 1, sizeof(char *));
    i->info.chain_ids = arena_array(i->arena, n + 1, sizeof(char *));
    if (!i->diffs || !i->chains || !i->info.diff_ids || !i->info.chain_ids)
        return err_nomem(e);
    json_array_foreach (list, at, item) {
        const char *text = json_string_value(item);
        int r = digest_parse(&i->diffs[at], text ? text : "", what, e);

        if (r < 0)
            return r;
        if (digest_chain(at ? &i->chains[at - 1] : NULL, &i->diffs[at], &i->chains[at]) < 0)
            return err_nomem(e);
        i->info.diff_ids[at] = i->diffs[at].text;
        i->info.chain_ids[at] = i->chains[at].text;
    }
    i->info.layer_count = n;
    return 0;
}

int opened_parse_config(struct image *i, const char *what, struct wharf_error *e)
{
    struct json_limits limits = { .size = IMAGE_DOCUMENT_MAX, .depth = 64, .fold_case = true };
    autojson json_t *top = NULL;
    int r = json_read(i->config, i->config_len, limits, what, &top, e);

    if (r < 0)
        return r;
    if (!json_is_object(top))
        return err_invalid(e, "%s: is not an object", what);
    r = read_members(i, top, what, e);
    return r < 0 ? r : read_diff_ids(i, top, what, e);
}

static int read_layers(struct image *i, const struct document *m, struct wharf_error *e)
{
    size_t n = m->count;
    int64_t *sizes = arena_array(i->arena, n + 1, sizeof(*sizes));

    i->blobs = arena_array(i->arena, n + 1, sizeof(*i->blobs));
    i->info.layer_digests = arena_array(i->arena, n + 1, sizeof(char *));
    i->info.layer_media_types = arena_array(i->arena, n + 1, sizeof(char *));
    i->info.media_type = arena_str(i->arena, m->media_type);
    if (!sizes || !i->blobs || !i->info.layer_digests || !i->info.layer_media_types ||
        !i->info.media_type)
        return err_nomem(e);
    if (n != i->info.layer_count)
        return err_invalid(e, "manifest '%s' has %zu layers, its configuration %zu", i->digest.text,
                           n, i->info.layer_count);
    i->info.size = (int64_t)(i->config_len + i->manifest_len);
    for (size_t at = 0; at < n; at++) {
        i->blobs[at] = m->items[at].digest;
        i->info.layer_digests[at] = i->blobs[at].text;
        i->info.layer_media_types[at] = arena_str(i->arena, m->items[at].media_type);
        sizes[at] = m->items[at].size;
        if (__builtin_add_overflow(i->info.size, sizes[at], &i->info.size))
            return err_invalid(e, "manifest '%s': sizes overflow", i->digest.text);
    }
    i->info.layer_sizes = sizes;
    return 0;
}

/* Follows indexes to the manifest for this machine; its bytes end up in the image. */
static int find_manifest(struct image_store *store, int staging, struct image *i,
                         struct document *ret, struct wharf_error *e)
{
    for (int depth = 0; depth < IMAGE_INDEX_DEPTH_MAX; depth++) {
        const struct descriptor *next;
        struct document d = { 0 };
        int r;

        free(take_ptr(&i->manifest));
        r = store_read_blob(store, staging, &i->digest, IMAGE_DOCUMENT_MAX, &i->manifest,
                            &i->manifest_len, e);
        if (r == 0)
            r = document_parse(&d, i->manifest, i->manifest_len, i->digest.text, e);
        if (r < 0)
            return r;
        if (d.kind == DOCUMENT_MANIFEST) {
            *ret = d;
            return 0;
        }
        next = document_pick(&d);
        if (next)
            i->digest = next->digest;
        document_done(&d);
        if (!next)
            return err_not_found(e, "index '%s' has no image for linux/%s", i->digest.text,
                                 platform_architecture());
    }
    return err_set(e, -EINVAL, WHARF_ERROR_LIMIT, "indexes nested deeper than %d",
                   IMAGE_INDEX_DEPTH_MAX);
}

int opened_read(struct image_store *store, int staging, const struct digest *digest,
                struct image **ret, struct wharf_error *e)
{
    auto_of(image_free) struct image *i = calloc(1, sizeof(*i));
    autodocument struct document m = { 0 };
    int r;

    if (!i || !(i->arena = arena_new(ARENA_MAX)))
        return err_nomem(e);
    i->digest = *digest;
    r = find_manifest(store, staging, i, &m, e);
    if (r < 0)
        return r;
    i->id = m.config.digest;
    if (!str_ends(m.config.media_type, "image.config.v1+json") &&
        !str_ends(m.config.media_type, "container.image.v1+json"))
        return err_unsupported(e, "manifest '%s' is an artifact of type '%.80s', not an image",
                               i->digest.text, m.config.media_type);
    r = store_read_blob(store, staging, &i->id, IMAGE_DOCUMENT_MAX, &i->config, &i->config_len, e);
    if (r == 0 && (int64_t)i->config_len != m.config.size)
        r = err_set(e, -EBADMSG, WHARF_ERROR_CORRUPT, "blob '%s' has %zu bytes, not %lld",
                    i->id.text, i->config_len, (long long)m.config.size);
    if (r == 0)
        r = opened_parse_config(i, i->id.text, e);
    if (r == 0)
        r = read_layers(i, &m, e);
    if (r == 0)
        r = opened_set_names(i, NULL);
    if (r < 0)
        return r;
    i->info.id = i->id.text;
    i->info.digest = i->digest.text;
    *ret = take_ptr(&i);
    return 0;
}

int opened_set_names(struct image *i, char *const *names)
{
    size_t n = strv_count((const char *const *)names);

    i->info.names = arena_array(i->arena, n + 1, sizeof(char *));
    for (size_t at = 0; i->info.names && at < n; at++) {
        if (!(i->info.names[at] = arena_str(i->arena, names[at])))
            return -ENOMEM;
    }
    return i->info.names ? 0 : -ENOMEM;
}

void image_free(struct image *i)
{
    if (!i)
        return;
    arena_free(i->arena);
    free(i->config);
    free(i->manifest);
    free(i);
}

const struct image_info *image_info(const struct image *i)
{
    return &i->info;
}

const char *image_config(const struct image *i, size_t *ret_len)
{
    if (ret_len)
        *ret_len = i->config_len;
    return i->config;
}

const char *image_manifest(const struct image *i, size_t *ret_len)
{
    if (ret_len)
        *ret_len = i->manifest_len;
    return i->manifest;
}
