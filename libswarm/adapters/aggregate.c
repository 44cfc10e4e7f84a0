/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many services as one. The table's route says what happens to a message:
 *
 *   ROUTE_HOME   it goes to the one service that has the object: each is asked to inspect it, in
 *                order, and the first that knows it is the home
 *   ROUTE_ALL    to all; lists are joined, documents are added up, streams interleave
 *   ROUTE_ANY    to the first that can be reached
 *   ROUTE_PLACE  to the service with the fewest containers; to the next one where the image is not
 *
 * A service that cannot be reached is left out of lists and searches, unless none can be.
 */
#include <pthread.h>
#include <string.h>
#include "base/json.h"
#include "base/str.h"
#include "libswarm/adapters/adapters.h"
#include "libswarm/adapters/merge.h"
#include "libswarm/passing.h"

#define AGGREGATE_MAX 256

struct aggregate {
    struct service service;
    struct service *inner[AGGREGATE_MAX];
    size_t count;
};

static bool is_unreachable(const struct wharf_error *e)
{
    return e->kind == WHARF_ERROR_UNAVAILABLE || e->kind == WHARF_ERROR_TIMEOUT;
}

/* ---- home ------------------------------------------------------------------------------------ */

/* The operation that tells whether a service has the object that `op` is about. The path says what
 * that is, not the row's resource: to make an exec is to find a container. */
static const char *finder_of(const struct operation *op)
{
    static const struct {
        const char *path, *finder;
    } finders[] = { { "/containers/", "container.inspect" },
                    { "/commit", "container.inspect" },
                    { "/exec/", "exec.inspect" },
                    { "/images/", "image.inspect" },
                    { "/networks/", "network.inspect" },
                    { "/volumes/", "volume.inspect" },
                    { "/plugins/", "plugin.inspect" } };

    for (size_t i = 0; i < ARRAY_SIZE(finders); i++)
        if (str_after(op->path, finders[i].path))
            return finders[i].finder;
    return NULL;
}

/* What the message is about: its {id} or {name}, or what commit calls `container`. */
static const char *object_of(const struct message *m)
{
    static const char *const names[] = { "id", "name", "container" };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (message_string(m, names[i]))
            return message_string(m, names[i]);
    return "";
}

static int has_object(struct service *s, const struct message *m, const char *finder,
                      struct wharf_error *e)
{
    struct message *question;
    int r = message_new(finder, m->principal, &question, e);

    if (r < 0)
        return r;
    message_set(question, question->op->parameters[0].name, object_of(m), e);
    question->connection = m->connection;
    return service_ask(s, question, NULL, e);
}

/* The error of the first service that could be asked stands for all: "No such container: x". */
static int find_home(struct aggregate *a, const struct message *m, struct service **ret,
                     struct wharf_error *e)
{
    const char *finder = finder_of(m->op);
    struct wharf_error first = { 0 };

    if (!finder) {
        *ret = a->inner[0];
        return 0;
    }
    for (size_t i = 0; i < a->count; i++) {
        struct wharf_error e1 = { 0 };

        if (has_object(a->inner[i], m, finder, &e1) == 0) {
            *ret = a->inner[i];
            return 0;
        }
        if (!first.code || (is_unreachable(&first) && !is_unreachable(&e1)))
            first = e1;
    }
    if (e)
        *e = first;
    return -first.code;
}

/* ---- all ------------------------------------------------------------------------------------- */

static int ask_all(struct aggregate *a, struct message *m, struct reply *r, struct wharf_error *e)
{
    autojson json_t *sum = NULL;
    struct wharf_error failure = { 0 };

    for (size_t i = 0; i < a->count; i++) {
        struct message *copy = message_copy(m);
        struct wharf_error e1 = { 0 };
        autojson json_t *answer = NULL;

        if (!copy)
            return err_nomem(e);
        if (service_ask(a->inner[i], copy, &answer, &e1) == 0)
            merge_json(&sum, answer);
        else if (!failure.code || is_unreachable(&failure))
            failure = e1;
    }
    if (sum && (!failure.code || is_unreachable(&failure)))
        return reply_json(r, m->op->status, sum);
    if (e)
        *e = failure;
    return failure.code ? -failure.code : -EIO;
}

/* One of several services that write into one stream. */
struct branch {
    struct service *service;
    struct message *message;
    struct passing passing;
    pthread_t thread;
    bool running;
};

static void *run_branch(void *user)
{
    struct branch *b = user;

    service_call(b->service, b->message, &b->passing.reply);
    return NULL;
}

static int start_branch(struct branch *b, struct service *s, const struct message *m,
                        struct reply *r, pthread_mutex_t *lock)
{
    b->service = s;
    b->message = message_copy(m);
    if (!b->message)
        return -ENOMEM;
    passing_init(&b->passing, r);
    b->passing.lock = lock;
    b->passing.shared_end = true;
    b->running = pthread_create(&b->thread, NULL, run_branch, b) == 0;
    return b->running ? 0 : -EAGAIN;
}

/* Events of all, pulls on all: a thread each, lines interleave. */
static int stream_all(struct aggregate *a, struct message *m, struct reply *r,
                      struct wharf_error *e)
{
    autofree struct branch *branches = calloc(a->count, sizeof *branches);
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    int n = branches ? 0 : -ENOMEM;

    if (m->stream >= 0)
        return err_unsupported(e,
                               "%s with a body cannot go to several services at once: ask one "
                               "of them",
                               m->op->name);
    for (size_t i = 0; i < a->count && n == 0; i++)
        n = start_branch(&branches[i], a->inner[i], m, r, &lock);
    for (size_t i = 0; branches && i < a->count; i++) {
        if (branches[i].running)
            pthread_join(branches[i].thread, NULL);
        message_free(branches[i].message);
        reply_done(&branches[i].passing.reply);
    }
    if (n < 0)
        return err_code(e, n, "cannot ask all services");
    return r->state == REPLY_BEGUN ? reply_end(r) : -EIO;
}

/* ---- any, place ------------------------------------------------------------------------------ */

static int container_count(struct service *s, const struct message *m)
{
    autojson json_t *list = NULL;
    struct message *question;

    if (message_new("container.list", m->principal, &question, NULL) < 0)
        return -1;
    json_object_set_new(question->args, "all", json_true());
    return service_ask(s, question, &list, NULL) < 0 ? -1 : (int)json_array_size(list);
}

static bool has_image(struct service *s, const struct message *m)
{
    const char *image = json_string_value(json_object_get(m->body, "Image"));
    struct message *question;

    if (!image || message_new("image.inspect", m->principal, &question, NULL) < 0)
        return false;
    json_object_set_new(question->args, "name", json_string(image));
    return service_ask(s, question, NULL, NULL) == 0;
}

static int place(struct aggregate *a, const struct message *m, struct service **ret,
                 struct wharf_error *e)
{
    int best = -1, best_count = 0;
    bool best_has = false;

    for (size_t i = 0; i < a->count; i++) {
        int count = container_count(a->inner[i], m);
        bool has = count >= 0 && has_image(a->inner[i], m);

        if (count < 0 ||
            (best >= 0 && (best_has > has || (best_has == has && best_count <= count))))
            continue;
        best = (int)i, best_count = count, best_has = has;
    }
    if (best < 0)
        return err_set(e, -EHOSTUNREACH, WHARF_ERROR_UNAVAILABLE, "no service can be reached");
    *ret = a->inner[best];
    return 0;
}

static int any(struct aggregate *a, const struct message *m, struct service **ret,
               struct wharf_error *e)
{
    for (size_t i = 0; i < a->count; i++) {
        struct message *ping;

        if (message_new("system.ping", m->principal, &ping, e) < 0)
            return -ENOMEM;
        if (service_ask(a->inner[i], ping, NULL, NULL) == 0) {
            *ret = a->inner[i];
            return 0;
        }
    }
    return err_set(e, -EHOSTUNREACH, WHARF_ERROR_UNAVAILABLE, "no service can be reached");
}

/* ---- the service ----------------------------------------------------------------------------- */

static int pass(struct service *s, struct message *m, struct reply *r)
{
    struct passing p;

    passing_init(&p, r);
    service_call(s, m, &p.reply);
    reply_done(&p.reply);
    return 0;
}

static int aggregate_call(struct service *s, struct message *m, struct reply *r,
                          struct wharf_error *e)
{
    struct aggregate *a = (struct aggregate *)s;
    struct service *target = NULL;
    int n = -EINVAL;

    switch (m->op->route) {
    case ROUTE_ALL:
        return m->op->reply == FORM_JSON ? ask_all(a, m, r, e) : stream_all(a, m, r, e);
    case ROUTE_HOME:
        n = find_home(a, m, &target, e);
        break;
    case ROUTE_PLACE:
        n = place(a, m, &target, e);
        break;
    case ROUTE_ANY:
        n = any(a, m, &target, e);
        break;
    }
    return n < 0 ? n : pass(target, m, r);
}

static void aggregate_free(struct service *s)
{
    struct aggregate *a = (struct aggregate *)s;

    for (size_t i = 0; i < a->count; i++)
        service_unref(a->inner[i]);
}

static const struct service_ops aggregate_ops = { .name = "aggregate",
                                                  .call = aggregate_call,
                                                  .free = aggregate_free };

int aggregate_make(const struct service_arguments *arguments, struct service **ret,
                   struct wharf_error *e)
{
    struct aggregate *a;
    size_t total = arguments->inner_count + arguments->word_count;

    if (total == 0 || total > AGGREGATE_MAX)
        return err_invalid(e, "1 to %d services are expected: aggregate (A) (B)", AGGREGATE_MAX);
    a = (struct aggregate *)service_new(sizeof *a, &aggregate_ops);
    if (!a)
        return err_nomem(e);
    /* the form of 2014: each word is a composition of its own */
    for (size_t i = 0; i < arguments->word_count; i++) {
        int r = compose(arguments->words[i], arguments->types, arguments->user, &a->inner[i], e);

        if (r < 0) {
            service_unref(&a->service);
            return r;
        }
        a->count++;
    }
    for (size_t i = 0; i < arguments->inner_count; i++)
        a->inner[a->count++] = service_ref(arguments->inner[i]);
    *ret = &a->service;
    return 0;
}
