/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests and indexes of a repository, checked by their digests before anybody reads them. */
#include "libimage/registry-client.h"
#include "base/str.h"

static const char *const accepted[] = {
    MEDIA_INDEX,
    MEDIA_MANIFEST,
    MEDIA_LIST,
    MEDIA_MANIFEST_V2,
    MEDIA_DOCKER "distribution.manifest.v1+prettyjws",
    MEDIA_DOCKER "distribution.manifest.v1+json",
};

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
static int check(struct remote *r, struct exchange *x, const char *name, const char *wanted,
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
                       name, r->host, ret->text, expected.text);
    return 0;
}

/* In dockerd's words where it has some: clients match them. */
static int refused(struct remote *r, struct exchange *x, const struct image_reference *ref,
                   const char *name, struct wharf_error *e)
{
    long status = exchange_status(x);
    struct image_reference repository = *ref;
    char familiar[IMAGE_REFERENCE_MAX];
    int code = exchange_error(x, r->host, name, e);

    if (status != 404 && status != 403 && status != 401)
        return code;
    if (status == 404 && exchange_code_is(x, "MANIFEST_UNKNOWN"))
        return err_set(
            e, code, WHARF_ERROR_NOT_FOUND,
            "manifest for %s not found: manifest unknown: registry '%s' does not have it", name,
            r->host);
    repository.tag[0] = repository.digest[0] = 0;
    image_reference_format(&repository, 1, familiar);
    return err_set(e, code, status == 404 ? WHARF_ERROR_NOT_FOUND : WHARF_ERROR_UNAUTHORIZED,
                   "pull access denied for %s, repository does not exist or may require 'docker "
                   "login': denied: registry '%s' does not have it for this login; log in to it",
                   familiar, r->host);
}

int remote_document(struct remote *r, const struct image_reference *ref, const char *what,
                    const char *wanted, char **ret, size_t *ret_len, struct digest *ret_digest,
                    struct wharf_error *e)
{
    autoexchange struct exchange x = { 0 };
    char path[IMAGE_DIGEST_MAX + 16], name[IMAGE_REFERENCE_MAX];
    int code;

    image_reference_format(ref, 1, name);
    snprintf(path, sizeof(path), "manifests/%s", what);
    code = remote_open(r, &x, NULL, path, IMAGE_DOCUMENT_MAX);
    for (size_t i = 0; i < ARRAY_SIZE(accepted) && code == 0; i++)
        code = exchange_header(&x, "Accept: %s", accepted[i]);
    if (code < 0)
        return err_code(e, code, "'%s'", name);
    code = remote_run(r, &x, name, e);
    if (code == 0 && exchange_status(&x) != 200)
        code = refused(r, &x, ref, name, e);
    if (code == 0)
        code = check(r, &x, name, wanted, ret_digest, e);
    if (code < 0)
        return code;
    *ret_len = x.body.len;
    *ret = buf_take(&x.body);
    return *ret ? 0 : err_nomem(e);
}

const struct descriptor *platform_pick(const struct document *index, const char *platform)
{
    char have[256];

    if (!platform)
        return document_pick(index);
    for (size_t i = 0; i < index->count; i++) {
        const struct descriptor *d = &index->items[i];
        bool arm64 = streq(d->architecture, "arm64") && streq(d->variant, "v8");

        snprintf(have, sizeof(have), "%s/%s%s%s", d->os, d->architecture, *d->variant ? "/" : "",
                 d->variant);
        if (streq(have, platform))
            return d;
        snprintf(have, sizeof(have), "%s/%s", d->os, d->architecture);
        if ((!*d->variant || arm64) && streq(have, platform))
            return d;
    }
    return NULL;
}
