/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The documents of a pull: from what a reference names, through indexes, down to the manifest that
 * fits. Each is checked by digest before it is read, and kept, bytes unchanged; what the store has
 * already is not asked for.
 */
#include "libimage/registry-pull.h"
#include "base/fd.h"
#include "base/str.h"

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

/* A manifest or index by tag or digest, unless the store has it. */
static int get_document(struct pull *p, const char *what, const char *wanted, char **ret,
                        size_t *ret_len, struct digest *ret_digest, struct wharf_error *e)
{
    autofree char *text = NULL;
    size_t len;
    int r;

    if (*wanted) {
        snprintf(ret_digest->text, sizeof(ret_digest->text), "%s", wanted);
        if (store_read_blob(p->store, p->in.dir, ret_digest, IMAGE_DOCUMENT_MAX, ret, ret_len,
                            NULL) == 0)
            return intake_want_blob(&p->in, ret_digest) < 0 ? err_nomem(e) : 0;
    }
    r = remote_document(&p->remote, &p->ref, what, wanted, &text, &len, ret_digest, e);
    if (r == 0)
        r = keep_document(p, ret_digest, text, len, e);
    if (r < 0)
        return r;
    *ret_len = len;
    *ret = take_ptr(&text);
    return 0;
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
        child = platform_pick(&d, p->options.platform);
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
