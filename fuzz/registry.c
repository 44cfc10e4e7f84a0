/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: requests at the registry server. The bytes are requests as a client would write
 * them, one behind the other: "METHOD TARGET" and header lines, an empty line, the body up to a
 * line
 * "."; "$U" in a target is the Location of the last upload. Whatever they are: every answer has a
 * status, nothing appears beside the registry's directory, and every blob in the pool is what its
 * name says.
 */
#undef NDEBUG /* a fuzz target is its assertions, in every build */
#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include "base/fd.h"
#include "base/str.h"
#include "libimage/registry-server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REQUESTS_MAX = 64, HEADERS_MAX = 16 };

struct request {
    char *method, *target, *headers[HEADERS_MAX];
    size_t header_count;
    char *body;
};

static const char *find_header(void *arg, const char *name)
{
    struct request *q = arg;

    for (size_t i = 0; i < q->header_count; i++) {
        size_t n = strlen(name);

        if (strncasecmp(q->headers[i], name, n) == 0 && str_after(q->headers[i] + n, ": "))
            return q->headers[i] + n + 2;
    }
    return NULL;
}

/* Takes one request off the text; false: there is none. */
static bool parse(char **text, struct request *q)
{
    char *line, *end;

    *q = (struct request){ .method = strsep(text, "\n") };
    q->target = q->method ? strchr(q->method, ' ') : NULL;
    if (!q->target || !*text)
        return false;
    *q->target++ = 0;
    while ((line = strsep(text, "\n")) && *line && q->header_count < HEADERS_MAX)
        q->headers[q->header_count++] = line;
    q->body = *text ? *text : q->target + strlen(q->target);
    end = strstr(q->body, "\n.\n");
    *text = end ? end + 3 : NULL;
    if (end)
        *end = 0;
    return true;
}

static void serve(struct registry *r, struct request *q, char upload[256])
{
    autofree char *target =
        str_after(q->target, "$U") ? str_format("%s%s", upload, q->target + 2) : strdup(q->target);
    struct registry_request request = {
        .method = q->method, .target = target, .header = find_header, .arg = q
    };
    struct registry_call *call = registry_begin(r, &request);
    size_t len = strlen(q->body), half = len / 2;
    struct registry_reply *reply;

    assert(call && target);
    registry_body(call, q->body, half);
    registry_body(call, q->body + half, len - half);
    reply = registry_end(call);
    assert(reply->status >= 200 && reply->status < 600);
    for (size_t at = 0; at < reply->headers.len; at += strlen(reply->headers.data + at) + 1) {
        const char *header = reply->headers.data + at;

        assert(strstr(header, ": ") && !strpbrk(header, "\r\n"));
        if (str_after(header, "Location: ") && strstr(header, "/uploads/"))
            snprintf(upload, 256, "%.255s", str_after(header, "Location: "));
    }
    registry_call_free(call);
}

static void check_pool(const char *root)
{
    autofree char *path = str_format("%s/blobs/sha256", root);
    DIR *dir = opendir(path);
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        autofree char *text = NULL;
        struct digest found;
        ssize_t n =
            *entry->d_name == '.' ? -1 : file_read(dirfd(dir), entry->d_name, 1 << 20, &text);

        if (n < 0)
            continue;
        assert(digest_of(text, (size_t)n, &found) == 0);
        assert(streq(digest_hex(&found), entry->d_name));
    }
    if (dir)
        closedir(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char directory[] = "/tmp/registry-fuzz.XXXXXX", root[64], upload[256] = "";
    autofree char *text = strndup((const char *)data, size);
    char *rest = text;
    struct registry *registry;
    struct request q;

    if (!text || !mkdtemp(directory))
        return 0;
    snprintf(root, sizeof(root), "%s/root", directory);
    if (registry_open(&registry, root, NULL) == 0) {
        for (int i = 0; i < REQUESTS_MAX && rest && parse(&rest, &q); i++)
            serve(registry, &q, upload);
        registry_free(registry);
        check_pool(root);
    }
    path_remove_tree(AT_FDCWD, root);
    assert(rmdir(directory) == 0);
    return 0;
}
