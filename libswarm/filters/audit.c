/* SPDX-License-Identifier: Apache-2.0 */
#include "libswarm/filters/audit.h"

#include <fcntl.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include "base/buf.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"

#define HASH_TEXT (2 * SHA256_DIGEST_LENGTH + 1)

struct audit {
    pthread_mutex_t lock;
    char *path;
    int fd;
    uint64_t seq, size;
    char previous[HASH_TEXT];
};

static void hash_line(const char *line, size_t len, char ret[HASH_TEXT])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];

    SHA256((const unsigned char *)line, len, digest);
    hex_encode(digest, sizeof digest, ret);
}

static int open_file(struct audit *a, struct wharf_error *e)
{
    a->fd = open(a->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (a->fd < 0)
        return err_sys(e, "cannot open '%s'", a->path);
    if (flock(a->fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? err_set(e, -EBUSY, WHARF_ERROR_CONFLICT,
                                              "'%s': another process writes it", a->path)
                                    : err_sys(e, "cannot lock '%s'", a->path);
    return 0;
}

/* Continues the chain from the end of the file. */
static int find_end(struct audit *a, struct wharf_error *e)
{
    char tail[2 * AUDIT_LINE_MAX + 2]; /* a whole line and half a one */
    struct stat st;
    ssize_t n;

    if (fstat(a->fd, &st) < 0)
        return err_sys(e, "cannot look at '%s'", a->path);
    a->size = (uint64_t)st.st_size;
    if (!a->size)
        return 0;
    off_t from = st.st_size > (off_t)sizeof tail - 1 ? st.st_size - (off_t)sizeof tail + 1 : 0;
    n = pread(a->fd, tail, sizeof tail - 1, from);
    if (n <= 0)
        return err_sys(e, "cannot read '%s'", a->path);
    tail[n] = '\0';
    char *newline = strrchr(tail, '\n');
    size_t torn = strlen(newline ? newline + 1 : tail); /* written by halves: nothing came of it */
    if (torn && ftruncate(a->fd, (off_t)(a->size -= torn)) < 0)
        return err_sys(e, "cannot shorten '%s'", a->path);
    if (!newline)
        return 0;
    *newline = '\0';
    newline = strrchr(tail, '\n');
    const char *line = newline ? newline + 1 : tail;
    const char *seq = strstr(line, "{\"seq\":");

    hash_line(line, strlen(line), a->previous);
    if (seq)
        sscanf(seq + 7, "%" SCNu64, &a->seq);
    return 0;
}

int audit_open(struct audit **ret, const char *path, struct wharf_error *e)
{
    struct audit *a = calloc(1, sizeof *a);
    int r;

    if (!a)
        return err_nomem(e);
    a->fd = -1;
    pthread_mutex_init(&a->lock, NULL);
    memset(a->previous, '0', HASH_TEXT - 1);
    a->path = strdup(path);
    r = a->path ? open_file(a, e) : err_nomem(e);
    if (r == 0)
        r = find_end(a, e);
    if (r < 0) {
        audit_close(a);
        return r;
    }
    *ret = a;
    return 0;
}

void audit_close(struct audit *a)
{
    if (!a)
        return;
    fd_close(a->fd);
    pthread_mutex_destroy(&a->lock);
    free(a->path);
    free(a);
}

static int rotate(struct audit *a, struct wharf_error *e)
{
    autofree char *old = str_format("%s.1", a->path);

    if (!old)
        return err_nomem(e);
    if (rename(a->path, old) < 0)
        return err_sys(e, "cannot rename '%s'", a->path);
    a->fd = fd_close(a->fd);
    a->size = 0;
    return open_file(a, e);
}

static void add_member(struct buf *b, const char *name, const char *value)
{
    buf_printf(b, ",\"%s\":", name);
    buf_json(b, value, MIN(strlen(value), 512u));
}

static void add_time(struct buf *b)
{
    struct timespec now;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    buf_printf(b, ",\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ\"", tm.tm_year + 1900,
               tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec);
}

static const char *object_of(const struct message *m)
{
    const char *id = message_string(m, "id");

    return id ? id : message_string(m, "name") ? message_string(m, "name") : "";
}

static int append(struct audit *a, struct buf *b, struct wharf_error *e)
{
    ssize_t n;

    if (b->error)
        return err_code(e, b->error, "'%s': a line is too long", a->path);
    n = write(a->fd, b->data, b->len);
    if (n != (ssize_t)b->len) {
        if (n > 0 && ftruncate(a->fd, (off_t)a->size) < 0) /* half a line would break the chain */
            n = -1;
        return err_sys(e, "cannot write '%s'", a->path);
    }
    a->size += b->len;
    a->seq++;
    hash_line(b->data, b->len - 1, a->previous);
    return 0;
}

int audit_write(struct audit *a, const struct message *m, bool allowed, const char *reason,
                struct wharf_error *e)
{
    autobuf struct buf b = BUF(AUDIT_LINE_MAX);
    int r = 0;

    pthread_mutex_lock(&a->lock);
    if (a->size > AUDIT_SIZE_MAX)
        r = rotate(a, e);
    if (r == 0) {
        buf_printf(&b, "{\"seq\":%" PRIu64, a->seq + 1);
        add_time(&b);
        add_member(&b, "principal", m->principal.name);
        buf_printf(&b, ",\"pid\":%d", (int)m->principal.pid);
        add_member(&b, "connection", m->connection ? m->connection : "");
        add_member(&b, "operation", m->op->name);
        add_member(&b, "object", object_of(m));
        add_member(&b, "decision", allowed ? "allow" : "deny");
        add_member(&b, "reason", reason);
        add_member(&b, "previous", a->previous);
        buf_str(&b, "}\n");
        r = append(a, &b, e);
    }
    pthread_mutex_unlock(&a->lock);
    return r;
}

int audit_verify(const char *path, uint64_t *ret_lines, struct wharf_error *e)
{
    char previous[HASH_TEXT] = { 0 }, line[AUDIT_LINE_MAX + 2];
    autofree char *expected = NULL;
    uint64_t lines = 0;
    FILE *f = fopen(path, "re");

    if (!f)
        return err_sys(e, "cannot open '%s'", path);
    while (fgets(line, sizeof line, f)) {
        size_t len = strcspn(line, "\n");

        line[len] = '\0';
        lines++;
        free(expected);
        expected = str_format("\"previous\":\"%s\"}", previous);
        if (!expected || (lines > 1 && !str_ends(line, expected))) {
            fclose(f);
            return err_set(e, -EBADMSG, WHARF_ERROR_CORRUPT,
                           "'%s': line %" PRIu64 " does not follow from the line before", path,
                           lines);
        }
        hash_line(line, len, previous);
    }
    fclose(f);
    *ret_lines = lines;
    return 0;
}
