/* SPDX-License-Identifier: Apache-2.0 */
/* Trying a login: the registry's door (end-1) asks, we answer, it opens or not. */
#include "libimage/registry-client.h"
#include "base/str.h"

/* "https://index.docker.io/v1/", "docker.io", "" are one; of a URL the host counts. */
static int parse_server(const char *server, struct image_reference *ret, struct wharf_error *e)
{
    const char *host = str_after(server, "https://");

    host = host ? host : str_after(server, "http://");
    host = host ? host : server;
    *ret = (struct image_reference){ 0 };
    snprintf(ret->domain, sizeof(ret->domain), "%.*s", (int)strcspn(host, "/"), host);
    if (streq(ret->domain, "") || streq(ret->domain, "index.docker.io"))
        snprintf(ret->domain, sizeof(ret->domain), "docker.io");
    if (ret->domain[strspn(ret->domain, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                        "0123456789.:-[]_")])
        return err_invalid(e, "'%.200s' is no address of a registry", server);
    return 0;
}

int image_login(const char *server, const struct image_remote_options *options, char **ret_identity,
                struct wharf_error *e)
{
    autoexchange struct exchange x = { 0 };
    autoremote struct remote remote = { 0 };
    struct image_remote_options o = { 0 };
    struct image_reference ref;
    int r = parse_server(server, &ref, e);

    if (r < 0)
        return r;
    if (options)
        memcpy(&o, options, MIN(options->size, sizeof(o)));
    r = remote_init(&remote, &ref, NULL, NULL, &o, e);
    if (r == 0 && remote_open(&remote, &x, NULL, "/v2/", HTTP_ERROR_BODY_MAX) < 0)
        r = err_nomem(e);
    if (r == 0)
        r = remote_run(&remote, &x, "login", e);
    if (r == 0 && exchange_status(&x) != 200)
        r = exchange_error(&x, remote.host, "login", e);
    if (r == -EACCES || r == -EPERM)
        return err_set(e, -EACCES, WHARF_ERROR_UNAUTHORIZED,
                       "login attempt to %s/v2/ failed: unauthorized: incorrect username or "
                       "password",
                       remote.base);
    if (r == 0 && ret_identity)
        *ret_identity = NULL; /* no registry hands one out here: the password is kept */
    return r;
}
