/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry-serve DIRECTORY PORT: an OCI registry on the loopback address, until a signal comes. It
 * shares its blobs with an image store in the same directory. CERTIFICATE, KEY and USERS in the
 * environment name files for TLS and logins. Built against image.h, libimage and
 * libregistry alone.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include "image.h"

int main(int argc, char **argv)
{
    struct image_registry_options options = { .size = sizeof(options) };
    struct image_registry *registry;
    struct wharf_error e = { 0 };
    sigset_t set;
    int number;

    if (argc != 3) {
        fprintf(stderr, "usage: %s DIRECTORY PORT\n", argv[0]);
        return 2;
    }
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    options.root = argv[1];
    options.port = (unsigned)strtoumax(argv[2], NULL, 10);
    options.certificate = getenv("CERTIFICATE");
    options.key = getenv("KEY");
    options.users = getenv("USERS");
    if (image_registry_serve(&registry, &options, &e) < 0) {
        fprintf(stderr, "error: %s\n", e.message);
        return wharf_error_exit(&e);
    }
    sigwait(&set, &number);
    image_registry_stop(registry);
    return 0;
}
