/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See oci.h. Docker's defaults are tables; each object of config.json has one function that writes
 * it (oci-process.c, oci-mounts.c, oci-linux.c). The text goes straight into the shim's memfd: it
 * is not parsed on this side, so every value that comes from outside is written through buf_json or
 * as a number.
 */
#include "engine/oci-internal.h"

int oci_config(const struct oci_input *in, struct arena *arena, struct buf *b,
               struct wharf_error *e)
{
    const struct settings *s = in->settings;
    bool own_names = !mode_is(s->host->uts_mode, "host");
    struct security security;
    int r = security_parse(s->host, &security, e);

    if (r < 0)
        return r;
    buf_str(b, "{\"ociVersion\":\"1.2.0\",\"process\":");
    r = put_process(in, NULL, &security, arena, b, e);
    /* the root is the detached mount that the shim holds; this path only fills the required member
     */
    buf_printf(b, ",\"root\":{\"path\":\"/\",\"readonly\":%s}",
               s->host->readonly_rootfs ? "true" : "false");
    if (own_names)
        put_member(b, "hostname", in->hostname);
    if (own_names && settings_text(s->domainname))
        put_member(b, "domainname", s->domainname);
    if (s->host->annotations.count > 0)
        put_pairs(b, "annotations", &s->host->annotations);
    if (r == 0)
        r = put_mounts(in, &security, arena, b, e);
    if (r == 0)
        r = put_linux(in, &security, b, e);
    buf_char(b, '}');
    if (r == 0 && b->error)
        r = err_set(e, b->error, WHARF_ERROR_LIMIT, "the container's configuration is too large");
    return r;
}

int oci_process(const struct oci_input *in, const struct oci_exec *exec, struct arena *arena,
                struct buf *b, struct wharf_error *e)
{
    struct security security;
    int r = security_parse(in->settings->host, &security, e);

    if (r == 0)
        r = put_process(in, exec, &security, arena, b, e);
    return r == 0 && b->error ? err_code(e, b->error, "the command line is too long") : r;
}
