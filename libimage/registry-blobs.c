/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs out, and their deletion. */
#include "libimage/registry-call.h"
#include "base/str.h"

void get_blob(struct registry_call *c, const struct registry_request *q)
{
    const char *range = q->header(q->arg, "Range"), *condition = q->header(q->arg, "If-Range");
    int fd;

    if (!call_digest(c, c->part))
        return;
    fd = registry_open_entry(c->r, c->name, "blobs", c->part);
    if (fd < 0) {
        reply_error(c, 404, "BLOB_UNKNOWN", "the repository does not have this blob");
        return;
    }
    if (condition && !strstr(condition, c->part))
        range = NULL;
    reply_header(c, "Accept-Ranges: bytes");
    reply_file(c, fd, "application/octet-stream", c->head ? NULL : range);
}

void delete_blob(struct registry_call *c)
{
    if (c->reply.status || !call_digest(c, c->part))
        return;
    if (registry_drop(c->r, c->name, "blobs", &c->digest) < 0)
        reply_error(c, 404, "BLOB_UNKNOWN", "the repository does not have this blob");
    reply_status(c, 202);
}
