/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The documents of a pull: from what a reference names, through indexes, down to the manifest that
 * fits. Each is checked by digest before it is read, and kept, bytes unchanged; what the store has
 * already is not asked for.
 */
#include "libimage/registry-pull.h"
#include "base/fd.h"
#include "base/str.h"

static const char *const accepted[] = {
    MEDIA_INDEX,
    MEDIA_MANIFEST,
    MEDIA_LIST,
    MEDIA_MANIFEST_V2,
    MEDIA_DOCKER "distribution.manifest.v1+prettyjws",
    MEDIA_DOCKER "distribution.manifest.v1+json",
};

static int keep_document(struct pull *p, const struct digest *d, const char *text, size_t len,
                         struct wharf_error *e)
{
    char name[INTAKE_NAME_MAX];
    autoclose int fd = intake_create(&p->in, name, e);
    int r;

    if (fd < 0)
        return fd;
    r = fd_write_all(fd, text, len);
    if (r == 0)
        r = intake_name_blob(&p->in, name, d);
    if (r == 0)
        r = intake_want_blob(&p->in, d);
    return r < 0 ? err_code(e, r, "cannot write to image store '%s'", p->store->path) : 0;
}

static int hash_like(const struct digest *like, const void *data, size_t len, struct digest *ret)
{
    struct hasher h = { 0 };
    int r = hasher_init(&h, like);

    if (r == 0) {
        hasher_add(&h, data, len);
        hasher_end(&h, ret);
    }
    hasher_done(&h);
    return r;
}

/* The digest that a document must have: asked for, or promised by the header; else what it has. */
static int check_document(struct pull *p, struct exchange *x, const char *wanted,
                          struct digest *ret, struct wharf_error *e)
{
    const char *promised = exchange_value(x, "docker-content-digest", 0);
    struct digest expected = { "" };

    if (!*wanted && promised && digest_valid(promised))
        wanted = promised;
    snprintf(expected.text, sizeof(expected.text), "%s", wanted);
    if (hash_like(*wanted ? &expected : NULL, x->body.data ? x->body.data : "", x->body.len, ret))
        return err_nomem(e);
    if (*wanted && !digest_equal(ret, &expected))
        return err_set(e, -EBADMSG, WHARF_ERROR_CORRUPT,
                       "'%s': registry '%s' sends a manifest with digest '%s' where '%s' is due",
                       p->reference, p->remote.host, ret->text, expected.text);
    return 0;
}

/* In dockerd's words where it has some: clients match them. */
static int refused(struct pull *p, struct exchange *x, struct wharf_error *e)
{
    long status = exchange_status(x);
    struct image_reference repository = p->ref;
    char name[IMAGE_REFERENCE_MAX];
    int r = exchange_error(x, p->remote.host, p->reference, e);

    if (status != 404 && status != 403 && status != 401)
        return r;
    if (status == 404 && exchange_code_is(x, "MANIFEST_UNKNOWN"))
        return err_set(
            e, r, WHARF_ERROR_NOT_FOUND,
            "manifest for %s not found: manifest unknown: registry '%s' does not have it",
            p->reference, p->remote.host);
    repository.tag[0] = repository.digest[0] = 0;
    image_reference_format(&repository, 1, name);
    return err_set(e, r, status == 404 ? WHARF_ERROR_NOT_FOUND : WHARF_ERROR_UNAUTHORIZED,
                   "pull access denied for %s, repository does not exist or may require 'docker "
                   "login': denied: registry '%s' does not have it for this login; log in to it",
                   name, p->remote.host);
}

/* Fetches a manifest or index by tag or digest, unless the store has it. */
static int get_document(struct pull *p, const char *what, const char *wanted, char **ret,
                        size_t *ret_len, struct digest *ret_digest, struct wharf_error *e)
{
    autoexchange struct exchange x = { 0 };
    char path[IMAGE_DIGEST_MAX + 16];
    int r;

    if (*wanted) {
        snprintf(ret_digest->text, sizeof(ret_digest->text), "%s", wanted);
        if (store_read_blob(p->store, p->in.dir, ret_digest, IMAGE_DOCUMENT_MAX, ret, ret_len,
                            NULL) == 0)
            return intake_want_blob(&p->in, ret_digest) < 0 ? err_nomem(e) : 0;
    }
    snprintf(path, sizeof(path), "manifests/%s", what);
    r = remote_open(&p->remote, &x, NULL, path, IMAGE_DOCUMENT_MAX);
    for (size_t i = 0; i < ARRAY_SIZE(accepted) && r == 0; i++)
        r = exchange_header(&x, "Accept: %s", accepted[i]);
    if (r < 0)
        return err_code(e, r, "'%s'", p->reference);
    r = remote_run(&p->remote, &x, p->reference, e);
    if (r == 0 && exchange_status(&x) != 200)
        r = refused(p, &x, e);
    if (r == 0)
        r = check_document(p, &x, wanted, ret_digest, e);
    if (r == 0)
        r = keep_document(p, ret_digest, x.body.data ? x.body.data : "", x.body.len, e);
    if (r < 0)
        return r;
    *ret_len = x.body.len;
    *ret = buf_take(&x.body);
    return *ret ? 0 : err_nomem(e);
}

/* The child of an index that was asked for, or that fits this machine. */
static const struct descriptor *pick(const struct pull *p, const struct document *index)
{
    char have[256];

    if (!p->options.platform)
        return document_pick(index);
    for (size_t i = 0; i < index->count; i++) {
        const struct descriptor *d = &index->items[i];
        bool arm64 = streq(d->architecture, "arm64") && streq(d->variant, "v8");

        snprintf(have, sizeof(have), "%s/%s%s%s", d->os, d->architecture, *d->variant ? "/" : "",
                 d->variant);
        if (streq(have, p->options.platform))
            return d;
        snprintf(have, sizeof(have), "%s/%s", d->os, d->architecture);
        if ((!*d->variant || arm64) && streq(have, p->options.platform))
            return d;
    }
    return NULL;
}

/* From what the reference names down to a manifest. */
int pull_manifest(struct pull *p, struct document *ret, struct wharf_error *e)
{
    const char *what = p->ref.digest[0] ? p->ref.digest : p->ref.tag;
    char wanted[IMAGE_DIGEST_MAX];

    snprintf(wanted, sizeof(wanted), "%s", p->ref.digest);
    for (unsigned depth = 0; depth < IMAGE_INDEX_DEPTH_MAX; depth++) {
        autodocument struct document d = { 0 };
        autofree char *text = NULL;
        const struct descriptor *child;
        size_t len = 0;
        int r = get_document(p, what, wanted, &text, &len, &p->manifest, e);

        if (r < 0)
            return r;
        r = document_parse(&d, text, len, p->manifest.text, e);
        if (r < 0)
            return err_wrap(e, r, "'%s': registry '%s' sends no good manifest", p->reference,
                            p->remote.host);
        /* a platform that is not ours: the index would later lead to another image */
        if (depth == 0 || p->options.platform) {
            p->top = p->manifest;
            p->top_size = (int64_t)len;
            snprintf(p->media_type, sizeof(p->media_type), "%s", d.media_type);
        }
        if (d.kind == DOCUMENT_MANIFEST) {
            *ret = d;
            d = (struct document){ 0 };
            return 0;
        }
        child = pick(p, &d);
        if (!child)
            return err_not_found(e, "'%s': registry '%s' has it for other platforms only, not '%s'",
                                 p->reference, p->remote.host,
                                 p->options.platform ? p->options.platform
                                                     : platform_architecture());
        snprintf(wanted, sizeof(wanted), "%s", child->digest.text);
        what = wanted;
    }
    return err_set(e, -EINVAL, WHARF_ERROR_LIMIT, "'%s': indexes nested deeper than %d",
                   p->reference, IMAGE_INDEX_DEPTH_MAX);
}
