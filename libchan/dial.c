/* SPDX-License-Identifier: Apache-2.0 */
/* Dialling and listening: from an address to a session, through the layers that its scheme names.
 */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include "base/err.h"
#include "base/str.h"
#include "libchan/address.h"
#include "libchan/listener.h"
#include "libchan/select.h"
#include "libchan/session.h"

struct chan_listener {
    int fd;
    struct address address;
    char *text, *unlink_path;
    struct chan_options options;
    struct layers *layers;
};

/* ---- layers ---- */

/* What lies over the plain socket, from the inside out, with what each shares among connections. */
struct layers {
    unsigned n;
    struct {
        const struct chan_layer *layer;
        void *shared;
    } at[2];
};

static int layer_add(struct layers *l, const struct chan_layer *layer, const char *name,
                     const struct chan_options *o, bool accepting, const char *host,
                     struct wharf_error *e)
{
    int r = 0;

    if (!layer)
        return err_unsupported(e,
                               "this program was not built with %s: link libchan-%s and set "
                               "chan_options.%s = chan_%s()",
                               name, name, name, name);
    if (layer->prepare)
        r = layer->prepare(o, accepting, host, &l->at[l->n].shared, e);
    if (r == 0)
        l->at[l->n++].layer = layer;
    return r;
}

static void layers_free(struct layers *l)
{
    for (unsigned i = 0; l && i < l->n; i++) {
        if (l->at[i].layer->release)
            l->at[i].layer->release(l->at[i].shared);
    }
    free(l);
}
DEFINE_AUTO(struct layers, layers_free)

static int layers_new(const struct address *a, const struct chan_options *o, bool accepting,
                      struct layers **ret, struct wharf_error *e)
{
    static const struct chan_options none;
    auto_of(layers_free) struct layers *l = calloc(1, sizeof(*l));
    bool tls = a->scheme == SCHEME_TLS || a->scheme == SCHEME_WSS;
    bool websocket = a->scheme == SCHEME_WS || a->scheme == SCHEME_WSS;
    int r = l ? 0 : err_nomem(e);

    o = o ? o : &none;
    if (r == 0 && tls)
        r = layer_add(l, o->tls, "tls", o, accepting, a->host, e);
    if (r == 0 && websocket)
        r = layer_add(l, o->websocket, "websocket", o, accepting, a->host, e);
    if (r == 0)
        *ret = take_ptr(&l);
    return r;
}

/* A session over a connected socket; takes `fd` on success. */
static int join(int fd, const struct layers *l, bool accepting, const struct address *a,
                const struct chan_options *o, struct chan_session **ret, struct wharf_error *e)
{
    struct wire *w;
    int r = wire_socket(fd, &w, e);

    if (r < 0)
        return r;
    for (unsigned i = 0; l && i < l->n && r == 0; i++)
        r = l->at[i].layer->wrap(w, l->at[i].shared, accepting, a->host, a->path, &w, e);
    if (r == 0)
        r = session_new(w, accepting, o, ret, e);
    if (r < 0) {
        int again = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* the wire closes its own: keep the caller's */

        w->ops->free(w);
        if (again >= 0 && again != fd) {
            dup3(again, fd, O_CLOEXEC);
            close(again);
        }
    }
    return r;
}

int chan_attach(int fd, bool accepting, const struct chan_options *o, struct chan_session **ret,
                struct wharf_error *e)
{
    return join(fd, NULL, accepting, NULL, o, ret, e);
}

/* ---- dialling ---- */

int chan_dial(const char *text, const struct chan_options *o, chan_time deadline,
              struct chan_session **ret, struct wharf_error *e)
{
    auto_of(layers_free) struct layers *l = NULL;
    struct chan_session *s = NULL;
    struct address a;
    autoclose int fd = -1;
    int r = address_parse(text, &a, e);

    if (r == 0)
        r = layers_new(&a, o, false, &l, e);
    if (r < 0)
        return r;
    fd = a.scheme == SCHEME_FD ? fcntl(a.fd, F_DUPFD_CLOEXEC, 3) : address_connect(&a, deadline, e);
    if (fd < 0)
        return a.scheme == SCHEME_FD ? err_sys(e, "cannot use descriptor %d", a.fd) : fd;
    r = join(fd, l, false, &a, o, &s, e);
    if (r < 0)
        return r;
    take_fd(&fd);
    if (a.scheme == SCHEME_FD)
        close(a.fd);
    r = session_await_greeting(s, deadline, e);
    if (r < 0) {
        chan_session_unref(s);
        return err_wrap(e, r, "'%s'", text);
    }
    *ret = s;
    return 0;
}

/* ---- listening ---- */

static int listener_new(int fd, const struct address *a, const struct chan_options *o,
                        struct chan_listener **ret, struct wharf_error *e)
{
    struct chan_listener *l = calloc(1, sizeof(*l));
    int r = l ? layers_new(a, o, true, &l->layers, e) : err_nomem(e);

    if (r < 0) {
        free(l);
        return r;
    }
    l->fd = fd;
    l->address = *a;
    if (o)
        l->options = *o;
    *ret = l;
    return 0;
}

int chan_listen(const char *text, const struct chan_options *o, struct chan_listener **ret,
                struct wharf_error *e)
{
    struct chan_listener *l;
    struct address a;
    int r = address_parse(text, &a, e);

    if (r == 0 && a.scheme == SCHEME_FD)
        r = err_invalid(e, "'%s' is no address to listen on: see chan_listen_fd", text);
    if (r == 0)
        r = listener_new(-1, &a, o, &l, e);
    if (r < 0)
        return r;
    l->fd = address_listen(&a, &l->text, e);
    if (l->fd < 0) {
        r = l->fd;
        chan_listener_free(l);
        return r;
    }
    if (a.scheme == SCHEME_UNIX && a.host[0] != '@')
        l->unlink_path = strdup(a.host);
    *ret = l;
    return 0;
}

int chan_listen_fd(int fd, const char *scheme, const struct chan_options *o,
                   struct chan_listener **ret, struct wharf_error *e)
{
    struct address a = { .fd = -1, .path = "/" };
    struct chan_listener *l;
    int r = scheme_parse(scheme, &a.scheme);

    if (r < 0 || a.scheme == SCHEME_FD)
        return err_invalid(e, "no such scheme: '%s'", scheme);
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        return err_sys(e, "cannot use descriptor %d", fd);
    r = listener_new(fd, &a, o, &l, e);
    if (r < 0)
        return r;
    l->text = str_format("%s (descriptor %d)", scheme, fd);
    *ret = l;
    return 0;
}

int listener_try_accept(struct chan_listener *l, struct chan_session **ret, struct wharf_error *e)
{
    autoclose int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
    int r;

    if (fd < 0) {
        /* a connection that died in the queue is no concern of the caller's (accept(2)) */
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
            return -EAGAIN;
        return err_sys(e, "cannot accept a connection");
    }
    r = join(fd, l->layers, true, &l->address, &l->options, ret, e);
    if (r == 0)
        take_fd(&fd);
    return r;
}

int chan_listener_accept(struct chan_listener *l, chan_time deadline, struct chan_session **ret,
                         struct wharf_error *e)
{
    struct chan_case k = { .op = CHAN_LISTEN, .listener = l };
    int r = listener_try_accept(l, ret, e);

    if (r != -EAGAIN || deadline == CHAN_NOW)
        return r;
    r = select_one(&k, false, deadline, e);
    if (r == 0)
        *ret = k.new_session;
    return r;
}

const char *chan_listener_address(const struct chan_listener *l)
{
    return l->text;
}

int chan_listener_pollfd(const struct chan_listener *l)
{
    return l->fd;
}

void chan_listener_free(struct chan_listener *l)
{
    if (!l)
        return;
    if (l->unlink_path)
        unlink(l->unlink_path);
    fd_close(l->fd);
    layers_free(l->layers);
    free(l->unlink_path);
    free(l->text);
    free(l);
}
