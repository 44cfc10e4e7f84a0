/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on containers beside their life: lists, what runs and what it uses, limits, prune. */
#include "engine/service-internal.h"

#include "base/buf.h"
#include "base/str.h"

#define LIST_MAX (64u << 20)

static json_t *parameter(const struct call *c, const char *name)
{
    return json_object_get(c->message->args, name);
}

static int list(struct call *c, struct wharf_error *e)
{
    autobuf struct buf text = BUF(LIST_MAX);
    struct engine_list ask = { .all = message_bool(c->message, "all"),
                               .size = message_bool(c->message, "size"),
                               .limit = message_int(c->message, "limit"),
                               .filters = parameter(c, "filters") };
    int r = engine_container_list_json(c->engine, c->who, &ask, &text, e);

    return r < 0 ? r : reply_json_text(c->reply, 200, text.data, text.len);
}

static int top(struct call *c, struct wharf_error *e)
{
    autojson json_t *document = NULL;
    int r = engine_container_top(c->engine, c->who, c->id, message_string(c->message, "ps_args"),
                                 &document, e);

    return call_document(c, r, 200, &document);
}

static int stats_line(void *user, const json_t *document)
{
    return reply_line(user, document);
}

static int stats_once(void *user, const json_t *document)
{
    return reply_json(user, 200, document);
}

static int stats(struct call *c, struct wharf_error *e)
{
    struct engine_stats ask = { .stream = message_bool(c->message, "stream"),
                                .one_shot = message_bool(c->message, "one-shot"),
                                .gone_fd = c->reply->gone_fd,
                                .user = c->reply };
    autorecord struct record r = { 0 };
    int n = engine_container_find(c->engine, c->who, c->id, &r, e);

    ask.each = ask.stream ? stats_line : stats_once;
    if (n == 0 && ask.stream && !ask.one_shot)
        n = reply_begin(c->reply, 200, FORM_JSON_LINES);
    if (n == 0)
        n = engine_container_stats(c->engine, c->who, r.id, &ask, e);
    if (n < 0 || !ask.stream)
        return n;
    return reply_end(c->reply);
}

static int update(struct call *c, struct wharf_error *e)
{
    autojson json_t *document = NULL;
    int r = engine_container_update(c->engine, c->who, c->id, c->message->body, &document, e);

    return call_document(c, r, 200, &document);
}

static int restart(struct call *c, struct wharf_error *e)
{
    int64_t timeout = message_has(c->message, "t") ? MAX(message_int(c->message, "t"), -1) : -2;
    int r = engine_container_restart(c->engine, c->who, c->id, timeout, e);

    return r < 0 ? r : reply_empty(c->reply, 204);
}

static int changes(struct call *c, struct wharf_error *e)
{
    autojson json_t *document = NULL;

    return call_document(c, engine_container_changes(c->engine, c->who, c->id, &document, e), 200,
                         &document);
}

static int prune(struct call *c, struct wharf_error *e)
{
    autojson json_t *document = NULL;
    int r = engine_container_prune(c->engine, c->who, parameter(c, "filters"), &document, e);

    return call_document(c, r, 200, &document);
}

static int df(struct call *c, struct wharf_error *e)
{
    autojson json_t *document = NULL;

    return call_document(c, engine_df(c->engine, c->who, parameter(c, "type"), &document, e), 200,
                         &document);
}

/* ---- archives -------------------------------------------------------------------------------- */

static int write_export(int fd, void *user, struct wharf_error *e)
{
    struct call *c = user;

    return engine_container_export(c->engine, c->who, c->id, fd, e);
}

static int export_it(struct call *c, struct wharf_error *e)
{
    return call_bytes(c, FORM_TAR, (struct byte_source){ write_export, c }, e);
}

static int stat_header(struct call *c, struct wharf_error *e)
{
    autofree char *header = NULL;
    autojson json_t *stat = NULL;
    int r =
        engine_archive_stat(c->engine, c->who, c->id, message_string(c->message, "path"), &stat, e);

    if (r < 0)
        return r;
    header = archive_stat_header(stat);
    return header ? reply_header(c->reply, "X-Docker-Container-Path-Stat", header) : err_nomem(e);
}

static int archive_stat(struct call *c, struct wharf_error *e)
{
    int r = stat_header(c, e);

    return r < 0 ? r : reply_empty(c->reply, 200);
}

static int write_archive(int fd, void *user, struct wharf_error *e)
{
    struct call *c = user;

    return engine_archive_get(c->engine, c->who, c->id, message_string(c->message, "path"), NULL,
                              fd, e);
}

static int archive_get(struct call *c, struct wharf_error *e)
{
    int r = stat_header(c, e);

    return r < 0 ? r : call_bytes(c, FORM_TAR, (struct byte_source){ write_archive, c }, e);
}

static bool is_true(const char *text)
{
    return text && (streq(text, "1") || streq(text, "true") || streq(text, "True"));
}

static int archive_put(struct call *c, struct wharf_error *e)
{
    struct engine_archive_put ask = {
        .path = message_string(c->message, "path"),
        .fd = c->message->stream,
        .keep_kind = is_true(message_string(c->message, "noOverwriteDirNonDir")),
        .copy_owner = is_true(message_string(c->message, "copyUIDGID")),
    };
    int r = engine_archive_put(c->engine, c->who, c->id, &ask, e);

    return r < 0 ? r : reply_empty(c->reply, 200);
}

/* ---- commit ---------------------------------------------------------------------------------- */

#define CHANGES_MAX 256 /* Dockerfile lines of one commit */

static int commit(struct call *c, struct wharf_error *e)
{
    const struct message *m = c->message;
    const char *repo = message_string(m, "repo"), *tag = message_string(m, "tag");
    autofree char *name =
        repo && *repo ? str_format("%s%s%s", repo, tag && *tag ? ":" : "", tag ? tag : "") : NULL;
    autofree char *lines = strdup(message_string(m, "changes") ? message_string(m, "changes") : "");
    const char *changes[CHANGES_MAX + 1] = { NULL };
    char *save = NULL;
    size_t count = 0;
    autojson json_t *document = NULL;

    if (!lines)
        return err_nomem(e);
    if (!message_string(m, "container"))
        return err_invalid(e, "bad parameter: container cannot be empty");
    for (char *l = strtok_r(lines, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        if (count == CHANGES_MAX)
            return err_set(e, -E2BIG, WHARF_ERROR_LIMIT, "more than %d changes", CHANGES_MAX);
        changes[count++] = l;
    }
    struct engine_commit ask = { .name = name,
                                 .comment = message_string(m, "comment"),
                                 .author = message_string(m, "author"),
                                 .pause = message_bool(m, "pause"),
                                 .changes = changes,
                                 .config = m->body };
    int r = engine_container_commit(c->engine, c->who, message_string(m, "container"), &ask,
                                    &document, e);
    return r < 0 ? r : reply_json(c->reply, 201, document);
}

const struct handler verb_handlers[] = {
    { "container.commit", commit },
    { "container.list", list },
    { "container.top", top },
    { "container.stats", stats },
    { "container.update", update },
    { "container.restart", restart },
    { "container.changes", changes },
    { "container.prune", prune },
    { "container.export", export_it },
    { "container.archive_stat", archive_stat },
    { "container.archive_get", archive_get },
    { "container.archive_put", archive_put },
    { "system.df", df },
    { NULL, NULL },
};
