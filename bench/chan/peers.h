/* SPDX-License-Identifier: Apache-2.0 */
/* ZeroMQ and nng, where their libraries are installed: PAIR sockets over ipc (unix) and tcp. */
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

#define PEERS ZMQ_PEERS NNG_PEERS
