/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on images; what needs a registry goes through struct engine_remote. */
#include "engine/service-internal.h"

#include "base/buf.h"
#include "base/str.h"

#define CHANGES_MAX 64 /* Dockerfile lines of one import */

/* Images belong to the whole engine: whoever may come sees them. */
static int store_of(struct call *c, struct image_store **ret, struct wharf_error *e)
{
    return engine_images(c->engine, c->who, ret, e);
}

/* The text of the parameter `filters` as image.h wants it; free() it. "" without. */
static char *filters_text(const struct call *c)
{
    json_t *filters = json_object_get(c->message->args, "filters");

    return filters ? json_write(filters, JSON_COMPACT) : strdup("");
}

/* `repo` and `tag` as one reference: the tag may be a digest. NULL: no memory. */
static char *reference_of(const char *repo, const char *tag)
{
    const char *separator = tag && *tag ? strchr(tag, ':') ? "@" : ":" : "";

    return str_format("%s%s%s", repo, separator, tag ? tag : "");
}

/* ---- one answer ------------------------------------------------------------------------------ */

static int list(struct call *c, struct wharf_error *e)
{
    autofree char *filters = filters_text(c);
    struct image_query query = { .size = sizeof query,
                                 .all = message_bool(c->message, "all"),
                                 .shared_size = message_bool(c->message, "shared-size"),
                                 .manifests = message_bool(c->message, "manifests"),
                                 .filters = filters };
    struct image_store *store;
    char *json = NULL;
    int r = filters ? store_of(c, &store, e) : err_nomem(e);

    if (r == 0)
        r = image_list_json(store, &query, &json, e);
    return call_answer(c, r, &json);
}

static int inspect(struct call *c, struct wharf_error *e)
{
    struct image_store *store;
    char *json = NULL;
    int r = store_of(c, &store, e);

    if (r == 0)
        r = image_inspect_json(store, c->id, &json, e);
    return call_answer(c, r, &json);
}

static int history(struct call *c, struct wharf_error *e)
{
    struct image_store *store;
    char *json = NULL;
    int r = store_of(c, &store, e);

    if (r == 0)
        r = image_history_json(store, c->id, &json, e);
    return call_answer(c, r, &json);
}

static int remove_it(struct call *c, struct wharf_error *e)
{
    struct image_store *store;
    char *json = NULL;
    int r = store_of(c, &store, e);

    if (r == 0)
        r = image_remove_json(store, c->id, message_bool(c->message, "force"), &json, e);
    return call_answer(c, r, &json);
}

static int prune(struct call *c, struct wharf_error *e)
{
    autofree char *filters = filters_text(c);
    struct image_store *store;
    char *json = NULL;
    int r = filters ? store_of(c, &store, e) : err_nomem(e);

    if (r == 0)
        r = image_prune_json(store, filters, &json, e);
    return call_answer(c, r, &json);
}

static int tag(struct call *c, struct wharf_error *e)
{
    const char *repo = message_string(c->message, "repo");
    autofree char *name = reference_of(repo ? repo : "", message_string(c->message, "tag"));
    struct image_store *store;
    int r = name ? store_of(c, &store, e) : err_nomem(e);

    if (r == 0)
        r = image_tag(store, c->id, name, e);
    return r < 0 ? r : reply_empty(c->reply, 201);
}

/* ---- progress -------------------------------------------------------------------------------- */

/* image_tell: one line of docker's progress stream; whoever is gone cancels. */
int call_tell(const struct image_message *message, void *user)
{
    struct call *c = user;
    autofree char *line = image_message_json(message);
    int r = line ? 0 : -ENOMEM;

    if (r == 0 && c->reply->state == REPLY_OPEN)
        r = reply_begin(c->reply, 200, FORM_JSON_LINES);
    return r < 0 ? r : reply_write(c->reply, line, strlen(line));
}

/* The end of a progress stream, which may have had nothing to tell. */
static int told(struct call *c, int r)
{
    if (r >= 0 && c->reply->state == REPLY_OPEN)
        r = reply_begin(c->reply, 200, FORM_JSON_LINES);
    return r < 0 ? r : reply_end(c->reply);
}

static int remote_of(const struct call *c, const struct engine_remote **ret, struct wharf_error *e)
{
    *ret = c->options->remote;
    return *ret ? 0 : err_unsupported(e, "this engine has no registry client");
}

static struct image_remote_options remote_options(struct call *c,
                                                  const struct engine_remote *remote)
{
    const char *auth = message_string(c->message, "X-Registry-Auth");

    return (struct image_remote_options){ .size = sizeof(struct image_remote_options),
                                          .insecure = remote->insecure,
                                          .mirrors = remote->mirrors,
                                          .tell = call_tell,
                                          .tell_arg = c,
                                          .registry_auth = auth && *auth ? auth : "e30=" };
}

static int pull(struct call *c, const char *from, struct wharf_error *e)
{
    const char *wanted = message_string(c->message, "tag");
    autofree char *reference = reference_of(from, wanted);
    const struct engine_remote *remote;
    struct image_reference parsed;
    struct image_store *store;
    int r = reference ? remote_of(c, &remote, e) : err_nomem(e);

    if (r == 0)
        r = image_reference_parse(&parsed, reference, e);
    if (r == 0)
        r = store_of(c, &store, e);
    if (r < 0)
        return r;
    struct image_remote_options options = remote_options(c, remote);
    options.platform = message_string(c->message, "platform");
    /* no tag and no digest, here or in the name: all tags */
    options.all_tags =
        !settings_text(wanted) && !strchr(from, '@') && !(strrchr(from, ':') > strrchr(from, '/'));
    r = told(c, remote->pull(store, reference, &options, NULL, e));
    if (r == 0)
        call_collect(c, store);
    return r;
}

static int import(struct call *c, struct wharf_error *e)
{
    const char *repo = message_string(c->message, "repo");
    autofree char *name =
        repo && *repo ? reference_of(repo, message_string(c->message, "tag")) : NULL;
    const char *changes[CHANGES_MAX + 1] = { NULL };
    json_t *list_ = json_object_get(c->message->args, "changes"), *line;
    struct image_store *store;
    const char *message = message_string(c->message, "message");
    struct image *image;
    size_t i;
    int r = store_of(c, &store, e);

    if (r == 0 && json_array_size(list_) > CHANGES_MAX)
        return err_set(e, -E2BIG, WHARF_ERROR_LIMIT, "more than %d changes", CHANGES_MAX);
    json_array_foreach (list_, i, line)
        changes[i] = json_string_value(line);
    if (r < 0)
        return r;
    struct image_import_options options = { .size = sizeof options,
                                            .name = name,
                                            .changes = changes,
                                            .comment =
                                                message && *message ? message : "Imported from -" };
    r = image_import(store, c->message->stream, &options, &image, e);
    if (r < 0)
        return r;
    r = call_tell(&(struct image_message){ .status = image_info(image)->id }, c);
    image_free(image);
    return told(c, r);
}

static int create(struct call *c, struct wharf_error *e)
{
    const char *from = message_string(c->message, "fromImage");
    const char *source = message_string(c->message, "fromSrc");

    if (from && *from)
        return pull(c, from, e);
    if (!source || !streq(source, "-"))
        return err_unsupported(e,
                               "an image is imported from the request's body only: fromSrc must "
                               "be '-', not '%s'",
                               source ? source : "");
    return import(c, e);
}

static int push(struct call *c, struct wharf_error *e)
{
    const char *wanted = message_string(c->message, "tag");
    autofree char *reference = reference_of(c->id, wanted);
    const struct engine_remote *remote;
    struct image_store *store;
    int r = reference ? remote_of(c, &remote, e) : err_nomem(e);

    if (r == 0)
        r = store_of(c, &store, e);
    if (r < 0)
        return r;
    struct image_remote_options options = remote_options(c, remote);
    options.all_tags = !settings_text(wanted);
    return told(c, remote->push(store, reference, &options, e));
}

static int load(struct call *c, struct wharf_error *e)
{
    struct image_store *store;
    struct image_load_options options = { .size = sizeof options,
                                          .tell = call_tell,
                                          .tell_arg = c,
                                          .quiet = message_bool(c->message, "quiet") };
    int r = store_of(c, &store, e);

    if (r < 0)
        return r;
    r = told(c, image_load(store, c->message->stream, &options, e));
    if (r == 0)
        call_collect(c, store);
    return r;
}

/* ---- save ------------------------------------------------------------------------------------ */

struct saving {
    struct image_store *store;
    const char **references; /* ended by NULL */
};

static int write_images(int fd, void *user, struct wharf_error *e)
{
    const struct saving *s = user;

    return image_save(s->store, s->references, fd, NULL, e);
}

static int save(struct call *c, struct wharf_error *e)
{
    json_t *names = json_object_get(c->message->args, "names"), *name;
    size_t count = json_array_size(names), i;
    autofree const char **references = calloc(count + 2, sizeof *references);
    struct saving saving = { .references = references };
    int r = references ? store_of(c, &saving.store, e) : err_nomem(e);

    if (r < 0)
        return r;
    json_array_foreach (names, i, name)
        references[i] = json_string_value(name);
    if (operation_is(c->message->op, "image.save"))
        references[0] = c->id;
    if (!references[0])
        return err_invalid(e, "no image was named");
    return call_bytes(c, FORM_TAR, (struct byte_source){ write_images, &saving }, e);
}

/* ---- registries ------------------------------------------------------------------------------ */

static int distribution(struct call *c, struct wharf_error *e)
{
    const struct engine_remote *remote;
    char *json = NULL;
    int r = remote_of(c, &remote, e);

    if (r < 0)
        return r;
    struct image_remote_options options = remote_options(c, remote);
    options.tell = NULL;
    return call_answer(c, remote->distribution(c->id, &options, &json, e), &json);
}

/* The body is an AuthConfig (docker-api 2.7). */
static int auth(struct call *c, struct wharf_error *e)
{
    json_t *body = c->message->body;
    const char *server = json_string_value(json_object_get(body, "serveraddress"));
    struct image_remote_options options = {
        .size = sizeof options,
        .username = json_string_value(json_object_get(body, "username")),
        .password = json_string_value(json_object_get(body, "password")),
        .identity_token = json_string_value(json_object_get(body, "identitytoken")),
    };
    const struct engine_remote *remote;
    autofree char *identity = NULL;
    autojson json_t *answer = NULL;
    int r = remote_of(c, &remote, e);

    if (r < 0)
        return r;
    options.insecure = remote->insecure;
    r = remote->login(server ? server : "", &options, &identity, e);
    if (r == -EACCES && e)
        e->kind = WHARF_ERROR_UNAUTHORIZED;
    if (r < 0)
        return r;
    answer =
        json_pack("{ssss}", "Status", "Login Succeeded", "IdentityToken", identity ? identity : "");
    return answer ? reply_json(c->reply, 200, answer) : -ENOMEM;
}

const struct handler image_handlers[] = {
    { "image.list", list },       { "image.inspect", inspect },
    { "image.history", history }, { "image.remove", remove_it },
    { "image.prune", prune },     { "image.tag", tag },
    { "image.create", create },   { "image.push", push },
    { "image.load", load },       { "image.distribution", distribution },
    { "image.save", save },       { "image.save_all", save },
    { "system.auth", auth },      { NULL, NULL },
};
