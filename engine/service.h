/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine as a service (swarm.h): each operation of the table that this machine can do, done by
 * the functions of engine.h and image.h. wharfd puts it behind its doors, `wharf` calls it in its
 * own process; neither knows more of an operation than its row.
 *
 *     engine_service_new(engine, &(struct engine_service_options){ 0 }, &service, &e);
 *     service_call(service, message, reply);
 *
 * The engine stays the caller's and must outlive the service. Any number of threads.
 */
#ifndef ENGINE_SERVICE_H
#define ENGINE_SERVICE_H

#include "engine/engine.h"
#include "image.h"
#include "libimage/build/build.h"

/* What needs libcurl, given by programs that link it: the functions of these names of image.h. */
struct engine_remote {
    int (*pull)(struct image_store *store, const char *reference,
                const struct image_remote_options *options, struct image **ret_image,
                struct wharf_error *e);
    int (*push)(struct image_store *store, const char *reference,
                const struct image_remote_options *options, struct wharf_error *e);
    int (*login)(const char *server, const struct image_remote_options *options,
                 char **ret_identity, struct wharf_error *e);
    int (*distribution)(const char *reference, const struct image_remote_options *options,
                        char **ret_json, struct wharf_error *e);
    /* fetch_url of libimage/build/fetch.h; NULL: no contexts and no ADD from URLs, no search */
    int (*fetch)(const char *url, int fd, struct build_fetched *ret, struct wharf_error *e);
    const char *const *mirrors, *const *insecure; /* as in image_remote_options */
};

struct engine_service_options {
    const struct engine_remote *remote; /* NULL: pull, push and login are refused */
    int64_t build_keep; /* of build_collect, which runs behind builds and pulls; -1: never */
};

int engine_service_new(struct engine *engine, const struct engine_service_options *options,
                       struct service **ret, struct wharf_error *e);

#endif
