/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From one registry to another, without a store: a push whose source is a registry. A blob that the
 * target lacks comes into a file without a name, is checked there, and goes on.
 */
#include "libimage/registry-push.h"
#include "base/fd.h"
#include "base/str.h"

#include <fcntl.h>

struct registry_source {
    struct push_source base;
    struct remote remote;
    struct image_reference ref;
    struct image_remote_options options;
};

static int read_document(struct push_source *self, const struct digest *digest, char **ret,
                         size_t *ret_len, struct wharf_error *e)
{
    struct registry_source *s = (struct registry_source *)self;
    struct digest found;

    return remote_document(&s->remote, &s->ref, digest->text, digest->text, ret, ret_len, &found,
                           e);
}

/* ---- blobs ---- */

struct passing {
    const struct descriptor *d;
    int fd;
    int64_t have;
    struct hasher hasher;
};

static int take_bytes(struct exchange *x, const void *data, size_t len)
{
    struct passing *p = x->arg;
    int r;

    if (p->have + (int64_t)len > p->d->size)
        return err_set(&x->error, -EBADMSG, WHARF_ERROR_CORRUPT,
                       "sends more than the %lld bytes that are due", (long long)p->d->size);
    r = fd_write_all(p->fd, data, len);
    if (r < 0)
        return err_code(&x->error, r, "cannot write to a temporary file");
    hasher_add(&p->hasher, data, len);
    p->have += (int64_t)len;
    return 0;
}

static int begin_again(struct passing *p, struct wharf_error *e)
{
    p->have = 0;
    hasher_done(&p->hasher);
    if (ftruncate(p->fd, 0) < 0 || lseek(p->fd, 0, SEEK_SET) < 0)
        return err_sys(e, "cannot write to a temporary file");
    return hasher_init(&p->hasher, &p->d->digest) < 0 ? err_nomem(e) : 0;
}

/* 1: it is whole; 0: try again. */
static int fetch_once(struct remote *r, struct passing *p, struct wharf_error *e)
{
    autoexchange struct exchange x = { 0 };
    char path[IMAGE_DIGEST_MAX + 16];
    int code = begin_again(p, e);

    if (code < 0)
        return code;
    snprintf(path, sizeof(path), "blobs/%s", p->d->digest.text);
    code = remote_open(r, &x, NULL, path, HTTP_ERROR_BODY_MAX);
    if (code < 0)
        return err_code(e, code, "blob '%s'", p->d->digest.text);
    x.sink = take_bytes;
    x.arg = p;
    x.once = true;
    code = remote_run(r, &x, p->d->digest.text, e);
    if (code < 0)
        return exchange_may_retry(&x) ? 0 : code;
    if (exchange_status(&x) == 200)
        return p->have == p->d->size;
    return exchange_may_retry(&x) ? 0 : exchange_error(&x, r->host, p->d->digest.text, e);
}

static int fetch(struct remote *r, struct passing *p, struct wharf_error *e)
{
    struct digest found;
    int code = 0;

    for (unsigned tries = 0; code == 0 && tries < HTTP_TRIES; tries++) {
        if (tries)
            usleep((useconds_t)(HTTP_BACKOFF_MS << tries) * 1000);
        code = fetch_once(r, p, e);
    }
    if (code < 0)
        return code;
    hasher_end(&p->hasher, &found);
    if (code == 0)
        return err_set(e, -ENODATA, WHARF_ERROR_UNAVAILABLE,
                       "registry '%s' cuts blob '%s' short again and again", r->host,
                       p->d->digest.text);
    if (!digest_equal(&found, &p->d->digest))
        return err_set(e, -EBADMSG, WHARF_ERROR_CORRUPT,
                       "registry '%s' sends blob '%s' with digest '%s'", r->host, p->d->digest.text,
                       found.text);
    return 0;
}

static int open_blob(struct push_source *self, const struct descriptor *d, struct wharf_error *e)
{
    struct registry_source *s = (struct registry_source *)self;
    const char *directory = getenv("TMPDIR");
    autoremote struct remote remote = { 0 };
    autoclose int fd = -1;
    struct passing p = { .d = d };
    int r;

    directory = directory && *directory ? directory : "/var/tmp";
    fd = p.fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(e, "cannot make a temporary file in '%s'", directory);
    r = remote_clone(&remote, &s->remote, e);
    if (r == 0)
        r = fetch(&remote, &p, e);
    hasher_done(&p.hasher);
    return r < 0 ? r : take_fd(&fd);
}

/* Both ends in one registry: the blob need not travel. */
static bool find_lender(struct push_source *self, const struct digest *blob,
                        char from[IMAGE_NAME_MAX + 1])
{
    struct registry_source *s = (struct registry_source *)self;

    (void)blob;
    snprintf(from, IMAGE_NAME_MAX + 1, "%s", s->ref.path);
    return true;
}

/* ---- the whole ---- */

static int find_top(struct registry_source *s, const char *platform, struct digest *ret,
                    struct wharf_error *e)
{
    const char *what = s->ref.digest[0] ? s->ref.digest : s->ref.tag;
    autodocument struct document d = { 0 };
    const struct descriptor *child;
    autofree char *text = NULL;
    size_t len;
    int r = remote_document(&s->remote, &s->ref, what, s->ref.digest, &text, &len, ret, e);

    if (r < 0 || !platform)
        return r;
    r = document_parse(&d, text, len, ret->text, e);
    if (r < 0 || d.kind == DOCUMENT_MANIFEST)
        return r;
    child = platform_pick(&d, platform);
    if (!child)
        return err_not_found(e, "registry '%s' has it for other platforms only, not '%s'",
                             s->remote.host, platform);
    *ret = child->digest;
    return 0;
}

static int open_source(struct registry_source *s, const char *reference,
                       const struct image_remote_options *options, struct wharf_error *e)
{
    int r = image_reference_parse(&s->ref, reference, e);

    if (options)
        memcpy(&s->options, options, MIN(options->size, sizeof(s->options)));
    return r < 0 ? r : remote_init(&s->remote, &s->ref, NULL, "pull", &s->options, e);
}

int image_copy(const char *source, const char *target, const struct image_remote_options *from,
               const struct image_remote_options *to, struct wharf_error *e)
{
    struct registry_source s = { .base = { read_document, open_blob, find_lender } };
    struct push p = { .source = &s.base };
    struct digest top;
    int r = open_source(&s, source, from, e);

    if (r == 0)
        r = push_init(&p, target, to, e);
    if (r == 0 && !streq(s.ref.domain, p.ref.domain))
        s.base.lender = NULL;
    if (r == 0)
        r = find_top(&s, p.options.platform, &top, e);
    if (r == 0)
        r = push_all(&p, &top, e);
    push_done(&p);
    remote_done(&s.remote);
    return r;
}

/* ---- looking ---- */

static json_t *platform_json(const char *architecture, const char *os, const char *variant)
{
    json_t *j = json_pack("{s:s, s:s}", "architecture", architecture, "os", os);

    if (j && variant && *variant)
        json_object_set_new(j, "variant", json_string(variant));
    return j;
}

/* The platform that a manifest's configuration says. */
static json_t *config_platform(struct registry_source *s, const struct descriptor *config)
{
    autoclose int fd = config->size <= IMAGE_DOCUMENT_MAX ? open_blob(&s->base, config, NULL) : -1;
    autobuf struct buf text = BUF(IMAGE_DOCUMENT_MAX);
    autojson json_t *tree = NULL;

    if (fd < 0 || lseek(fd, 0, SEEK_SET) < 0 || fd_read_all(fd, &text) < 0 || !text.len ||
        json_read(text.data, text.len, JSON_LIMITS, "", &tree, NULL) < 0 ||
        !json_text(tree, "architecture") || !json_text(tree, "os"))
        return NULL;
    return platform_json(json_text(tree, "architecture"), json_text(tree, "os"),
                         json_text(tree, "variant"));
}

static json_t *platforms_json(struct registry_source *s, const struct document *d)
{
    json_t *list = json_array(), *one;

    for (size_t i = 0; i < d->count && d->kind == DOCUMENT_INDEX; i++)
        json_array_append_new(
            list, platform_json(d->items[i].architecture, d->items[i].os, d->items[i].variant));
    one = d->kind == DOCUMENT_MANIFEST ? config_platform(s, &d->config) : NULL;
    if (one)
        json_array_append_new(list, one);
    return list;
}

static int distribution(struct registry_source *s, char **ret, struct wharf_error *e)
{
    const char *what = s->ref.digest[0] ? s->ref.digest : s->ref.tag;
    autodocument struct document d = { 0 };
    autojson json_t *answer = NULL;
    autofree char *text = NULL;
    struct digest digest;
    size_t len;
    int r = remote_document(&s->remote, &s->ref, what, s->ref.digest, &text, &len, &digest, e);

    if (r == 0)
        r = document_parse(&d, text, len, digest.text, e);
    if (r < 0)
        return r;
    answer =
        json_pack("{s:{s:s, s:s, s:I}, s:o}", "Descriptor", "mediaType", d.media_type, "digest",
                  digest.text, "size", (json_int_t)len, "Platforms", platforms_json(s, &d));
    *ret = answer ? json_write(answer, JSON_COMPACT) : NULL;
    return *ret ? 0 : err_nomem(e);
}

int image_distribution_json(const char *reference, const struct image_remote_options *options,
                            char **ret, struct wharf_error *e)
{
    struct registry_source s = { .remote = { .base = "" } };
    int r = open_source(&s, reference, options, e);

    if (r == 0)
        r = distribution(&s, ret, e);
    remote_done(&s.remote);
    return r;
}
