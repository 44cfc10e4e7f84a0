/* SPDX-License-Identifier: Apache-2.0 */
/* How many threads serve is counted: the program ends when the last one has, not with the first
 * connection of --once. */
#include "cmd/chan/service.h"

#include <pthread.h>
#include <sys/stat.h>
#include "base/err.h"
#include "base/str.h"

static struct {
    pthread_mutex_t lock;
    pthread_cond_t none;
    unsigned count;
} running = { .lock = PTHREAD_MUTEX_INITIALIZER, .none = PTHREAD_COND_INITIALIZER };

static void *service_main(void *arg)
{
    struct service *service = arg;

    service->run(service);
    free(service);
    pthread_mutex_lock(&running.lock);
    if (--running.count == 0)
        pthread_cond_broadcast(&running.none);
    pthread_mutex_unlock(&running.lock);
    return NULL;
}

void service_start(struct service service)
{
    struct service *copy = malloc(sizeof(*copy));
    pthread_t thread;

    if (!copy)
        return;
    *copy = service;
    pthread_mutex_lock(&running.lock);
    if (pthread_create(&thread, NULL, service_main, copy) == 0) {
        pthread_detach(thread);
        running.count++;
    } else {
        free(copy);
    }
    pthread_mutex_unlock(&running.lock);
}

static void service_wait_all(void)
{
    pthread_mutex_lock(&running.lock);
    while (running.count)
        pthread_cond_wait(&running.none, &running.lock);
    pthread_mutex_unlock(&running.lock);
}

int service_listen(const struct settings *s, void (*run)(struct service *))
{
    struct chan_options o = s->options;
    struct wharf_error e = { 0 };
    struct chan_listener *l;
    struct service service = { .settings = s, .run = run };

    settings_serve_dialects(s, &o);
    if (chan_listen(s->arguments[0], &o, &l, &e) < 0)
        return settings_fail(&e);
    const char *path = str_after(chan_listener_address(l), "unix:");
    if (s->mode && path && chmod(path, (mode_t)s->mode) < 0) {
        err_sys(&e, "cannot set the mode of '%s'", path);
        chan_listener_free(l);
        return settings_fail(&e);
    }
    fprintf(stderr, "chan: listening on %s\n", chan_listener_address(l));
    while (chan_listener_accept(l, CHAN_FOREVER, &service.session, &e) == 0) {
        service_start(service);
        if (s->once)
            break;
    }
    service_wait_all();
    chan_listener_free(l);
    return e.code ? settings_fail(&e) : 0;
}
