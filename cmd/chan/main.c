/* SPDX-License-Identifier: Apache-2.0 */
/* chan - netcat for channels. The text of --help is the manual; each command is one function below
 * it. */
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"
#include "cmd/chan/bench.h"
#include "cmd/chan/convert.h"

#define LINE_MAX_BYTES (16u << 20)

static const char help[] =
    "usage: chan COMMAND [OPTION...] ADDRESS [...]\n"
    "\n"
    "Channels for shell scripts: messages are JSON, one a line.\n"
    "\n"
    "  chan serve ADDRESS           listen; print each message that arrives on any channel\n"
    "      --echo                   answer each call with its own message\n"
    "      --reply                  answer each call with the next line of standard input\n"
    "      --take                   copy the bytes of descriptors that arrive to standard output\n"
    "      --once                   end when the first connection ends\n"
    "      --mode OCTAL             permissions of the unix socket: 666 lets every user dial\n"
    "  chan dial ADDRESS            send each line of standard input as a message\n"
    "      --call                   each line is a call: wait for its answer and print it\n"
    "      --fd KEY=N               put our descriptor N into each message, under this key\n"
    "  chan gateway ADDRESS TARGET  listen; lead whoever asks to TARGET (unix:PATH, "
    "tcp:HOST:PORT);\n"
    "                               TARGET - lets the caller choose any address\n"
    "  chan connect ADDRESS [TARGET]  a raw connection through a gateway, on standard input and "
    "output\n"
    "  chan peer ADDRESS            print who is at the other end\n"
    "  chan bench                   measure a round trip and a stream over a unix socket\n"
    "\n"
    "  --wait SECONDS               where nobody listens yet, dial again for so long\n"
    "  --timeout SECONDS            give up a call, a send or a dial after so long (default: "
    "never)\n"
    "  --dialect NAME               native, spdy-2015, spdy-0.1 or unix-2014; a server that names\n"
    "                               none recognises its callers'\n"
    "  --tls-ca FILE --tls-cert FILE --tls-key FILE --tls-name NAME\n"
    "\n"
    "ADDRESS is unix:PATH, unix:@NAME, tcp:HOST:PORT, tls:HOST:PORT, ws://HOST:PORT/PATH,\n"
    "wss://HOST:PORT/PATH or fd:N. What JSON lacks is written {\"$bin\": \"00ff\"}, {\"$time\":\n"
    "\"SECONDS.NANOSECONDS\"}; attachments are shown as {\"$sender\": 0}, {\"$receiver\": 0}, "
    "{\"$fd\": 0}.\n"
    "\n"
    "  chan serve unix:/tmp/x --echo &\n"
    "  echo '{\"hello\": \"world\"}' | chan dial unix:/tmp/x --call\n";

struct settings {
    bool echo, reply, take, once, call;
    char *fd_key;
    int fd;
    int64_t timeout_ms, wait_ms;
    uint64_t mode; /* of the socket; 0: as the umask says */
    struct chan_options options;
    const char *arguments[2];
};

static int fail(const struct wharf_error *e)
{
    fprintf(stderr, "chan: %s\n", e->message);
    return wharf_error_exit(e);
}

static chan_time deadline(const struct settings *s)
{
    return chan_after_ms(s->timeout_ms);
}

/* ---- lines ---- */

static void print_value(struct chan_value v)
{
    autobuf struct buf b = BUF(LINE_MAX_BYTES * 4);

    convert_to_json(v, &b);
    buf_char(&b, '\n');
    if (!b.error) {
        fwrite(b.data, 1, b.len, stdout);
        fflush(stdout);
    }
}

/* The next line of standard input as one value in `m`: 1, 0 at the end, -errno with `e`. */
static int read_value(struct chan_msg *m, struct wharf_error *e)
{
    struct json_limits limits = JSON_LIMITS;
    autofree char *line = NULL;
    autojson json_t *j = NULL;
    size_t size = 0;
    ssize_t n;
    int r;

    do {
        n = getline(&line, &size, stdin);
    } while (n == 1 && line[0] == '\n');
    if (n < 0)
        return 0;
    autofree char *wrapped = str_format("[%s]", line); /* a bare number or text is a message too */
    if (!wrapped)
        return err_nomem(e);
    r = json_read(wrapped, strlen(wrapped), limits, "the line", &j, e);
    if (r == 0)
        r = convert_from_json(m, json_array_get(j, 0));
    return r < 0 ? r : 1;
}

/* ---- serve ---- */

/* A thread serves each connection and each channel. */
struct service {
    const struct settings *settings;
    void (*run)(struct service *);
    struct chan_session *session; /* one of the two */
    struct chan_rx *rx;
};

static pthread_mutex_t input_lock = PTHREAD_MUTEX_INITIALIZER;

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

static void service_start(struct service service)
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

static void copy_bytes(int from, int to)
{
    char bytes[16384];
    ssize_t n;

    while ((n = read(from, bytes, sizeof(bytes))) > 0) {
        if (fd_write_all(to, bytes, (size_t)n) < 0)
            return;
    }
}

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
        r = read_value(m, &e);
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
        print_value(chan_root(m));
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

static const struct {
    const char *name;
    const struct chan_dialect *(*get)(void);
} dialects[] = {
    { "native", chan_dialect_native },
    { "spdy-2015", chan_dialect_spdy_2015 },
    { "spdy-0.1", chan_dialect_spdy_010 },
    { "unix-2014", chan_dialect_unix_2014 },
};

static int listen_loop(const struct settings *s, void (*run)(struct service *))
{
    struct chan_options o = s->options;
    struct wharf_error e = { 0 };
    struct chan_listener *l;
    struct service service = { .settings = s, .run = run };

    for (size_t i = 0; !s->options.dialects[0] && i < ARRAY_SIZE(dialects); i++)
        o.dialects[i] = dialects[i].get();
    if (chan_listen(s->arguments[0], &o, &l, &e) < 0)
        return fail(&e);
    const char *path = str_after(chan_listener_address(l), "unix:");
    if (s->mode && path && chmod(path, (mode_t)s->mode) < 0) {
        err_sys(&e, "cannot set the mode of '%s'", path);
        chan_listener_free(l);
        return fail(&e);
    }
    fprintf(stderr, "chan: listening on %s\n", chan_listener_address(l));
    while (chan_listener_accept(l, CHAN_FOREVER, &service.session, &e) == 0) {
        service_start(service);
        if (s->once)
            break;
    }
    service_wait_all();
    chan_listener_free(l);
    return e.code ? fail(&e) : 0;
}

static int command_serve(const struct settings *s)
{
    return listen_loop(s, serve_connection);
}

/* ---- dial ---- */

/* Puts the line's value, the descriptor and the return channel into one message. */
static int build(const struct settings *s, struct chan_msg *m, struct chan_rx **ret,
                 struct wharf_error *e)
{
    struct chan_msg *line = chan_msg_new();
    struct chan_value v, at;
    bool map;
    int r = line ? read_value(line, e) : err_nomem(e);

    if (r <= 0) {
        chan_msg_free(line);
        return r;
    }
    v = chan_root(line);
    map = chan_kind_of(v) == CHAN_MAP;
    at = chan_first(v);
    if (!s->call && !s->fd_key) {
        chan_put_value(m, v);
    } else {
        /* what is no map goes under "value" */
        chan_put_map(m, (unsigned)(map ? chan_count(v) : 1) + s->call + !!s->fd_key);
        if (!map) {
            chan_put_str(m, "value");
            chan_put_value(m, v);
        }
        for (size_t i = 0; map && i < chan_count(v) * 2; i++, at = chan_next(at))
            chan_put_value(m, at);
    }
    if (s->fd_key) {
        int fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 3);

        chan_put_str(m, s->fd_key);
        if (fd < 0 || chan_put_fd(m, fd, CHAN_READ | CHAN_WRITE) < 0)
            r = err_sys(e, "cannot pass descriptor %d", s->fd);
    }
    if (s->call) {
        chan_put_str(m, "ret");
        chan_put_return(m, ret);
    }
    chan_msg_free(line);
    return r;
}

static int send_lines(const struct settings *s, struct chan_tx *tx, struct wharf_error *e)
{
    struct chan_msg *m = chan_msg_new();
    struct chan_rx *ret = NULL;
    int r;

    while ((r = build(s, m, &ret, e)) > 0) {
        r = chan_send(tx, m, deadline(s), e);
        if (r == 0 && s->call)
            r = chan_recv(ret, m, deadline(s), e);
        if (r < 0)
            break;
        if (s->call)
            print_value(chan_root(m));
        chan_rx_unref(take_ptr(&ret));
        chan_msg_clear(m);
    }
    chan_rx_unref(ret);
    chan_msg_free(m);
    return r;
}

/* A server may start after its clients do: its socket is not there yet, or a dead one's still is.
 */
static int dial_session(const struct settings *s, struct chan_session **ret, struct wharf_error *e)
{
    const struct timespec pause = { 0, 20000000 };
    chan_time end = chan_after_ms(s->wait_ms);
    int r;

    while ((r = chan_dial(s->arguments[0], &s->options, deadline(s), ret, e)) < 0) {
        if ((r != -ENOENT && r != -ECONNREFUSED) || chan_after_ms(0) >= end)
            return r;
        nanosleep(&pause, NULL);
    }
    return 0;
}

static int dial(const struct settings *s, struct chan_session **ret, struct chan_tx **ret_tx,
                struct wharf_error *e)
{
    int r = dial_session(s, ret, e);

    if (r < 0)
        return r;
    r = chan_open(*ret, ret_tx, e);
    if (r < 0)
        chan_session_unref(*ret);
    return r;
}

static int command_dial(const struct settings *s)
{
    struct wharf_error e = { 0 };
    struct chan_session *session;
    struct chan_tx *tx;
    int r = dial(s, &session, &tx, &e);

    if (r < 0)
        return fail(&e);
    r = send_lines(s, tx, &e);
    chan_tx_unref(tx);
    if (r == 0)
        r = chan_session_shutdown(session, deadline(s), &e);
    chan_session_unref(session);
    return r < 0 ? fail(&e) : 0;
}

/* ---- gateway, connect, peer ---- */

static void gateway_connection(struct service *service)
{
    const char *target = service->settings->arguments[1];
    struct chan_rx *rx;

    if (chan_accept(service->session, CHAN_FOREVER, &rx, NULL) == 0) {
        chan_gateway(rx, streq(target, "-") ? NULL : target, CHAN_FOREVER, NULL);
        chan_rx_unref(rx);
    }
    chan_session_shutdown(service->session, chan_after_ms(5000), NULL);
    chan_session_unref(service->session);
}

static int command_gateway(const struct settings *s)
{
    return listen_loop(s, gateway_connection);
}

static void *copy_in(void *fd)
{
    copy_bytes(STDIN_FILENO, *(int *)fd);
    shutdown(*(int *)fd, SHUT_WR);
    return NULL;
}

static int command_connect(const struct settings *s)
{
    struct wharf_error e = { 0 };
    struct chan_session *session;
    struct chan_tx *tx;
    pthread_t thread;
    int fd, r = dial(s, &session, &tx, &e);

    if (r < 0)
        return fail(&e);
    r = chan_connect(tx, s->arguments[1], deadline(s), &fd, &e);
    if (r < 0)
        return fail(&e);
    if (pthread_create(&thread, NULL, copy_in, &fd) == 0)
        pthread_detach(thread);
    copy_bytes(fd, STDOUT_FILENO);
    return 0;
}

static int command_peer(const struct settings *s)
{
    struct wharf_error e = { 0 };
    struct chan_session *session;
    struct chan_peer p;

    if (dial_session(s, &session, &e) < 0 || chan_session_peer(session, deadline(s), &p, &e) < 0)
        return fail(&e);
    printf("transport %s\n", p.transport);
    if (p.has_credentials)
        printf("uid %u\ngid %u\npid %d\n", p.uid, p.gid, p.pid);
    if (p.subject[0])
        printf("subject %s\nfingerprint %s\n", p.subject, p.fingerprint);
    fd_close(p.pidfd);
    chan_session_unref(session);
    return 0;
}

static int command_bench(const struct settings *s)
{
    struct wharf_error e = { 0 };

    return bench(&e) < 0 ? fail(&e) : 0;
}

/* ---- the command line ---- */

static const struct {
    const char *name;
    int min, max; /* arguments */
    int (*run)(const struct settings *);
} commands[] = {
    { "serve", 1, 1, command_serve },     { "dial", 1, 1, command_dial },
    { "gateway", 2, 2, command_gateway }, { "connect", 1, 2, command_connect },
    { "peer", 1, 1, command_peer },       { "bench", 0, 0, command_bench },
};

enum {
    ECHO = 256,
    REPLY,
    TAKE,
    ONCE,
    CALL,
    FD,
    MODE,
    TIMEOUT,
    WAIT,
    DIALECT,
    TLS_CA,
    TLS_CERT,
    TLS_KEY,
    TLS_NAME,
    HELP
};

static const struct option options[] = {
    { "echo", no_argument, NULL, ECHO },
    { "reply", no_argument, NULL, REPLY },
    { "take", no_argument, NULL, TAKE },
    { "once", no_argument, NULL, ONCE },
    { "call", no_argument, NULL, CALL },
    { "fd", required_argument, NULL, FD },
    { "mode", required_argument, NULL, MODE },
    { "timeout", required_argument, NULL, TIMEOUT },
    { "wait", required_argument, NULL, WAIT },
    { "dialect", required_argument, NULL, DIALECT },
    { "tls-ca", required_argument, NULL, TLS_CA },
    { "tls-cert", required_argument, NULL, TLS_CERT },
    { "tls-key", required_argument, NULL, TLS_KEY },
    { "tls-name", required_argument, NULL, TLS_NAME },
    { "help", no_argument, NULL, HELP },
    { 0 },
};

static bool set_fd(struct settings *s, char *text)
{
    char *equals = strchr(text, '=');
    uint64_t n;

    if (!equals || parse_u64(equals + 1, 0, INT32_MAX, &n) < 0)
        return false;
    *equals = '\0';
    s->fd_key = text;
    s->fd = (int)n;
    return true;
}

static bool set_seconds(int64_t *ret_ms, const char *text)
{
    int64_t given;

    if (parse_i64(text, 0, 1 << 20, &given) < 0)
        return false;
    *ret_ms = given * 1000;
    return true;
}

static bool set_mode(struct settings *s, const char *text)
{
    size_t n = strspn(text, "01234567");

    s->mode = 0;
    for (const char *p = text; *p; p++)
        s->mode = s->mode * 8 + (uint64_t)(*p - '0');
    return n == 3 && !text[n];
}

static bool set_dialect(struct settings *s, const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(dialects); i++) {
        if (streq(dialects[i].name, name))
            s->options.dialects[0] = dialects[i].get();
    }
    return s->options.dialects[0];
}

static bool set(struct settings *s, int option, char *value)
{
    switch (option) {
    case ECHO:
        return s->echo = true;
    case REPLY:
        return s->reply = true;
    case TAKE:
        return s->take = true;
    case ONCE:
        return s->once = true;
    case CALL:
        return s->call = true;
    case FD:
        return set_fd(s, value);
    case MODE:
        return set_mode(s, value);
    case TIMEOUT:
        return set_seconds(&s->timeout_ms, value);
    case WAIT:
        return set_seconds(&s->wait_ms, value);
    case DIALECT:
        return set_dialect(s, value);
    case TLS_CA:
        s->options.tls_ca = value;
        return true;
    case TLS_CERT:
        s->options.tls_cert = value;
        return true;
    case TLS_KEY:
        s->options.tls_key = value;
        return true;
    case TLS_NAME:
        s->options.tls_name = value;
        return true;
    default:
        return false;
    }
}

static int usage(void)
{
    fprintf(stderr, "chan: see chan --help\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct settings s = { .timeout_ms = -1,
                          .options = { .tls = chan_tls(), .websocket = chan_websocket() } };
    int option;

    signal(SIGPIPE, SIG_IGN);
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == HELP || option == 'h') {
            fputs(help, stdout);
            return 0;
        }
        if (!set(&s, option, optarg))
            return usage();
    }
    for (size_t i = 0; optind < argc && i < ARRAY_SIZE(commands); i++) {
        int n = argc - optind - 1;

        if (!streq(argv[optind], commands[i].name))
            continue;
        if (n < commands[i].min || n > commands[i].max)
            return usage();
        for (int k = 0; k < n; k++)
            s.arguments[k] = argv[optind + 1 + k];
        return commands[i].run(&s);
    }
    return usage();
}
