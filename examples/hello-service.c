/* SPDX-License-Identifier: Apache-2.0 */
/* A whole service, written against swarm.h alone; asks itself one question. */
#include <stdio.h>
#include <unistd.h>
#include "swarm.h"

static int hello(struct service *s, struct message *m, struct reply *r, struct wharf_error *e)
{
    json_t *answer;

    if (!operation_is(m->op, "system.version"))
        return service_unknown(s, m, e);
    answer = json_pack("{ssss}", "Version", "hello", "AskedBy", m->principal.name);
    reply_json(r, 200, answer);
    json_decref(answer);
    return 0;
}

static const struct service_ops hello_ops = { .name = "hello", .call = hello };

int main(void)
{
    struct service *s = service_new(sizeof *s, &hello_ops);
    struct wharf_error e = { 0 };
    struct message *m;
    json_t *answer;

    if (message_new("system.version", principal_of_user(getuid(), getpid()), &m, &e) < 0 ||
        service_ask(s, m, &answer, &e) < 0) {
        fprintf(stderr, "error: %s\n", e.message);
        return wharf_error_exit(&e);
    }
    json_dumpf(answer, stdout, JSON_COMPACT);
    puts("");
    json_decref(answer);
    service_unref(s);
    return 0;
}
