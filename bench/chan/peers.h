/* SPDX-License-Identifier: Apache-2.0 */
/* Peers, where their libraries are installed. ZeroMQ and nng: PAIR sockets over ipc (unix) and tcp.
 * sd-bus: signals with an array of bytes, from peer to peer, no bus between. gRPC: a stream both
 * ways. */
#ifdef HAVE_ZMQ
#include <zmq.h>

static const char *zmq_url;
static void *zmq_socket_of[2];

static void pair_zmq_ipc(struct side s[2])
{
    zmq_url = "ipc://@chan-bench-zmq";
    s[0].fd = s[1].fd = -1;
}

static void pair_zmq_tcp(struct side s[2])
{
    zmq_url = "tcp://127.0.0.1:47113";
    s[0].fd = s[1].fd = -1;
}

static void zmq_begin(struct side *s, bool server)
{
    void *z = zmq_socket(zmq_ctx_new(), ZMQ_PAIR);

    zmq_socket_of[s->index] = z;
    need((server ? zmq_bind(z, zmq_url) : zmq_connect(z, zmq_url)) == 0, "zmq");
}

static void zmq_send_one(struct side *s)
{
    need(zmq_send(zmq_socket_of[s->index], data, size, 0) >= 0, "zmq_send");
}

static void zmq_recv_one(struct side *s)
{
    need(zmq_recv(zmq_socket_of[s->index], data + 65536, 65536, 0) >= 0, "zmq_recv");
}

static void zmq_end(struct side *s)
{
}
#define ZMQ_PEERS                                                                                  \
    { "zmq-ipc", false, pair_zmq_ipc, zmq_begin, zmq_send_one, zmq_recv_one, zmq_end },            \
        { "zmq-tcp", false, pair_zmq_tcp, zmq_begin, zmq_send_one, zmq_recv_one, zmq_end },
#else
#define ZMQ_PEERS
#endif

#ifdef HAVE_NNG
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>

static nng_socket nng_of[2];

static void pair_nng(struct side s[2])
{
    s[0].fd = s[1].fd = -1;
}

static void nng_begin(struct side *s, bool server)
{
    const char *url = "abstract://chan-bench-nng";

    need(nng_pair0_open(&nng_of[s->index]) == 0, "nng");
    if (server)
        need(nng_listen(nng_of[s->index], url, NULL, 0) == 0, "nng_listen");
    else
        while (nng_dial(nng_of[s->index], url, NULL, 0) != 0)
            usleep(1000);
}

static void nng_send_one(struct side *s)
{
    need(nng_send(nng_of[s->index], data, size, 0) == 0, "nng_send");
}

static void nng_recv_one(struct side *s)
{
    size_t n = 65536;

    need(nng_recv(nng_of[s->index], data + 65536, &n, 0) == 0, "nng_recv");
}
#define NNG_PEERS { "nng-ipc", false, pair_nng, nng_begin, nng_send_one, nng_recv_one, NULL },
#else
#define NNG_PEERS
#endif

#ifdef HAVE_SDBUS
#include <systemd/sd-bus.h>

static sd_bus *bus_of[2];

static void sdbus_begin(struct side *s, bool server)
{
    sd_bus *bus = NULL;
    sd_id128_t id;

    need(sd_id128_randomize(&id) >= 0 && sd_bus_new(&bus) >= 0, "sd-bus");
    need(sd_bus_set_fd(bus, s->fd, s->fd) >= 0, "sd-bus");
    need(sd_bus_set_anonymous(bus, true) >= 0, "sd-bus");
    need(!server || sd_bus_set_server(bus, true, id) >= 0, "sd-bus");
    need(sd_bus_start(bus) >= 0, "sd-bus");
    bus_of[s->index] = bus;
}

static void sdbus_send_one(struct side *s)
{
    sd_bus *bus = bus_of[s->index];
    sd_bus_message *m;

    need(sd_bus_message_new_signal(bus, &m, "/", "bench.Chan", "Data") >= 0, "sd-bus");
    need(sd_bus_message_append_array(m, 'y', data, size) >= 0, "sd-bus");
    if (sd_bus_send(bus, m, NULL) < 0) /* its queue is full */
        need(sd_bus_flush(bus) >= 0 && sd_bus_send(bus, m, NULL) >= 0, "sd_bus_send");
    sd_bus_message_unref(m);
}

static void sdbus_recv_one(struct side *s)
{
    sd_bus *bus = bus_of[s->index];
    sd_bus_message *m = NULL;
    const void *bytes;
    size_t n = 0;
    int r = 0;

    while (!m) {
        r = sd_bus_process(bus, &m);
        need(r >= 0, "sd_bus_process");
        if (r == 0)
            need(sd_bus_wait(bus, UINT64_MAX) >= 0, "sd_bus_wait");
        if (m && !sd_bus_message_is_signal(m, "bench.Chan", "Data"))
            m = sd_bus_message_unref(m);
    }
    need(sd_bus_message_read_array(m, 'y', &bytes, &n) >= 0 && n == size, "size");
    sd_bus_message_unref(m);
}

static void sdbus_end(struct side *s)
{
    need(sd_bus_flush(bus_of[s->index]) >= 0, "sd_bus_flush");
}
#define SDBUS_PEERS                                                                                \
    { "sd-bus", false, pair_stream, sdbus_begin, sdbus_send_one, sdbus_recv_one, sdbus_end },
#else
#define SDBUS_PEERS
#endif

#ifdef HAVE_GRPC
#include "bench/chan/grpc.h"

static void *grpc_of[2];

static void pair_grpc(struct side s[2])
{
    s[0].fd = s[1].fd = -1;
}

static void grpc_begin(struct side *s, bool server)
{
    grpc_of[s->index] = grpc_side_new(server);
}

static void grpc_send_one(struct side *s)
{
    grpc_side_send(grpc_of[s->index], data, size);
}

static void grpc_recv_one(struct side *s)
{
    need(grpc_side_recv(grpc_of[s->index]) == size, "size");
}
#define GRPC_PEERS { "grpc", false, pair_grpc, grpc_begin, grpc_send_one, grpc_recv_one, NULL },
#else
#define GRPC_PEERS
#endif

#define PEERS ZMQ_PEERS NNG_PEERS SDBUS_PEERS GRPC_PEERS
