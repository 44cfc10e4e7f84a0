/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One who asks: a message in, an answer out. A connection that is to be closed is marked, and freed
 * by the sweep behind each round of the loop.
 */
#include "cmd/wharf-shim/shim.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "base/fd.h"
#include "base/str.h"

static void connection_close(struct connection *c)
{
    c->closing = true;
}

static int not_running(struct shim *shim, struct wharf_error *e)
{
    if (shim->restarting)
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT,
                       "Container %s is restarting, wait until the container is running", shim->id);
    return err_set(e, -ESRCH, WHARF_ERROR_CONFLICT, "Container %s is not running", shim->id);
}

static int has_session(struct wharf_error *e)
{
    return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT, "this connection has a session");
}

/* ---- messages -------------------------------------------------------------------------------- */

static int do_attach(struct shim *shim, struct connection *c, struct shim_message *m,
                     struct shim_message *answer, struct wharf_error *e)
{
    if (c->client)
        return has_session(e);
    c->client = client_new(shim, &shim->init, c, m->flags, m->text, e);
    if (!c->client)
        return -EMFILE;
    int r = m->flags & SHIM_LOGS ? client_replay(shim, c->client, (enum log_driver)m->value[0],
                                                 (m->flags & SHIM_LOGS_ONLY) != 0, e)
                                 : 0;
    if (r == 0)
        r = client_take(shim, c->client, m, 0, m->flags, e);
    if (r < 0)
        client_close(c->client);
    return r;
}

static int do_connect(struct shim *shim, struct connection *c, struct shim_message *m,
                      struct shim_message *answer, struct wharf_error *e)
{
    if (!c->client || !c->client->held)
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT, "no session waits for a socket");
    int r = client_take(shim, c->client, m, 0, 0, e);
    if (r < 0)
        client_close(c->client);
    return r;
}

static int do_start(struct shim *shim, struct connection *c, struct shim_message *m,
                    struct shim_message *answer, struct wharf_error *e)
{
    if (shim->started)
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT, "the container was started before");
    int fds[SHIM_FDS_MAX] = { -1, -1, -1, -1 };
    memcpy(fds, m->fds, m->fd_count * sizeof(fds[0]));
    int r = shim_start(shim, fds, e);
    if (r < 0) { /* this shim is used up: those who are attached hear that by its end */
        shim->quit = true;
        return r;
    }
    answer->value[0] = container_process_pid(shim->init.handle);
    return 0;
}

/* text: the exec's id, then the detach keys */
static int do_exec(struct shim *shim, struct connection *c, struct shim_message *m,
                   struct shim_message *answer, struct wharf_error *e)
{
    uint32_t flags = m->flags;
    struct process *p;

    if (!shim->container)
        return not_running(shim, e);
    if (c->client)
        return has_session(e);
    if (strlen(m->text) < ID_LENGTH)
        return err_invalid(e, "exec: no id");
    int r = process_start_exec(shim, m, &p, e);
    if (r < 0)
        return r;
    answer->value[0] = container_process_pid(p->handle);
    if (flags & SHIM_DETACH)
        return 0;
    c->client = client_new(shim, p, c, flags, m->text + ID_LENGTH, NULL);
    if (c->client && client_take(shim, c->client, m, 1, flags, NULL) < 0)
        client_close(c->client); /* the process runs on, as when its client goes away */
    return 0;
}

static int do_kill(struct shim *shim, struct connection *c, struct shim_message *m,
                   struct shim_message *answer, struct wharf_error *e)
{
    struct process *p = c->client ? c->client->process : NULL;

    if (m->value[0] < 1 || m->value[0] > 64)
        return err_invalid(e, "Invalid signal: %lld", (long long)m->value[0]);
    if (p && p != &shim->init)
        return container_process_kill(p->handle, (int)m->value[0], e);
    if (m->flags & SHIM_FINAL)
        shim_stay_down(shim);
    if (shim->done)
        return 0;
    if (!shim->container)
        return not_running(shim, e);
    return container_kill(shim->container, (int)m->value[0], m->flags & SHIM_ALL ? 1 : 0, e);
}

static int do_resize(struct shim *shim, struct connection *c, struct shim_message *m,
                     struct shim_message *answer, struct wharf_error *e)
{
    struct process *p = c->client && c->client->process ? c->client->process : &shim->init;

    for (struct process *x = shim->execs; m->text[0] && x; x = x->next) {
        if (streq(x->id, m->text))
            p = x;
    }
    if (m->text[0] && p == &shim->init)
        return err_set(e, -ESRCH, WHARF_ERROR_CONFLICT, "exec %s is not running", m->text);
    process_resize(p, (uint64_t)m->value[0], (uint64_t)m->value[1]);
    return 0;
}

static int do_pause(struct shim *shim, struct connection *c, struct shim_message *m,
                    struct shim_message *answer, struct wharf_error *e)
{
    if (!shim->container)
        return not_running(shim, e);
    return m->op == SHIM_PAUSE ? container_pause(shim->container, e)
                               : container_resume(shim->container, e);
}

static int do_wait(struct shim *shim, struct connection *c, struct shim_message *m,
                   struct shim_message *answer, struct wharf_error *e)
{
    c->waits = true;
    return 0;
}

static int do_state(struct shim *shim, struct connection *c, struct shim_message *m,
                    struct shim_message *answer, struct wharf_error *e)
{
    answer->value[0] = shim->container ? container_process_pid(shim->init.handle) : 0;
    answer->value[1] = shim->started;
    return 0;
}

static int do_rename(struct shim *shim, struct connection *c, struct shim_message *m,
                     struct shim_message *answer, struct wharf_error *e)
{
    snprintf(shim->name, sizeof(shim->name), "%.*s", (int)sizeof(shim->name) - 1, m->text);
    return 0;
}

static int do_policy(struct shim *shim, struct connection *c, struct shim_message *m,
                     struct shim_message *answer, struct wharf_error *e)
{
    if (m->value[0] < POLICY_NO || m->value[0] > POLICY_ON_FAILURE || m->value[1] < 0)
        return err_invalid(e, "no such restart policy");
    shim_set_policy(shim, (uint64_t)m->value[0], (uint64_t)m->value[1]);
    return 0;
}

static int do_quit(struct shim *shim, struct connection *c, struct shim_message *m,
                   struct shim_message *answer, struct wharf_error *e)
{
    if (shim->started)
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT, "the container was started");
    shim->quit = true;
    return 0;
}

static const struct {
    uint32_t op;
    int (*run)(struct shim *shim, struct connection *c, struct shim_message *m,
               struct shim_message *answer, struct wharf_error *e);
} operations[] = {
    { SHIM_START, do_start }, { SHIM_ATTACH, do_attach }, { SHIM_CONNECT, do_connect },
    { SHIM_EXEC, do_exec },   { SHIM_KILL, do_kill },     { SHIM_RESIZE, do_resize },
    { SHIM_PAUSE, do_pause }, { SHIM_RESUME, do_pause },  { SHIM_WAIT, do_wait },
    { SHIM_STATE, do_state }, { SHIM_RENAME, do_rename }, { SHIM_POLICY, do_policy },
    { SHIM_QUIT, do_quit },
};

static int handle(struct shim *shim, struct connection *c, struct shim_message *m,
                  struct shim_message *answer, struct wharf_error *e)
{
    for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
        if (operations[i].op == m->op)
            return operations[i].run(shim, c, m, answer, e);
    }
    return err_unsupported(e,
                           "the shim of this container is older than this wharf: operation %u is "
                           "not known to it",
                           m->op);
}

static void socket_ready(struct shim *shim, struct source *s, uint32_t events)
{
    struct connection *c = container_of(s, struct connection, socket);
    struct shim_message m, answer = { .op = SHIM_DONE };
    struct wharf_error e = { 0 };
    int r = shim_receive(s->fd, &m);

    if (r == -EAGAIN)
        return;
    if (r <= 0) {
        connection_close(c);
        return;
    }
    r = handle(shim, c, &m, &answer, &e);
    shim_message_done(&m);
    if (r < 0 ? shim_send_failure(s->fd, &e) : shim_send(s->fd, &answer))
        connection_close(c);
    /* a process that ended while it was being set up tells so only now, behind the answer */
    if (r >= 0 && c->client && c->client->process && c->client->process->ended)
        process_flow(shim, c->client->process);
    if (r >= 0 && m.op == SHIM_START && shim->init.ended)
        process_flow(shim, &shim->init);
}

void connection_tell(struct connection *c, uint32_t op, int64_t value)
{
    struct shim_message m = { .op = op, .value = { value } };

    shim_send(c->socket.fd, &m);
}

void connection_tell_waiting(struct shim *shim, int64_t code)
{
    for (struct connection *c = shim->connections; c; c = c->next) {
        if (c->waits)
            connection_tell(c, SHIM_EXITED, code);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

int connection_add(struct shim *shim, int socket)
{
    if (shim->connection_count >= CONNECTIONS_MAX)
        return -EMFILE;
    struct connection *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->socket = (struct source){ .fd = socket, .ready = socket_ready };
    fcntl(socket, F_SETFL, O_RDWR | O_NONBLOCK);
    int r = source_watch(shim, &c->socket, EPOLLIN);
    if (r < 0) {
        free(c);
        return r;
    }
    c->next = shim->connections;
    shim->connections = c;
    shim->connection_count++;
    return 0;
}

/* A session on descriptors ends with it; one that waits for its socket will not get it any more. */
static void connection_free(struct shim *shim, struct connection *c)
{
    if (c->client) {
        c->client->connection = NULL;
        if (!c->client->one || c->client->held)
            client_close(c->client);
    }
    source_close(shim, &c->socket);
    free(c);
    shim->connection_count--;
}

void connection_sweep(struct shim *shim)
{
    for (struct connection **at = &shim->connections; *at;) {
        struct connection *c = *at;

        if (!c->closing) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        connection_free(shim, c);
    }
}

void connection_free_all(struct shim *shim)
{
    while (shim->connections) {
        struct connection *c = shim->connections;

        shim->connections = c->next;
        connection_free(shim, c);
    }
}
