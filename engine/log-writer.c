/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See log-writer.h. The hot path: a block that was read from a pipe is scanned once for line ends,
 * each line is escaped straight into `out`, and `out` goes to the file with one write per block.
 * Lines that are whole inside the block are never copied elsewhere; the clock is read once per
 * block.
 */
#include "engine/log-writer.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "base/fd.h"
#include "base/str.h"

/* Worst case of one byte escaped: \u00XX; of the text around a line: keys, stream, time. */
#define ESCAPE_MAX 6
#define FRAME_MAX  128
#define PIECE      2048 /* escaped at a time: PIECE * ESCAPE_MAX fits into `out` */

void log_time(char stamp[LOG_TIME_MAX], int64_t ns)
{
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm tm;
    size_t n =
        gmtime_r(&seconds, &tm) ? strftime(stamp, LOG_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm) : 0;

    snprintf(stamp + n, LOG_TIME_MAX - n, ".%09uZ", (unsigned)(ns % 1000000000));
}

static int log_open_file(struct log_writer *w)
{
    struct stat st;

    w->fd = openat(w->dir, w->name, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (w->fd < 0 || fstat(w->fd, &st) < 0)
        return -errno;
    w->size = (uint64_t)st.st_size;
    return 0;
}

void log_name(char name[LOG_NAME_MAX], const char *id, enum log_driver driver)
{
    snprintf(name, LOG_NAME_MAX,
             driver == LOG_DRIVER_LOCAL ? "local-logs/container.log" : "%.64s-json.log", id);
}

int log_writer_open(struct log_writer *w, int dir, const char *name, const struct log_options *o)
{
    char last = '\n';

    /* member by member: clearing the whole would touch every page of it */
    w->dir = dir;
    w->fd = -1;
    w->max_size = o->max_size;
    w->max_files = MIN(MAX(o->max_files, (uint64_t)1), (uint64_t)LOG_FILES_LIMIT);
    w->attrs = o->attrs;
    w->error = 0;
    w->part[LOG_STDOUT].len = w->part[LOG_STDERR].len = w->out_len = 0;
    snprintf(w->name, sizeof(w->name), "%s", name);
    int r = log_open_file(w);
    if (r < 0)
        return r;
    if (w->size > 0 && pread(w->fd, &last, 1, (off_t)w->size - 1) == 1 && last != '\n')
        return fd_write_all(w->fd, "\n", 1);
    return 0;
}

static void log_flush(struct log_writer *w)
{
    int r = w->out_len > 0 ? fd_write_all(w->fd, w->out, w->out_len) : 0;

    if (r < 0)
        w->error = r;
    else
        w->size += w->out_len;
    w->out_len = 0;
}

/* NAME.(n-1) -> NAME.n ... NAME -> NAME.1, the oldest first; the last one falls off. */
static void log_rotate(struct log_writer *w)
{
    char from[LOG_NAME_MAX + 16], to[LOG_NAME_MAX + 16];

    w->fd = fd_close(w->fd);
    if (w->max_files == 1)
        unlinkat(w->dir, w->name, 0);
    for (unsigned n = (unsigned)w->max_files - 1; n > 0; n--) {
        snprintf(to, sizeof(to), "%s.%u", w->name, n);
        if (n == 1)
            snprintf(from, sizeof(from), "%s", w->name);
        else
            snprintf(from, sizeof(from), "%s.%u", w->name, n - 1);
        renameat(w->dir, from, w->dir, to);
    }
    int r = log_open_file(w);
    if (r < 0)
        w->error = r;
}

static char *log_room(struct log_writer *w, size_t len)
{
    if (w->out_len + len > sizeof(w->out))
        log_flush(w);
    return w->out + w->out_len;
}

static void log_text(struct log_writer *w, const char *s, size_t len)
{
    memcpy(log_room(w, len), s, len);
    w->out_len += len;
}

/* Bytes that stand for themselves, as Go's encoder has it (< > & are escaped). */
static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

/* How many bytes of `s` make one valid UTF-8 character; 0: none. */
static size_t utf8_length(const unsigned char *s, size_t len)
{
    size_t want = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;

    return want && want <= len && utf8_valid((const char *)s, want) ? want : 0;
}

/* Escapes one character at `s` to `out`; returns its length in `s` and adds to *out_len. */
static size_t escape_one(const unsigned char *s, size_t len, char *out, size_t *out_len)
{
    static const char hex[] = "0123456789abcdef";
    static const char letters[] =
        "\"\"\\\\\nn\rr\tt"; /* pairs: byte, letter behind the backslash */
    unsigned char c = s[0];

    for (size_t i = 0; i + 1 < sizeof(letters); i += 2) {
        if (c == (unsigned char)letters[i]) {
            memcpy(out, (char[]){ '\\', letters[i + 1] }, 2);
            *out_len += 2;
            return 1;
        }
    }
    if (c < 0x80) {
        memcpy(out, (char[]){ '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] }, 6);
        *out_len += 6;
        return 1;
    }
    size_t n = utf8_length(s, len);
    bool separator = n == 3 && s[0] == 0xe2 && s[1] == 0x80 && (s[2] == 0xa8 || s[2] == 0xa9);
    if (n == 0 || separator) {
        memcpy(out, n == 0 ? "\\ufffd" : s[2] == 0xa8 ? "\\u2028" : "\\u2029", 6);
        *out_len += 6;
        return MAX(n, (size_t)1);
    }
    memcpy(out, s, n);
    *out_len += n;
    return n;
}

static void log_escaped(struct log_writer *w, const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text, *end = s + len;

    while (s < end) {
        const unsigned char *stop = (size_t)(end - s) > PIECE ? s + PIECE : end;
        char *out = log_room(w, (PIECE + 4) * ESCAPE_MAX);
        size_t n = 0;

        while (s < stop) {
            const unsigned char *plain = s;

            while (s < stop && is_plain(*s))
                s++;
            memcpy(out + n, plain, (size_t)(s - plain));
            n += (size_t)(s - plain);
            if (s < stop)
                s += escape_one(s, (size_t)(end - s), out + n, &n);
        }
        w->out_len += n;
    }
}

/* One record: `head` and `tail` are the two parts of its text. */
static void log_record(struct log_writer *w, enum log_stream stream, const struct log_part *head,
                       const char *tail, size_t tail_len)
{
    static const char *const frames[] = { "\",\"stream\":\"stdout\",\"time\":\"",
                                          "\",\"stream\":\"stderr\",\"time\":\"" };

    if (w->max_size > 0 && w->size + w->out_len >= w->max_size && w->size + w->out_len > 0) {
        log_flush(w);
        log_rotate(w);
    }
    log_text(w, "{\"log\":\"", 8);
    log_escaped(w, head->text, head->len);
    log_escaped(w, tail, tail_len);
    log_text(w, frames[stream], strlen(frames[stream]));
    log_text(w, w->stamp, strlen(w->stamp));
    log_text(w, "\"}\n", 3);
}

static void log_stamp(struct log_writer *w)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    log_time(w->stamp, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
}

void log_writer_add(struct log_writer *w, enum log_stream stream, const char *data, size_t len)
{
    struct log_part *part = &w->part[stream];
    const char *end = data + len;

    log_stamp(w);
    while (data < end) {
        size_t room = MIN((size_t)(end - data), LOG_LINE_MAX - part->len);
        const char *newline = memchr(data, '\n', room);
        size_t take = newline ? (size_t)(newline - data) + 1 : room;

        if (newline || part->len + take == LOG_LINE_MAX) {
            log_record(w, stream, part, data, take);
            part->len = 0;
        } else {
            memcpy(part->text + part->len, data, take);
            part->len += take;
        }
        data += take;
    }
    log_flush(w);
}

const char *log_writer_part(const struct log_writer *w, enum log_stream stream, size_t *ret_len)
{
    *ret_len = w->part[stream].len;
    return w->part[stream].text;
}

void log_writer_flush(struct log_writer *w)
{
    log_flush(w);
}

void log_writer_close(struct log_writer *w)
{
    log_stamp(w);
    for (enum log_stream s = LOG_STDOUT; s <= LOG_STDERR; s++) {
        if (w->part[s].len > 0)
            log_record(w, s, &w->part[s], NULL, 0);
        w->part[s].len = 0;
    }
    log_flush(w);
    w->fd = fd_close(w->fd);
}
