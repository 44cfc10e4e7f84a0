/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry behind libmicrohttpd: a thread a connection, plain HTTP or TLS. Its requests become
 * calls of registry-server.h; the target is kept raw, because the server decodes paths by its own
 * rules. Files go out by sendfile where the connection is plain. Logins are asked for here, before
 * a request is looked at.
 */
#include "libimage/registry-server.h"
#include "libimage/registry-users.h"
#include "base/fd.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <microhttpd.h>

enum { CONNECTIONS_MAX = 512, IDLE_S = 120, PEM_MAX = 1 << 20, UPLOAD_SECONDS = 24 * 3600 };

struct image_registry {
    struct registry *registry;
    struct registry_users *users; /* NULL: everybody may come in */
    char *certificate, *key;      /* PEM; NULL: plain HTTP */
    struct MHD_Daemon *mhd;
};
DEFINE_AUTO(struct image_registry, image_registry_stop)

struct connection {
    char *target;
    struct registry_call *call;
};

static const char *get_header(void *arg, const char *name)
{
    return MHD_lookup_connection_value(arg, MHD_HEADER_KIND, name);
}

static void *on_target(void *arg, const char *target, struct MHD_Connection *connection)
{
    struct connection *c = calloc(1, sizeof(*c));

    (void)arg;
    (void)connection;
    if (c)
        c->target = strdup(target);
    return c;
}

static void on_done(void *arg, struct MHD_Connection *connection, void **state,
                    enum MHD_RequestTerminationCode why)
{
    struct connection *c = *state;

    (void)arg;
    (void)connection;
    (void)why;
    if (!c)
        return;
    registry_call_free(c->call);
    free(c->target);
    free(c);
    *state = NULL;
}

static struct MHD_Response *make_response(struct registry_reply *reply)
{
    static char nothing[1];
    int fd;

    if (reply->fd < 0 || reply->length == 0)
        return MHD_create_response_from_buffer(
            reply->text.len, reply->text.data ? reply->text.data : nothing, MHD_RESPMEM_MUST_COPY);
    fd = take_fd(&reply->fd); /* closed with the response */
    return MHD_create_response_from_fd_at_offset64((uint64_t)reply->length, fd,
                                                   (uint64_t)reply->offset);
}

static enum MHD_Result send_reply(struct MHD_Connection *connection, struct registry_reply *reply)
{
    struct MHD_Response *response = make_response(reply);
    enum MHD_Result result;

    if (!response)
        return MHD_NO;
    for (size_t at = 0; at < reply->headers.len;) {
        char *line = reply->headers.data + at, *colon = strstr(line, ": ");

        at += strlen(line) + 1;
        *colon = 0;
        MHD_add_response_header(response, line, colon + 2);
    }
    result = MHD_queue_response(connection, (unsigned)reply->status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result refuse(struct MHD_Connection *connection)
{
    static char text[] = "{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"authentication "
                         "required\",\"detail\":null}]}\n";
    struct MHD_Response *response =
        MHD_create_response_from_buffer(sizeof(text) - 1, text, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result result;

    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "Www-Authenticate", "Basic realm=\"wharf registry\"");
    MHD_add_response_header(response, "Content-Type", "application/json");
    MHD_add_response_header(response, "Docker-Distribution-Api-Version", "registry/2.0");
    result = MHD_queue_response(connection, MHD_HTTP_UNAUTHORIZED, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *len, void **state)
{
    struct image_registry *d = arg;
    struct connection *c = *state;

    (void)url;
    (void)version;
    if (!c || !c->target)
        return MHD_NO;
    if (!c->call && d->users &&
        !registry_users_check(d->users, get_header(connection, "Authorization")))
        return refuse(connection);
    if (!c->call) {
        struct registry_request q = {
            .method = method, .target = c->target, .header = get_header, .arg = connection
        };

        c->call = registry_begin(d->registry, &q);
        return c->call ? MHD_YES : MHD_NO;
    }
    if (*len) {
        registry_body(c->call, data, *len);
        *len = 0;
        return MHD_YES;
    }
    return send_reply(connection, registry_end(c->call));
}

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static int parse_address(union address *ret, const char *text, unsigned port, struct wharf_error *e)
{
    *ret = (union address){ 0 };
    if (port <= UINT16_MAX && inet_pton(AF_INET, text, &ret->v4.sin_addr) == 1) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons((uint16_t)port);
        return 0;
    }
    if (port <= UINT16_MAX && inet_pton(AF_INET6, text, &ret->v6.sin6_addr) == 1) {
        ret->v6.sin6_family = AF_INET6;
        ret->v6.sin6_port = htons((uint16_t)port);
        return 0;
    }
    return err_invalid(e, "'%.100s' port %u is no address to serve a registry on", text, port);
}

static int read_pem(const char *path, char **ret, struct wharf_error *e)
{
    ssize_t n = file_read(AT_FDCWD, path, PEM_MAX, ret);

    return n < 0 ? err_code(e, (int)n, "cannot read '%s'", path) : 0;
}

static int read_options(struct image_registry *d, const struct image_registry_options *o,
                        struct wharf_error *e)
{
    int r = 0;

    if (!o->root)
        return err_invalid(e, "a registry needs a directory");
    if (!o->certificate != !o->key)
        return err_invalid(e, "a certificate needs its key, and a key its certificate");
    if (o->certificate)
        r = read_pem(o->certificate, &d->certificate, e);
    if (r == 0 && o->key)
        r = read_pem(o->key, &d->key, e);
    if (r == 0 && o->users)
        r = registry_users_open(&d->users, o->users, e);
    if (r == 0)
        r = registry_open(&d->registry, o->root, e);
    if (r < 0)
        return r;
    registry_set_policy(d->registry, o->read_only,
                        o->upload_seconds > 0 ? o->upload_seconds : UPLOAD_SECONDS);
    return 0;
}

static int listen_on(struct image_registry *d, const union address *at, struct wharf_error *e)
{
    struct MHD_OptionItem tls[] = { { MHD_OPTION_HTTPS_MEM_CERT, 0, d->certificate },
                                    { MHD_OPTION_HTTPS_MEM_KEY, 0, d->key },
                                    { MHD_OPTION_END, 0, NULL } };

    if (!d->certificate)
        tls[0].option = MHD_OPTION_END;
    d->mhd = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL |
            (d->certificate ? MHD_USE_TLS : 0) | (at->any.sa_family == AF_INET6 ? MHD_USE_IPv6 : 0),
        0, NULL, NULL, on_request, d, MHD_OPTION_SOCK_ADDR, &at->any, MHD_OPTION_URI_LOG_CALLBACK,
        on_target, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_done, NULL, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)(256 << 10), MHD_OPTION_ARRAY, tls,
        MHD_OPTION_END);
    return d->mhd ? 0 : -1;
}

int image_registry_serve(struct image_registry **ret, const struct image_registry_options *options,
                         struct wharf_error *e)
{
    auto_of(image_registry_stop) struct image_registry *d = calloc(1, sizeof(*d));
    struct image_registry_options o = { 0 };
    union address at;
    int r;

    if (!d)
        return err_nomem(e);
    memcpy(&o, options, MIN(options->size, sizeof(o)));
    o.address = o.address ? o.address : "127.0.0.1";
    r = parse_address(&at, o.address, o.port, e);
    if (r == 0)
        r = read_options(d, &o, e);
    if (r < 0)
        return r;
    errno = 0;
    if (listen_on(d, &at, e) < 0)
        return errno
                   ? err_sys(e, "cannot serve a registry on '%s' port %u", o.address, o.port)
                   : err_invalid(e, "cannot serve a registry on '%s' port %u%s", o.address, o.port,
                                 d->key ? ": the certificate or its key is unusable" : "");
    *ret = take_ptr(&d);
    return 0;
}

unsigned image_registry_port(const struct image_registry *d)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(d->mhd, MHD_DAEMON_INFO_BIND_PORT);

    return info ? info->port : 0;
}

void image_registry_stop(struct image_registry *d)
{
    if (!d)
        return;
    if (d->mhd)
        MHD_stop_daemon(d->mhd);
    registry_users_free(d->users);
    registry_free(d->registry);
    free(d->certificate);
    if (d->key)
        explicit_bzero(d->key, strlen(d->key));
    free(d->key);
    free(d);
}
