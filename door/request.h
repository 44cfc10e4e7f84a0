/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the head of an HTTP request to a message: the version prefix, the row of the operation
 * table, what stands in the path, the query and the headers, and the JSON body. Nothing here knows
 * a socket or an HTTP library: it is a function of bytes that anybody may send, and fuzzed as one.
 */
#ifndef DOOR_REQUEST_H
#define DOOR_REQUEST_H

#include "base/err.h"
#include "swarm.h"

#define REQUEST_JSON_MAX   (4u << 20) /* bytes of a JSON body */
#define REQUEST_TARGET_MAX (32u << 10)

struct request_head {
    const char *method, *target; /* as on the request line */
    /* the value of a header field, NULL: absent */
    const char *(*header)(void *user, const char *name);
    void *user;
};

/* 0 and a message with all its parameters but for the body; -ENOENT: nothing of that name, -EINVAL;
 * the error's text is docker's. */
int request_read(const struct request_head *head, struct principal who, struct message **ret,
                 struct wharf_error *e);

/* The JSON body of an operation that takes one; no bytes: none came. */
int request_body(struct message *m, const char *content_type, const char *text, size_t len,
                 struct wharf_error *e);

#endif
