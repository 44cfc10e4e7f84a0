/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One blob of a push: a HEAD when it is there, one POST when another repository lends it (mount),
 * POST and PUT when its bytes must go. A registry (or a proxy before it) that refuses so large a
 * body gets chunks. After a cut the session is asked how far it came, and goes on from there;
 * registries disagree about such sessions, so whatever one does not like gets a session of its own.
 * A wrong continuation cannot do harm: the registry compares the digest.
 */
#include "libimage/registry-push.h"
#include "base/str.h"

#include <fcntl.h>
#include <sys/stat.h>

enum {
    PUSH_CHUNK = 16 << 20,    /* bytes; more if the registry says OCI-Chunk-Min-Length .. */
    PUSH_CHUNK_MAX = 1 << 30, /* .. up to this */
    PUSH_REPORT = 2 << 20,
};

struct upload {
    struct push *push;
    struct remote *remote;
    const struct descriptor *d;
    const char *label;
    int fd;
    int64_t told, chunk;
    char location[REMOTE_URL_MAX];
    char lender[IMAGE_NAME_MAX + 1]; /* a repository that was asked to lend it; empty: none */
};

static int failed(const struct upload *u, struct exchange *x, struct wharf_error *e)
{
    int r = exchange_error(x, u->remote->host, u->d->digest.text, e);

    return err_wrap(e, r, "'%s'", u->push->reference);
}

static int say(const struct upload *u, const char *status, struct wharf_error *e)
{
    return reporter_say(&u->push->reporter, u->label, status, 0, 0, e);
}

static int on_tick(struct exchange *x)
{
    struct upload *u = x->arg;
    int64_t done = x->start + x->sent;
    int r;

    if (done - u->told < PUSH_REPORT && done < u->d->size)
        return 0;
    u->told = done;
    r = reporter_say(&u->push->reporter, u->label, "Pushing", done, u->d->size, &x->error);
    return r < 0 ? r
                 : reporter_tell(&u->push->reporter, IMAGE_STEP_UPLOAD, u->d->digest.text, done,
                                 u->d->size, &x->error);
}

/* 1: the registry has it. */
static int blob_exists(const struct upload *u, struct wharf_error *e)
{
    autoexchange struct exchange x = { 0 };
    char path[IMAGE_DIGEST_MAX + 16];
    int r;

    snprintf(path, sizeof(path), "blobs/%s", u->d->digest.text);
    r = remote_open(u->remote, &x, "HEAD", path, HTTP_ERROR_BODY_MAX);
    if (r < 0)
        return err_code(e, r, "'%s'", u->push->reference);
    r = remote_run(u->remote, &x, u->push->reference, e);
    if (r < 0)
        return r;
    if (exchange_status(&x) == 200)
        return 1;
    return exchange_status(&x) == 404 ? 0 : failed(u, &x, e);
}

static int take_location(struct upload *u, struct exchange *x, struct wharf_error *e)
{
    const char *text = exchange_value(x, "location", 0);

    if (text && remote_resolve(x, text, u->location) == 0)
        return 0;
    return err_invalid(e, "'%s': registry '%s' names an unusable Location '%.100s'",
                       u->push->reference, u->remote->host, text ? text : "");
}

/* Opens an upload session, or mounts. 1: the blob is there. */
static int begin_upload(struct upload *u, struct wharf_error *e)
{
    autoexchange struct exchange x = { 0 };
    char path[2 * IMAGE_NAME_MAX + IMAGE_DIGEST_MAX] = "blobs/uploads/";
    struct push_source *source = u->push->source;
    uint64_t least = 0;
    const char *text;
    int r;

    u->lender[0] = u->location[0] = 0;
    if (source->lender && source->lender(source, &u->d->digest, u->lender))
        snprintf(path, sizeof(path), "blobs/uploads/?mount=%s&from=%s", u->d->digest.text,
                 u->lender);
    r = remote_open(u->remote, &x, "POST", path, HTTP_ERROR_BODY_MAX);
    if (r < 0)
        return err_code(e, r, "'%s'", u->push->reference);
    exchange_send(&x, "", 0);
    r = remote_run(u->remote, &x, u->push->reference, e);
    if (r < 0)
        return r;
    if (exchange_status(&x) == 201)
        return 1;
    if (exchange_status(&x) != 202)
        return failed(u, &x, e);
    text = exchange_value(&x, "oci-chunk-min-length", 0);
    if (text && parse_u64(text, 1, PUSH_CHUNK_MAX, &least) == 0)
        u->chunk = MAX(u->chunk, (int64_t)least);
    return take_location(u, &x, e);
}

struct part {
    const char *method;
    int64_t start, length;
    bool last;   /* names the digest */
    bool ranged; /* says where it begins */
};

/* One PATCH or PUT with a part of the blob. */
static int send_part(struct upload *u, struct part part, struct exchange *x, struct wharf_error *e)
{
    char url[REMOTE_URL_MAX + IMAGE_DIGEST_MAX + 16];
    int r;

    snprintf(url, sizeof(url), "%s%s%s", u->location,
             !part.last                 ? ""
             : strchr(u->location, '?') ? "&digest="
                                        : "?digest=",
             part.last ? u->d->digest.text : "");
    r = remote_open(u->remote, x, part.method, url, HTTP_ERROR_BODY_MAX);
    if (r == 0)
        r = exchange_header(x, "Content-Type: application/octet-stream");
    if (r == 0 && part.ranged)
        r = exchange_header(x, "Content-Range: %lld-%lld", (long long)part.start,
                            (long long)(part.start + part.length - 1));
    if (r < 0)
        return err_code(e, r, "'%s'", u->push->reference);
    exchange_send_file(x, u->fd, part.start, part.length);
    x->arg = u;
    x->tick = on_tick;
    x->once = true;
    return remote_run(u->remote, x, u->push->reference, e);
}

/* 1: the registry has the blob now; 0: too large for one body. */
static int send_whole(struct upload *u, struct wharf_error *e)
{
    autoexchange struct exchange x = { 0 };
    struct part all = { "PUT", 0, u->d->size, true, false };
    int r = send_part(u, all, &x, e);

    if (r < 0)
        return r;
    if (exchange_status(&x) == 201)
        return 1;
    return exchange_status(&x) == 413 ? 0 : failed(u, &x, e);
}

/* All from byte `at` on. */
static int send_chunks(struct upload *u, int64_t at, struct wharf_error *e)
{
    autoexchange struct exchange end = { 0 };
    struct part last = { "PUT", 0, 0, true, false };
    int r;

    for (; at < u->d->size; at += u->chunk) {
        autoexchange struct exchange x = { 0 };
        struct part part = { "PATCH", at, MIN(u->chunk, u->d->size - at), false, true };

        r = send_part(u, part, &x, e);
        if (r == 0 && exchange_status(&x) != 202)
            r = failed(u, &x, e);
        if (r == 0 && exchange_value(&x, "location", 0))
            r = take_location(u, &x, e);
        if (r < 0)
            return r;
    }
    r = send_part(u, last, &end, e);
    if (r < 0)
        return r;
    return exchange_status(&end) == 201 ? 1 : failed(u, &end, e);
}

/* A session of its own: 1 when the blob is there. */
static int upload_once(struct upload *u, struct wharf_error *e)
{
    int r = begin_upload(u, e);

    if (r != 0)
        return r;
    u->lender[0] = 0;
    u->told = 0;
    r = send_whole(u, e);
    if (r != 0)
        return r;
    r = begin_upload(u, e);
    return r != 0 ? r : send_chunks(u, 0, e);
}

static bool is_network(int r)
{
    return r == -EAGAIN || r == -EIO || r == -ENODATA || r == -ETIMEDOUT || r == -ECONNREFUSED;
}

/* Also of a session that a cut left behind. */
static bool may_try_again(int r)
{
    return is_network(r) || r == -ENOENT || r == -EPROTO;
}

/* How many bytes the session has; 0: none, or it is of no use. "0-0" is said of an empty one. */
static int64_t session_has(struct upload *u)
{
    autoexchange struct exchange x = { 0 };
    const char *range;
    int64_t last;

    if (!u->location[0] || remote_open(u->remote, &x, "GET", u->location, HTTP_ERROR_BODY_MAX) < 0)
        return 0;
    x.once = true;
    if (remote_run(u->remote, &x, u->push->reference, NULL) < 0 ||
        (exchange_status(&x) != 204 && exchange_status(&x) != 202))
        return 0;
    range = exchange_value(&x, "range", 0);
    range = range && str_after(range, "bytes=") ? str_after(range, "bytes=") : range;
    range = range ? str_after(range, "0-") : NULL;
    if (!range || parse_i64(range, 1, u->d->size - 1, &last) < 0)
        return 0;
    if (exchange_value(&x, "location", 0) && take_location(u, &x, NULL) < 0)
        return 0;
    return last + 1;
}

static int upload_on(struct upload *u, struct wharf_error *e)
{
    int64_t have = session_has(u);
    int r;

    if (have > 0) {
        r = send_chunks(u, have, e);
        if (r > 0 || is_network(r))
            return r;
    }
    return upload_once(u, e);
}

static int upload(struct upload *u, struct wharf_error *e)
{
    int r = upload_once(u, e);

    for (unsigned tries = 1; r < 0 && may_try_again(r) && tries < HTTP_TRIES; tries++) {
        usleep((useconds_t)(HTTP_BACKOFF_MS << tries) * 1000);
        r = upload_on(u, e);
    }
    return r < 0 ? r : 0;
}

int push_blob(struct push *p, struct remote *remote, const struct descriptor *d, const char *label,
              struct wharf_error *e)
{
    struct upload u = { .push = p, .remote = remote, .d = d, .label = label, .chunk = PUSH_CHUNK };
    autofree char *mounted = NULL;
    autoclose int fd = -1;
    int r = blob_exists(&u, e);

    if (r != 0)
        return r < 0 ? r : say(&u, "Layer already exists", e);
    fd = u.fd = p->source->open(p->source, d, e);
    if (fd < 0)
        return err_wrap(e, fd, "'%s'", p->reference);
    r = upload(&u, e);
    if (r < 0)
        return r;
    mounted = u.lender[0] ? str_format("Mounted from %s", u.lender) : NULL;
    return say(&u, mounted ? mounted : "Pushed", e);
}
