/* SPDX-License-Identifier: Apache-2.0 */
/* The D-Bus wire; see dbus.h. Only little-endian messages are written and read: peers on the same
 * machine answer in their own order, which is ours. */
#include "libcontainer/cgroup/dbus.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include "base/fd.h"
#include "base/str.h"

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define OWN_ORDER 'l'
#else
#define OWN_ORDER 'B'
#endif

enum { FIXED_HEADER = 16, SASL_LINE_MAX = 512 };
enum field {
    FIELD_PATH = 1,
    FIELD_INTERFACE,
    FIELD_MEMBER,
    FIELD_ERROR,
    FIELD_REPLY,
    FIELD_DESTINATION,
    FIELD_SENDER,
    FIELD_SIGNATURE
};

struct dbus {
    int fd;
    bool daemon; /* a bus daemon is in between: names, Hello, matches */
    uint32_t serial;
    struct buf in; /* the message that was read last */
};

/* ---- writing ---- */

void dbus_align(struct buf *b, size_t alignment)
{
    static const char zeros[8];

    buf_add(b, zeros, (alignment - b->len % alignment) % alignment);
}

void dbus_byte(struct buf *b, unsigned char value)
{
    buf_add(b, &value, 1);
}

void dbus_u32(struct buf *b, uint32_t value)
{
    dbus_align(b, 4);
    buf_add(b, &value, sizeof(value));
}

void dbus_u64(struct buf *b, uint64_t value)
{
    dbus_align(b, 8);
    buf_add(b, &value, sizeof(value));
}

void dbus_string(struct buf *b, const char *s)
{
    dbus_u32(b, (uint32_t)strlen(s));
    buf_add(b, s, strlen(s) + 1);
}

void dbus_signature(struct buf *b, const char *s)
{
    dbus_byte(b, (unsigned char)strlen(s));
    buf_add(b, s, strlen(s) + 1);
}

struct dbus_array dbus_array_begin(struct buf *b, size_t alignment)
{
    struct dbus_array array;

    dbus_align(b, 4);
    array.length_at = b->len;
    dbus_u32(b, 0);
    dbus_align(b, alignment); /* the padding before the first element does not count */
    array.start = b->len;
    return array;
}

void dbus_array_end(struct buf *b, struct dbus_array array)
{
    uint32_t len = (uint32_t)(b->len - array.start);

    if (!b->error)
        memcpy(b->data + array.length_at, &len, sizeof(len));
}

/* ---- reading ---- */

static void skip_to(struct dbus_reader *r, size_t alignment)
{
    r->pos += (alignment - r->pos % alignment) % alignment;
    r->bad = r->bad || r->pos > r->len;
}

static unsigned char read_byte(struct dbus_reader *r)
{
    if (r->bad || r->pos >= r->len) {
        r->bad = true;
        return 0;
    }
    return r->data[r->pos++];
}

uint32_t dbus_read_u32(struct dbus_reader *r)
{
    uint32_t value;

    skip_to(r, 4);
    if (r->bad || r->len - r->pos < sizeof(value)) {
        r->bad = true;
        return 0;
    }
    memcpy(&value, r->data + r->pos, sizeof(value));
    r->pos += sizeof(value);
    return value;
}

static const char *read_text(struct dbus_reader *r, size_t n)
{
    const char *s = (const char *)r->data + r->pos;

    if (r->bad || r->len - r->pos <= n || s[n] || strlen(s) != n) {
        r->bad = true;
        return "";
    }
    r->pos += n + 1;
    return s;
}

const char *dbus_read_string(struct dbus_reader *r)
{
    uint32_t n = dbus_read_u32(r);

    return read_text(r, n);
}

/* One header field: a byte and a variant of o, s, u or g. */
static void read_field(struct dbus_reader *r, struct dbus_message *m)
{
    unsigned char code;
    const char *signature, *text = "";

    skip_to(r, 8);
    code = read_byte(r);
    signature = read_text(r, read_byte(r));
    if (streq(signature, "s") || streq(signature, "o"))
        text = dbus_read_string(r);
    else if (streq(signature, "g"))
        text = read_text(r, read_byte(r));
    else if (streq(signature, "u") && code == FIELD_REPLY)
        m->reply_to = dbus_read_u32(r);
    else if (streq(signature, "u"))
        dbus_read_u32(r); /* the number of descriptors */
    else
        r->bad = true;
    if (code == FIELD_INTERFACE)
        m->interface = text;
    else if (code == FIELD_MEMBER)
        m->member = text;
    else if (code == FIELD_ERROR)
        m->error = text;
}

/* The fixed header's own lengths: the whole message, or 0 if they are out of bounds. */
static size_t message_length(const unsigned char *data, uint32_t *ret_fields, uint32_t *ret_body)
{
    size_t head;

    memcpy(ret_body, data + 4, 4);
    memcpy(ret_fields, data + 12, 4);
    if (data[0] != OWN_ORDER || *ret_body > DBUS_MESSAGE_MAX || *ret_fields > DBUS_MESSAGE_MAX)
        return 0;
    head = FIXED_HEADER + (*ret_fields + 7u) / 8 * 8;
    return head + *ret_body <= DBUS_MESSAGE_MAX ? head + *ret_body : 0;
}

int dbus_parse(const unsigned char *data, size_t len, struct dbus_message *ret)
{
    struct dbus_message m = { .interface = "", .member = "", .error = "" };
    uint32_t fields, body;
    struct dbus_reader r;

    if (len < FIXED_HEADER || message_length(data, &fields, &body) != len)
        return -EBADMSG;
    m.type = data[1];
    r = (struct dbus_reader){ .data = data, .pos = FIXED_HEADER, .len = FIXED_HEADER + fields };
    while (!r.bad && r.pos < r.len)
        read_field(&r, &m);
    if (r.bad)
        return -EBADMSG;
    m.body = (struct dbus_reader){ .data = data + len - body, .len = body };
    *ret = m;
    return 0;
}

/* ---- talking ---- */

static int receive(struct dbus *bus, struct dbus_message *ret, struct wharf_error *e)
{
    char *head, *rest;
    uint32_t fields, body;
    size_t len;
    int r;

    buf_reset(&bus->in);
    head = buf_reserve(&bus->in, FIXED_HEADER);
    if (!head)
        return err_nomem(e);
    r = fd_read_exact(bus->fd, head, FIXED_HEADER);
    if (r == -EAGAIN)
        return err_set(e, -ETIMEDOUT, WHARF_ERROR_TIMEOUT, "systemd did not answer within %d s",
                       DBUS_TIMEOUT_MS / 1000);
    if (r < 0)
        return err_code(e, r, "cannot read from the D-Bus socket");
    bus->in.len = FIXED_HEADER;
    len = message_length((const unsigned char *)head, &fields, &body);
    rest = len ? buf_reserve(&bus->in, len - FIXED_HEADER) : NULL;
    if (!rest)
        return err_code(e, -EBADMSG, "a D-Bus message is malformed or too long");
    r = fd_read_exact(bus->fd, rest, len - FIXED_HEADER);
    if (r == 0)
        r = dbus_parse((const unsigned char *)bus->in.data, len, ret);
    return r < 0 ? err_code(e, r, "cannot read a D-Bus message") : 0;
}

static void add_field(struct buf *b, enum field code, const char *signature, const char *text)
{
    if (!text || !*text)
        return;
    dbus_align(b, 8);
    dbus_byte(b, code);
    dbus_signature(b, signature);
    if (*signature == 'g')
        dbus_signature(b, text);
    else
        dbus_string(b, text);
}

static int send_call(struct dbus *bus, const struct dbus_target *to, const char *signature,
                     const struct buf *body, struct wharf_error *e)
{
    autobuf struct buf b = BUF(DBUS_MESSAGE_MAX);
    struct dbus_array fields;
    int r;

    buf_char(&b, OWN_ORDER);
    dbus_byte(&b, DBUS_CALL);
    dbus_byte(&b, 0);
    dbus_byte(&b, 1); /* version of the protocol */
    dbus_u32(&b, body ? (uint32_t)body->len : 0);
    dbus_u32(&b, ++bus->serial);
    fields = dbus_array_begin(&b, 8);
    add_field(&b, FIELD_PATH, "o", to->path);
    add_field(&b, FIELD_INTERFACE, "s", to->interface);
    add_field(&b, FIELD_MEMBER, "s", to->member);
    add_field(&b, FIELD_DESTINATION, "s", bus->daemon ? to->service : NULL);
    add_field(&b, FIELD_SIGNATURE, "g", signature);
    dbus_array_end(&b, fields);
    dbus_align(&b, 8);
    if (body)
        buf_add(&b, body->data, body->len);
    if (b.error || (body && body->error))
        return err_code(e, b.error ? b.error : body->error, "cannot build a D-Bus message");
    r = fd_write_all(bus->fd, b.data, b.len);
    return r < 0 ? err_code(e, r, "cannot write to the D-Bus socket") : 0;
}

int dbus_call(struct dbus *bus, const struct dbus_target *to, const char *signature,
              const struct buf *body, struct dbus_message *ret, struct wharf_error *e)
{
    int r = send_call(bus, to, signature, body, e);

    while (r == 0) {
        struct dbus_reader text;

        r = receive(bus, ret, e);
        if (r < 0 || ret->reply_to != bus->serial)
            continue;
        if (ret->type == DBUS_RETURN)
            return 0;
        if (ret->type != DBUS_ERROR)
            continue;
        text = ret->body;
        return err_set(e, -EREMOTEIO, WHARF_ERROR_INTERNAL, "systemd refuses %s: %s", to->member,
                       text.len ? dbus_read_string(&text) : ret->error);
    }
    return r;
}

int dbus_wait_signal(struct dbus *bus, int (*wanted)(void *user, struct dbus_message *m),
                     void *user, struct wharf_error *e)
{
    for (;;) {
        struct dbus_message m;
        int r = receive(bus, &m, e);

        if (r < 0)
            return r;
        if (m.type == DBUS_SIGNAL && wanted(user, &m) > 0)
            return 0;
    }
}

/* ---- opening ---- */

/* One line of the authentication, without its "\r\n". */
static int read_line(int fd, char *line, struct wharf_error *e)
{
    for (size_t n = 0; n < SASL_LINE_MAX; n++) {
        int r = fd_read_exact(fd, line + n, 1);

        if (r < 0)
            return err_code(e, r, "cannot authenticate to D-Bus");
        if (line[n] != '\n')
            continue;
        line[n - (n > 0 && line[n - 1] == '\r')] = 0;
        return 0;
    }
    return err_code(e, -EBADMSG, "cannot authenticate to D-Bus");
}

/* EXTERNAL without a name: the peer takes the credentials of the socket, which is right also in a
 * user namespace, where our number is not the peer's. All three lines go at once. */
static int authenticate(int fd, struct wharf_error *e)
{
    static const char lines[] = "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
    char line[SASL_LINE_MAX];
    int r = fd_write_all(fd, lines, sizeof(lines) - 1);

    if (r < 0)
        return err_code(e, r, "cannot authenticate to D-Bus");
    r = read_line(fd, line, e);
    if (r == 0 && str_after(line, "DATA"))
        r = read_line(fd, line, e);
    if (r == 0 && !str_after(line, "OK"))
        r = err_set(e, -EACCES, WHARF_ERROR_FORBIDDEN, "D-Bus refuses this user: '%.100s'", line);
    return r;
}

static int dbus_new(struct dbus **ret, int fd, bool daemon, struct wharf_error *e)
{
    static const struct dbus_target hello = { "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                              "org.freedesktop.DBus", "Hello" };
    auto_of(dbus_close) struct dbus *bus = calloc(1, sizeof(*bus));
    struct timeval limit = { .tv_sec = DBUS_TIMEOUT_MS / 1000 };
    struct dbus_message answer;
    int r;

    if (!bus) {
        fd_close(fd);
        return err_nomem(e);
    }
    bus->fd = fd;
    bus->daemon = daemon;
    bus->in = BUF(DBUS_MESSAGE_MAX);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    r = authenticate(fd, e);
    if (r == 0 && daemon)
        r = dbus_call(bus, &hello, NULL, NULL, &answer, e);
    if (r < 0)
        return r;
    *ret = take_ptr(&bus);
    return 0;
}

int dbus_open_fd(struct dbus **ret, int fd, struct wharf_error *e)
{
    return dbus_new(ret, fd, false, e);
}

/* A connected socket, or -errno. */
static int connect_to(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    autoclose int fd = -1;

    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    return take_fd(&fd);
}

int dbus_open(struct dbus **ret, bool user, struct wharf_error *e)
{
    const char *runtime = user ? getenv("XDG_RUNTIME_DIR") : "/run";
    const struct {
        const char *name;
        bool daemon;
    } sockets[] = { { user ? "bus" : "dbus/system_bus_socket", true },
                    { "systemd/private", false } };
    char path[4096];
    int fd = -ENOENT;

    if (!runtime || *runtime != '/')
        return err_unsupported(e,
                               "the user's systemd cannot be reached: XDG_RUNTIME_DIR is not set");
    for (size_t i = 0; i < ARRAY_SIZE(sockets); i++) {
        if ((size_t)snprintf(path, sizeof(path), "%s/%s", runtime, sockets[i].name) >= sizeof(path))
            break;
        fd = connect_to(path);
        if (fd >= 0)
            return dbus_new(ret, fd, sockets[i].daemon, e);
    }
    return err_set(e, fd, WHARF_ERROR_UNSUPPORTED,
                   "systemd cannot be reached at '%s': is it pid 1 here? (the other cgroup driver "
                   "needs no systemd)",
                   path);
}

bool dbus_has_daemon(const struct dbus *bus)
{
    return bus->daemon;
}

void dbus_close(struct dbus *bus)
{
    if (!bus)
        return;
    fd_close(bus->fd);
    buf_done(&bus->in);
    free(bus);
}
