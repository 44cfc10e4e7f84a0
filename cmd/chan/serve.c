/* SPDX-License-Identifier: Apache-2.0 */
/* chan serve: prints what arrives, and answers calls. */
#include <pthread.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "cmd/chan/command.h"
#include "cmd/chan/line.h"
#include "cmd/chan/service.h"

/* whose answer the next line of standard input is */
static pthread_mutex_t input_lock = PTHREAD_MUTEX_INITIALIZER;

/* Walks a message for descriptors, and copies out what can be read from them. */
static void take_descriptors(struct chan_value v, size_t values)
{
    for (; values; values--, v = chan_next(v)) {
        enum chan_kind kind = chan_kind_of(v);
        int fd;

        if (kind == CHAN_FD && chan_take_fd(v, &fd) == 0) {
            copy_bytes(fd, STDOUT_FILENO);
            close(fd);
        } else if (kind == CHAN_MAP || kind == CHAN_ARRAY) {
            take_descriptors(chan_first(v), chan_count(v) * (kind == CHAN_MAP ? 2 : 1));
        }
    }
}

/* What the caller sent: under "value", or all entries but the return channel. */
static void echo_message(struct chan_msg *m, struct chan_value request)
{
    struct chan_value value = chan_get(request, "value"), key = chan_first(request);
    size_t n = chan_count(request);

    if (chan_kind_of(value) != CHAN_NONE) {
        chan_put_value(m, value);
        return;
    }
    chan_put_map(m, (unsigned)n - 1);
    for (; n; n--, key = chan_next(chan_next(key))) {
        if (!chan_equals(key, "ret")) {
            chan_put_value(m, key);
            chan_put_value(m, chan_next(key));
        }
    }
}

static void answer(const struct settings *s, struct chan_msg *request)
{
    struct chan_value ret = chan_get(chan_root(request), "ret");
    struct chan_msg *m = chan_msg_new();
    struct wharf_error e = { 0 };
    struct chan_tx *tx = NULL;
    int r = 1;

    if (!m || (!s->echo && !s->reply) || chan_take_tx(ret, &tx) < 0) {
        chan_msg_free(m);
        return;
    }
    if (s->echo) {
        echo_message(m, chan_root(request));
    } else {
        pthread_mutex_lock(&input_lock);
        r = line_read(m, &e);
        pthread_mutex_unlock(&input_lock);
        if (r == 0)
            err_set(&e, -ENODATA, WHARF_ERROR_UNAVAILABLE, "the server has no more answers");
    }
    if (r == 1 && chan_msg_error(m) < 0)
        r = err_code(&e, chan_msg_error(m), "cannot build the answer");
    if (r == 1)
        chan_send_last(tx, m, CHAN_FOREVER, NULL);
    else
        chan_abort(tx, &e);
    chan_tx_unref(tx);
    chan_msg_free(m);
}

static void serve_channel(struct service *service)
{
    struct chan_msg *m = chan_msg_new();

    while (m && chan_recv(service->rx, m, CHAN_FOREVER, NULL) == 0) {
        flockfile(stdout);
        line_print(chan_root(m));
        funlockfile(stdout);
        if (service->settings->take)
            take_descriptors(chan_root(m), 1);
        answer(service->settings, m);
    }
    chan_msg_free(m);
    chan_rx_unref(service->rx);
}

static void serve_connection(struct service *service)
{
    struct service channel = { .settings = service->settings, .run = serve_channel };

    while (chan_accept(service->session, CHAN_FOREVER, &channel.rx, NULL) == 0)
        service_start(channel);
    chan_session_shutdown(service->session, chan_after_ms(5000), NULL);
    chan_session_unref(service->session);
}

int command_serve(const struct settings *s)
{
    return service_listen(s, serve_connection);
}
