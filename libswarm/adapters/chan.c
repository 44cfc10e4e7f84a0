/* SPDX-License-Identifier: Apache-2.0 */
/* A service at the other end of a libchan session (wire.h): wharfd, or anybody's chan-server. */
#include "base/err.h"
#include "base/macros.h"
#include "libswarm/adapters/adapters.h"
#include "libswarm/adapters/chan.h"
#include "libswarm/wire.h"

#define DIAL_MS 10000

struct remote {
    struct service service;
    struct chan_session *session;
    struct chan_tx *requests;
};

static int send_message(struct remote *s, struct message *m, struct chan_rx **ret_rx,
                        struct wharf_error *e)
{
    struct chan_msg *out = chan_msg_new();
    int r = out ? wire_put_message(out, m, ret_rx) : -ENOMEM;

    if (r < 0)
        r = err_code(e, r, "%s cannot be sent", m->op->name);
    else
        r = chan_send(s->requests, out, CHAN_FOREVER, e);
    chan_msg_free(out);
    return r;
}

static int remote_call(struct service *s, struct message *m, struct reply *r, struct wharf_error *e)
{
    struct chan_rx *rx = NULL;
    int n = send_message((struct remote *)s, m, &rx, e);

    if (n == 0)
        n = wire_pass_reply(rx, r, e);
    chan_rx_unref(rx);
    return n;
}

static void remote_free(struct service *s)
{
    struct remote *remote = (struct remote *)s;

    chan_tx_unref(remote->requests);
    chan_session_unref(remote->session);
}

static const struct service_ops remote_ops = { .name = "chan",
                                               .call = remote_call,
                                               .free = remote_free };

int chan_service_new(const char *address, struct service **ret, struct wharf_error *e)
{
    struct remote *s = (struct remote *)service_new(sizeof *s, &remote_ops);
    int r;

    if (!s)
        return err_nomem(e);
    r = chan_dial(address, NULL, chan_after_ms(DIAL_MS), &s->session, e);
    if (r == 0)
        r = chan_open(s->session, &s->requests, e);
    if (r < 0) {
        service_unref(&s->service);
        return r;
    }
    *ret = &s->service;
    return 0;
}

int chan_make(const struct service_arguments *a, struct service **ret, struct wharf_error *e)
{
    if (a->word_count != 1 || a->inner_count)
        return err_invalid(e, "one address is expected: unix:PATH or tcp:HOST:PORT");
    return chan_service_new(a->words[0], ret, e);
}
