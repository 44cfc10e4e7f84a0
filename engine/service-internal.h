/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the engine's service share: one call, and tables of who handles what. */
#ifndef ENGINE_SERVICE_INTERNAL_H
#define ENGINE_SERVICE_INTERNAL_H

#include "base/json.h"
#include "engine/service.h"

struct call { /* one message on its way through a handler */
    struct engine *engine;
    const struct engine_service_options *options;
    struct message *message;
    struct reply *reply;
    struct principal who;
    const char *id; /* the parameter `id`, or `name`; NULL */
};

/* Answers and returns 0, or returns a negative errno with `e` set. */
struct handler {
    const char *operation;
    int (*handle)(struct call *c, struct wharf_error *e);
};

/* Each ended by a NULL operation. */
extern const struct handler build_handlers[], container_handlers[], exec_handlers[],
    image_handlers[], network_handlers[], search_handlers[], system_handlers[], stream_handlers[],
    verb_handlers[], volume_handlers[];

/* service-values.c: parameters in docker's notations. */

/* "1700000000", "1700000000.5", RFC 3339, or "10m" (ago): ns since the epoch; NULL, "" are 0. */
int call_time(struct call *c, const char *parameter, int64_t *ret_ns, struct wharf_error *e);
/* An API parameter of a terminal's size. */
int call_size(struct call *c, uint64_t *ret_rows, uint64_t *ret_columns, struct wharf_error *e);

/* The answer of a call that made a document, which stays the caller's: r's error, or the document
 * with that status. By reference, since `r` is often the very call that makes it, and the order in
 * which arguments are evaluated is not said. */
int call_document(struct call *c, int r, unsigned status, json_t **document);
/* Text that the handler owns, as the JSON answer with status 200; frees it. */
int call_answer(struct call *c, int r, char **json);

/* service-image.c: a line of docker's progress stream (image_tell; `user`: the call), which begins
 * the answer. */
int call_tell(const struct image_message *message, void *user);

/* service-build.c: something was added to the store, and the answer is out. */
void call_collect(struct call *c, struct image_store *store);

/* service-bytes.c: an answer that a function writes into a descriptor (export, save): runs `write`
 * on a thread and passes on what it writes. Its error is the answer as long as nothing came. */
struct byte_source {
    int (*write)(int fd, void *user, struct wharf_error *e);
    void *user;
};
int call_bytes(struct call *c, enum form form, struct byte_source source, struct wharf_error *e);

#endif
