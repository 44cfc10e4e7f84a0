/* SPDX-License-Identifier: Apache-2.0 */
/* registry serve: an OCI registry until a signal comes. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "base/str.h"
#include "cmd/wharf/cli.h"
#include "image.h"

/* "127.0.0.1:5000", ":5000", "[::1]:5000", "5000" */
static int parse_address(const char *text, char *host, size_t size, unsigned *ret_port,
                         struct wharf_error *e)
{
    const char *colon = strrchr(text, ':'), *port = colon ? colon + 1 : text;
    int len = colon ? (int)(colon - text) : 0;
    uint64_t n;

    if (parse_u64(port, 0, 65535, &n) < 0 || len >= (int)size)
        return err_invalid(e, "'%.100s' is no address such as 127.0.0.1:5000", text);
    if (len > 2 && text[0] == '[' && text[len - 1] == ']')
        snprintf(host, size, "%.*s", len - 2, text + 1);
    else
        snprintf(host, size, "%.*s", len, text);
    if (colon && len == 0)
        snprintf(host, size, "0.0.0.0");
    else if (!colon)
        snprintf(host, size, "127.0.0.1");
    *ret_port = (unsigned)n;
    return 0;
}

int registry_serve_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct serve_options *o = options;
    struct image_registry_options registry = { .size = sizeof(registry),
                                               .root = o->root,
                                               .certificate = o->certificate,
                                               .key = o->key,
                                               .users = o->users,
                                               .read_only = o->read_only };
    struct image_registry *running;
    char host[64];
    sigset_t set;
    int r, number;

    r = parse_address(o->address ? o->address : "127.0.0.1:5000", host, sizeof(host),
                      &registry.port, &cli->e);
    registry.address = host;
    if (!registry.root)
        registry.root = engine_root(cli->engine);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (r == 0)
        r = image_registry_serve(&running, &registry, &cli->e);
    if (r < 0)
        return cli_fail(cli);
    printf("registry of %s on %s://%s%s%s:%u\n", registry.root, o->certificate ? "https" : "http",
           strchr(host, ':') ? "[" : "", host, strchr(host, ':') ? "]" : "",
           image_registry_port(running));
    fflush(stdout);
    sigwait(&set, &number);
    image_registry_stop(running);
    return 0;
}
