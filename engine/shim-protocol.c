/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of shim-protocol.h. The packet is a fixed head in host order and the text behind it;
 * the configuration is a list of "key=value" strings ended by NUL, an empty one, and the
 * specification; the exit status is one line of numbers. A wrong length, version or key refuses the
 * whole.
 */
#include "engine/shim-protocol.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include "base/fd.h"
#include "base/str.h"

struct packet {
    uint16_t version, op;
    uint32_t flags;
    int64_t value[2];
    uint32_t text_len, reserved;
};
_Static_assert(sizeof(struct packet) == 32, "the packet's head is part of the protocol");

void shim_message_done(struct shim_message *m)
{
    for (size_t i = 0; i < m->fd_count; i++)
        m->fds[i] = fd_close(m->fds[i]);
    m->fd_count = 0;
}

int shim_message_take_fd(struct shim_message *m, size_t index)
{
    return index < m->fd_count ? take_fd(&m->fds[index]) : -1;
}

size_t shim_message_encode(const struct shim_message *m, void *packet)
{
    struct packet head = {
        .version = SHIM_PROTOCOL,
        .op = (uint16_t)m->op,
        .flags = m->flags,
        .value = { m->value[0], m->value[1] },
        .text_len = (uint32_t)strnlen(m->text, SHIM_TEXT_MAX - 1),
    };

    memcpy(packet, &head, sizeof(head));
    memcpy((char *)packet + sizeof(head), m->text, head.text_len);
    return sizeof(head) + head.text_len;
}

int shim_message_decode(const void *packet, size_t len, struct shim_message *ret)
{
    struct packet head;

    if (len < sizeof(head))
        return -EBADMSG;
    memcpy(&head, packet, sizeof(head));
    if (head.version == 0 || head.text_len >= SHIM_TEXT_MAX || len != sizeof(head) + head.text_len)
        return -EBADMSG;
    const char *text = (const char *)packet + sizeof(head);
    if (memchr(text, '\0', head.text_len))
        return -EBADMSG;
    ret->op = head.op;
    ret->flags = head.flags;
    memcpy(ret->value, head.value, sizeof(ret->value));
    memcpy(ret->text, text, head.text_len);
    ret->text[head.text_len] = '\0';
    return 0;
}

int shim_send(int socket, const struct shim_message *m)
{
    char packet[SHIM_PACKET_MAX];
    union {
        char bytes[CMSG_SPACE(sizeof(int) * SHIM_FDS_MAX)];
        struct cmsghdr align;
    } control;
    struct iovec iov = { packet, shim_message_encode(m, packet) };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (m->fd_count > 0) {
        size_t bytes = sizeof(int) * m->fd_count;

        memset(&control, 0, sizeof(control));
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(bytes);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(bytes);
        memcpy(CMSG_DATA(c), m->fds, bytes);
    }
    for (;;) {
        if (sendmsg(socket, &msg, MSG_NOSIGNAL) >= 0)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
}

static void take_descriptors(struct msghdr *msg, struct shim_message *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count && m->fd_count < SHIM_FDS_MAX; i++)
            memcpy(&m->fds[m->fd_count++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
}

int shim_receive(int socket, struct shim_message *ret)
{
    char packet[SHIM_PACKET_MAX];
    union {
        char bytes[CMSG_SPACE(sizeof(int) * SHIM_FDS_MAX)];
        struct cmsghdr align;
    } control;
    struct iovec iov = { packet, sizeof(packet) };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = sizeof(control) };
    ssize_t n;

    do
        n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    if (n == 0)
        return 0;
    ret->fd_count = 0;
    take_descriptors(&msg, ret);
    int r = msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? -EBADMSG
                                                     : shim_message_decode(packet, (size_t)n, ret);
    if (r < 0) {
        shim_message_done(ret);
        return r;
    }
    return 1;
}

int shim_send_failure(int socket, const struct wharf_error *e)
{
    struct shim_message m = { .op = SHIM_FAILED, .value = { e->code, e->kind } };

    snprintf(m.text, sizeof(m.text), "%s", e->message);
    return shim_send(socket, &m);
}

int shim_failure(const struct shim_message *m, struct wharf_error *e)
{
    int code = m->value[0] > 0 && m->value[0] < 4096 ? (int)m->value[0] : EPROTO;
    bool known = m->value[1] > WHARF_ERROR_NONE && m->value[1] < WHARF_ERROR_KINDS;

    return err_set(e, -code, known ? (enum wharf_error_kind)m->value[1] : WHARF_ERROR_INTERNAL,
                   "%s", m->text);
}

/* ---- configuration --------------------------------------------------------------------------- */

#define CONFIG_HEAD "wharf-shim 2"

static const struct {
    const char *key;
    size_t offset;
    bool number; /* uint64_t, else const char * */
} config_keys[] = {
    { "state-root", offsetof(struct shim_config, state_root), false },
    { "generation", offsetof(struct shim_config, generation), true },
    { "rows", offsetof(struct shim_config, rows), true },
    { "columns", offsetof(struct shim_config, columns), true },
    { "tty", offsetof(struct shim_config, tty), true },
    { "open-stdin", offsetof(struct shim_config, open_stdin), true },
    { "stdin-once", offsetof(struct shim_config, stdin_once), true },
    { "auto-remove", offsetof(struct shim_config, auto_remove), true },
    { "log-driver", offsetof(struct shim_config, log_driver), true },
    { "log-max-size", offsetof(struct shim_config, log_max_size), true },
    { "log-max-files", offsetof(struct shim_config, log_max_files), true },
    { "log-compress", offsetof(struct shim_config, log_compress), true },
    { "log-buffer", offsetof(struct shim_config, log_buffer), true },
    { "log-attrs", offsetof(struct shim_config, log_attrs), false },
    { "owner", offsetof(struct shim_config, owner), true },
    { "name", offsetof(struct shim_config, name), false },
    { "attributes", offsetof(struct shim_config, attributes), false },
    { "policy", offsetof(struct shim_config, policy), true },
    { "policy-max", offsetof(struct shim_config, policy_max), true },
    { "lower", offsetof(struct shim_config, lower), false },
    { "network", offsetof(struct shim_config, network), false },
    { "health", offsetof(struct shim_config, health), false },
    { "health-interval", offsetof(struct shim_config, health_interval_ms), true },
    { "health-timeout", offsetof(struct shim_config, health_timeout_ms), true },
    { "health-start", offsetof(struct shim_config, health_start_ms), true },
    { "health-start-interval", offsetof(struct shim_config, health_start_interval_ms), true },
    { "health-retries", offsetof(struct shim_config, health_retries), true },
};

static void config_encode(const struct shim_config *config, struct buf *b)
{
    buf_add(b, CONFIG_HEAD, sizeof(CONFIG_HEAD));
    for (size_t i = 0; i < ARRAY_SIZE(config_keys); i++) {
        const char *at = (const char *)config + config_keys[i].offset;

        if (config_keys[i].number)
            buf_printf(b, "%s=%" PRIu64, config_keys[i].key, *(const uint64_t *)at);
        else
            buf_printf(b, "%s=%s", config_keys[i].key,
                       *(const char *const *)at ? *(const char *const *)at : "");
        buf_char(b, '\0');
    }
    buf_char(b, '\0');
    buf_add(b, config->spec, config->spec_len);
}

int shim_config_seal(const struct shim_config *config)
{
    autobuf struct buf b = BUF(SHIM_CONFIG_MAX);

    config_encode(config, &b);
    if (b.error)
        return b.error;
    autoclose int fd = memfd_create("wharf-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    int r = fd_write_all(fd, b.data, b.len);
    if (r < 0)
        return r;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return -errno;
    return take_fd(&fd);
}

static int config_set(struct shim_config *config, const char *line)
{
    for (size_t i = 0; i < ARRAY_SIZE(config_keys); i++) {
        const char *rest = str_after(line, config_keys[i].key);
        char *at = (char *)config + config_keys[i].offset;

        if (!rest || *rest != '=')
            continue;
        if (config_keys[i].number)
            return parse_u64(rest + 1, 0, UINT64_MAX, (uint64_t *)at);
        *(const char **)at = rest + 1;
        return 0;
    }
    return -EBADMSG;
}

int shim_config_decode(const char *text, size_t len, struct shim_config *ret)
{
    static const char empty[] = "";
    struct shim_config config = { .state_root = empty };
    const char *p = text, *end = text + len;

    if (len < sizeof(CONFIG_HEAD) || memcmp(text, CONFIG_HEAD, sizeof(CONFIG_HEAD)) != 0)
        return -EBADMSG;
    for (p += sizeof(CONFIG_HEAD); p < end && *p; p += strlen(p) + 1) {
        if (config_set(&config, p) < 0)
            return -EBADMSG;
    }
    if (p >= end || !*config.state_root)
        return -EBADMSG;
    for (size_t i = 0; i < ARRAY_SIZE(config_keys); i++) {
        const char **at = (const char **)((char *)&config + config_keys[i].offset);

        if (!config_keys[i].number && !*at)
            *at = empty;
    }
    config.spec = p + 1;
    config.spec_len = (size_t)(end - config.spec);
    *ret = config;
    return 0;
}

/* ---- files of numbers ------------------------------------------------------------------------ */

#define NUMBERS_MAX 8

/* None is synced to the disk: they must outlive processes, not the machine. After a power cut the
 * container counts as ended with an unknown status, which is true. */
static int numbers_write(int dirfd, const char *name, const int64_t *number, size_t count)
{
    char line[NUMBERS_MAX * 21 + 1];
    size_t len = 0;

    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(line + len, sizeof(line) - len, "%" PRId64 "%c", number[i],
                                i + 1 < count ? ' ' : '\n');
    return file_replace(dirfd, name, line, len, 0600, false);
}

static int numbers_read(int dirfd, const char *name, int64_t *ret, size_t count)
{
    autofree char *text = NULL;
    ssize_t n = file_read(dirfd, name, NUMBERS_MAX * 21 + 1, &text);
    char *p = text;

    if (n < 0)
        return (int)n;
    for (size_t i = 0; i < count; i++) {
        char *stop = strchr(p, i + 1 < count ? ' ' : '\n');

        if (!stop)
            return -EBADMSG;
        *stop = '\0';
        if (parse_i64(p, INT64_MIN, INT64_MAX, &ret[i]) < 0)
            return -EBADMSG;
        p = stop + 1;
    }
    return *p ? -EBADMSG : 0;
}

int shim_exit_write(int dirfd, const struct shim_exit *s)
{
    int64_t n[] = { (int64_t)s->generation, s->code,   s->finished_ns,
                    s->oom_killed,          s->manual, s->restarts };

    return numbers_write(dirfd, SHIM_EXIT_FILE, n, ARRAY_SIZE(n));
}

int shim_exit_read(int dirfd, struct shim_exit *ret)
{
    int64_t n[6];
    int r = numbers_read(dirfd, SHIM_EXIT_FILE, n, ARRAY_SIZE(n));

    if (r == 0)
        *ret = (struct shim_exit){ (uint64_t)n[0], n[1], n[2], n[3], n[4], n[5] };
    return r;
}

int shim_state_write(int dirfd, const struct shim_state *s)
{
    int64_t n[] = { (int64_t)s->generation, s->phase,       s->pid,  s->restarts,
                    s->started_ns,          s->finished_ns, s->code, s->health };

    return numbers_write(dirfd, SHIM_STATE_FILE, n, ARRAY_SIZE(n));
}

int shim_state_read(int dirfd, const char *path, struct shim_state *ret)
{
    int64_t n[8];
    int r = numbers_read(dirfd, path, n, ARRAY_SIZE(n));

    if (r == 0)
        *ret = (struct shim_state){ (uint64_t)n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7] };
    return r;
}

#define EXEC_NAME_MAX (sizeof(SHIM_EXEC_DIR) + 80)
static void exec_name(char name[EXEC_NAME_MAX], const char *id)
{
    snprintf(name, EXEC_NAME_MAX, SHIM_EXEC_DIR "/%.64s.state", id);
}

int shim_exec_write(int dirfd, const char *id, const struct shim_exec *s)
{
    int64_t n[] = { s->running, s->pid, s->code, s->ended_ns };
    char name[EXEC_NAME_MAX];

    exec_name(name, id);
    return numbers_write(dirfd, name, n, ARRAY_SIZE(n));
}

int shim_exec_read(int dirfd, const char *id, struct shim_exec *ret)
{
    char name[EXEC_NAME_MAX];
    int64_t n[4];

    exec_name(name, id);
    int r = numbers_read(dirfd, name, n, ARRAY_SIZE(n));
    if (r == 0)
        *ret = (struct shim_exec){ n[0], n[1], n[2], n[3] };
    return r;
}
