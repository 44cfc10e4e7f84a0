/* SPDX-License-Identifier: Apache-2.0 */
/* Lists: tags, repositories, referrers; sorted, in pages. */
#include "libimage/registry-call.h"
#include "base/fd.h"
#include "base/str.h"
#include "libimage/document.h"

#include <fcntl.h>

/* Cuts a sorted list to the page that n= and last= ask for, and links to the next one, whose query
 * goes on with `more`. */
static size_t page(struct registry_call *c, char **list, const char *path, const char *more,
                   size_t *ret_start)
{
    autofree char *n = call_parameter(c, "n", 0), *last = call_parameter(c, "last", 0);
    size_t count = strv_count((const char *const *)list), start = 0;
    uint64_t limit = REGISTRY_PAGE_MAX;

    if (n && parse_u64(n, 0, INT64_MAX, &limit) < 0) {
        reply_error(c, 400, "UNSUPPORTED", "n is a number");
        return 0;
    }
    limit = MIN(limit, (uint64_t)REGISTRY_PAGE_MAX);
    while (last && start < count && strcmp(list[start], last) <= 0)
        start++;
    *ret_start = start;
    if (limit == 0 || count - start <= limit)
        return limit == 0 ? 0 : count - start;
    reply_header(c, "Link: <%s?n=%llu&last=%s%s>; rel=\"next\"", path, (unsigned long long)limit,
                 list[start + limit - 1], more);
    return (size_t)limit;
}

static void add_list(struct registry_call *c, char **list, size_t start, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        buf_str(&c->reply.text, i ? "," : "");
        buf_json(&c->reply.text, list[start + i], strlen(list[start + i]));
    }
    buf_str(&c->reply.text, "]}\n");
    reply_header(c, "Content-Type: application/json");
    reply_status(c, 200);
}

static bool repository_exists(struct registry_call *c)
{
    int fd = path_open_plain(c->r->repositories, c->name, O_RDONLY | O_DIRECTORY, 0);
    int own = fd < 0 ? -1 : registry_open_dir(c->r, c->name, "manifests", false);
    int coming = own >= 0 ? -1 : fd < 0 ? -1 : registry_open_dir(c->r, c->name, "uploads", false);

    fd_close(fd);
    fd_close(own);
    fd_close(coming);
    return own >= 0 || coming >= 0;
}

void get_tags(struct registry_call *c)
{
    autostrv char **list = NULL;
    char path[IMAGE_NAME_MAX + 32];
    size_t start = 0, count;

    if (!repository_exists(c)) {
        reply_error(c, 404, "NAME_UNKNOWN", "no such repository");
        return;
    }
    registry_list(c->r, c->name, "tags", &list);
    snprintf(path, sizeof(path), "/v2/%s/tags/list", c->name);
    count = page(c, list, path, "", &start);
    if (c->reply.status)
        return;
    buf_printf(&c->reply.text, "{\"name\":\"%s\",\"tags\":[", c->name);
    add_list(c, list, start, count);
}

void get_catalog(struct registry_call *c)
{
    autostrv char **list = NULL;
    size_t start = 0, count;
    int r = registry_catalog(c->r, &list);

    if (r < 0) {
        reply_errno(c, r);
        return;
    }
    count = page(c, list, "/v2/_catalog", "", &start);
    if (c->reply.status)
        return;
    buf_str(&c->reply.text, "{\"repositories\":[");
    add_list(c, list, start, count);
}

static bool is_of_type(const char *text, size_t len, const char *type)
{
    autojson json_t *j = NULL;

    return json_read(text, len, JSON_LIMITS, "", &j, NULL) == 0 &&
           streq(json_member_text(j, "artifactType"), type);
}

/* Drops the entries whose descriptor is of another type. */
static void filter(struct registry_call *c, const char *kind, char **list, const char *type)
{
    size_t kept = 0;

    for (size_t i = 0; list && list[i]; i++) {
        autofree char *text = NULL;
        ssize_t n = registry_read(c->r, c->name, kind, list[i], REGISTRY_MANIFEST_MAX, &text);

        if (n >= 0 && is_of_type(text, (size_t)n, type)) {
            char *keep = list[i];

            list[i] = list[kept];
            list[kept++] = keep;
        }
    }
    for (size_t i = kept; list && list[i]; i++)
        free(take_ptr(&list[i]));
}

/* "&artifactType=..", encoded for a Link; a new string. */
static char *filter_query(const char *type)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    struct buf b = BUF(REGISTRY_TARGET_MAX);

    for (const char *p = type; p && *p; p++) {
        if (p == type)
            buf_str(&b, "&artifactType=");
        if (strchr(plain, *p))
            buf_char(&b, *p);
        else
            buf_printf(&b, "%%%02X", (unsigned char)*p);
    }
    return buf_take(&b);
}

static void add_referrers(struct registry_call *c, const char *kind, char **list, size_t count)
{
    size_t told = 0;

    buf_str(&c->reply.text,
            "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_INDEX "\",\"manifests\":[");
    for (size_t i = 0; i < count; i++) {
        autofree char *text = NULL;
        ssize_t n = registry_read(c->r, c->name, kind, list[i], REGISTRY_MANIFEST_MAX, &text);

        if (n < 0)
            continue; /* deleted meanwhile */
        buf_str(&c->reply.text, told++ ? "," : "");
        buf_add(&c->reply.text, text, (size_t)n);
    }
    buf_str(&c->reply.text, "]}");
}

void get_referrers(struct registry_call *c)
{
    autofree char *type = call_parameter(c, "artifactType", 0), *more = filter_query(type);
    autostrv char **list = NULL;
    char kind[IMAGE_DIGEST_MAX + 16], path[IMAGE_NAME_MAX + IMAGE_DIGEST_MAX + 32];
    size_t start = 0, count;

    if (c->reply.status || !call_digest(c, c->part))
        return;
    referrers_kind(c->part, kind);
    registry_list(c->r, c->name, kind, &list);
    if (type)
        filter(c, kind, list, type);
    snprintf(path, sizeof(path), "/v2/%s/referrers/%s", c->name, c->part);
    count = page(c, list, path, more ? more : "", &start);
    if (c->reply.status)
        return;
    add_referrers(c, kind, list ? list + start : NULL, count);
    if (type)
        reply_header(c, "OCI-Filters-Applied: artifactType");
    reply_header(c, "Content-Type: " MEDIA_INDEX);
    reply_status(c, 200);
}
