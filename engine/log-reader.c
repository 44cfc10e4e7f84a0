/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See log-reader.h. This is the one place that reads JSON without base/json.h: `logs` of a large
 * file is a hot path, the form is three known members, and everything that does not fit is passed
 * over. The reader opens the oldest file that it needs and walks towards the newest by number; a
 * rotation under its feet shows as a current file with another inode than the one it holds.
 */
#include "engine/log-reader.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "base/fd.h"
#include "base/str.h"

#define READ_SIZE (128u << 10)

struct log_reader {
    int dir, fd;
    char name[LOG_NAME_MAX];
    unsigned number;   /* of the file that is open: 0 the current one, 1 NAME.1, ... */
    ino_t inode;       /* of the current one */
    size_t start, end; /* what is read and not given out: data[start..end) */
    char data[LOG_RECORD_MAX + READ_SIZE];
};

/* ---- one record ------------------------------------------------------------------------------ */

static int hex4(const char *s, unsigned *ret)
{
    unsigned value = 0;

    for (int i = 0; i < 4; i++) {
        char c = s[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                                : 16;
        if (digit == 16)
            return -EBADMSG;
        value = value << 4 | digit;
    }
    *ret = value;
    return 0;
}

static char *put_utf8(char *out, unsigned c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
        *out++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *out++ = (char)(0xe0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    } else {
        *out++ = (char)(0xf0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 0x3f));
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    }
    return out;
}

/* \uXXXX at *p (behind the u), with a low surrogate behind a high one. */
static int decode_u(const char **p, const char *end, char **out)
{
    unsigned c, low;

    if (end - *p < 4 || hex4(*p, &c) < 0)
        return -EBADMSG;
    *p += 4;
    if (c >= 0xd800 && c < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u' &&
        hex4(*p + 2, &low) == 0 && low >= 0xdc00 && low < 0xe000) {
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        *p += 6;
    }
    *out = put_utf8(*out, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
    return 0;
}

/* A JSON string that begins at *p (behind the quote), decoded in place; *p ends behind its closing
 * quote. */
static int decode_string(char **p, const char *end, char **ret, size_t *ret_len)
{
    static const char pairs[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    char *out = *p;
    const char *in = *p;

    *ret = out;
    while (in < end && *in != '"') {
        const char *stop = in;

        while (stop < end && *stop != '"' && *stop != '\\')
            stop++;
        if (out != in)
            memmove(out, in, (size_t)(stop - in));
        out += stop - in;
        in = stop;
        if (in >= end || *in == '"')
            break;
        if (end - in < 2)
            return -EBADMSG;
        char c = in[1];
        in += 2;
        if (c == 'u') {
            if (decode_u(&in, end, &out) < 0)
                return -EBADMSG;
            continue;
        }
        const char *pair = c ? pairs : NULL;
        while (pair && *pair && *pair != c)
            pair += 2;
        if (!pair || !*pair)
            return -EBADMSG;
        *out++ = pair[1];
    }
    if (in >= end)
        return -EBADMSG;
    *ret_len = (size_t)(out - *ret);
    *p += in + 1 - *p;
    return 0;
}

static bool skip(char **p, const char *end, char c)
{
    if (*p >= end || **p != c)
        return false;
    (*p)++;
    return true;
}

/* Passes over a value that is no string, such as the object of "attrs". */
static int skip_value(char **p, const char *end)
{
    int depth = 0;
    char *text;
    size_t len;

    for (; *p < end; (*p)++) {
        char c = **p;

        if (c == '"') {
            (*p)++;
            if (decode_string(p, end, &text, &len) < 0)
                return -EBADMSG;
            (*p)--;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']' || c == ',') && depth == 0) {
            return 0;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return -EBADMSG;
}

static bool is_word(const char *s, size_t len, const char *word)
{
    return len == strlen(word) && memcmp(s, word, len) == 0;
}

static int parse_member(char **p, const char *end, struct log_record *ret)
{
    char *key, *value;
    size_t key_len, len;

    if (!skip(p, end, '"') || decode_string(p, end, &key, &key_len) < 0 || !skip(p, end, ':'))
        return -EBADMSG;
    if (!skip(p, end, '"'))
        return skip_value(p, end);
    if (decode_string(p, end, &value, &len) < 0)
        return -EBADMSG;
    if (is_word(key, key_len, "log")) {
        ret->text = value;
        ret->len = len;
    } else if (is_word(key, key_len, "stream")) {
        ret->stream = is_word(value, len, "stderr") ? LOG_STDERR : LOG_STDOUT;
    } else if (is_word(key, key_len, "time")) {
        ret->time = value;
        ret->time_len = len;
    }
    return 0;
}

int log_record_parse(char *line, size_t len, struct log_record *ret)
{
    struct log_record record = { .stream = LOG_STDOUT };
    char *p = line;
    const char *end = line + len;

    if (!skip(&p, end, '{'))
        return -EBADMSG;
    do {
        if (parse_member(&p, end, &record) < 0)
            return -EBADMSG;
    } while (skip(&p, end, ','));
    if (!skip(&p, end, '}') || p != end || !record.text || !record.time)
        return -EBADMSG;
    if (log_time_parse(record.time, record.time_len, &record.time_ns) < 0)
        return -EBADMSG;
    *ret = record;
    return 0;
}

/* `count` digits at *s, which must lie before `end`. */
static bool digits(const char **s, const char *end, int count, int *ret)
{
    int value = 0;

    for (; count > 0; count--, (*s)++) {
        if (*s >= end || **s < '0' || **s > '9')
            return false;
        value = value * 10 + (**s - '0');
    }
    *ret = value;
    return true;
}

/* "Z" or "+hh:mm" up to `end`; seconds east of Greenwich. */
static bool zone(const char *s, const char *end, int *ret)
{
    int hours, minutes, sign = s < end && *s == '-' ? -1 : 1;

    *ret = 0;
    if (end - s == 1 && *s == 'Z')
        return true;
    if (end - s != 6 || (*s != '+' && *s != '-') || s[3] != ':')
        return false;
    s++;
    if (!digits(&s, end, 2, &hours) || !(s++, digits(&s, end, 2, &minutes)))
        return false;
    *ret = sign * (hours * 3600 + minutes * 60);
    return true;
}

int log_time_parse(const char *text, size_t len, int64_t *ret_ns)
{
    static const char separators[] = "--T::";
    const char *s = text, *end = text + len;
    int part[6], offset;
    int64_t ns = 0;

    for (int i = 0; i < 6; i++) {
        if (!digits(&s, end, i == 0 ? 4 : 2, &part[i]))
            return -EINVAL;
        if (i < 5 && (s >= end || *s++ != separators[i]))
            return -EINVAL;
    }
    if (s < end && *s == '.') {
        int64_t unit = 100000000;

        for (s++; s < end && *s >= '0' && *s <= '9'; s++, unit /= 10)
            ns += unit * (*s - '0');
    }
    if (!zone(s, end, &offset) || part[1] < 1 || part[1] > 12)
        return -EINVAL;
    struct tm tm = { .tm_year = part[0] - 1900,
                     .tm_mon = part[1] - 1,
                     .tm_mday = part[2],
                     .tm_hour = part[3],
                     .tm_min = part[4],
                     .tm_sec = part[5] };
    *ret_ns = ((int64_t)timegm(&tm) - offset) * 1000000000 + ns;
    return 0;
}

/* ---- files ----------------------------------------------------------------------------------- */

static int open_number(struct log_reader *r, unsigned number)
{
    char name[LOG_NAME_MAX + 16];

    snprintf(name, sizeof(name), number ? "%s.%u" : "%s", r->name, number);
    int fd = openat(r->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

/* Makes `number` the file that is read, from `offset` on. */
static int reader_use(struct log_reader *r, unsigned number, off_t offset)
{
    struct stat st;
    int fd = open_number(r, number);

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0 || lseek(fd, offset, SEEK_SET) < 0) {
        int code = -errno;
        fd_close(fd);
        return code;
    }
    fd_close(r->fd);
    r->fd = fd;
    r->number = number;
    r->inode = st.st_ino;
    return 0;
}

static unsigned oldest_number(struct log_reader *r)
{
    unsigned n = 0;

    for (; n < LOG_FILES_LIMIT; n++) {
        autoclose int fd = open_number(r, n + 1);

        if (fd < 0)
            break;
    }
    return n;
}

/* Where the `*tail`-th last line of `fd` begins; lines that it has fewer are left in *tail. */
static off_t tail_offset(struct log_reader *r, int fd, uint64_t *tail)
{
    off_t at = lseek(fd, 0, SEEK_END), end = at;

    while (at > 0) {
        size_t want = (size_t)MIN(at, (off_t)READ_SIZE);
        ssize_t n = pread(fd, r->data, want, at - (off_t)want);

        if (n != (ssize_t)want)
            return 0;
        at -= n;
        for (ssize_t i = n - 1; i >= 0; i--) {
            if (r->data[i] == '\n' && at + i + 1 != end && --*tail == 0)
                return at + i + 1;
        }
    }
    if (end > 0)
        --*tail;
    return 0;
}

static int reader_seek_tail(struct log_reader *r, uint64_t tail)
{
    for (unsigned number = 0;; number++) {
        autoclose int fd = open_number(r, number);

        if (fd < 0)
            return number == 0 ? 0 : reader_use(r, number - 1, 0);
        if (tail == 0)
            return reader_use(r, number, lseek(fd, 0, SEEK_END));
        off_t offset = tail_offset(r, fd, &tail);
        if (tail == 0)
            return reader_use(r, number, offset);
    }
}

int log_reader_open(struct log_reader **ret, int dir, const char *name, enum log_driver driver,
                    uint64_t tail)
{
    struct log_reader *r = malloc(sizeof(*r));

    if (!r)
        return -ENOMEM;
    r->dir = dir;
    r->fd = -1;
    r->number = 0;
    r->inode = 0;
    r->start = r->end = 0;
    snprintf(r->name, sizeof(r->name), "%s", name);
    int code =
        tail == LOG_TAIL_ALL ? reader_use(r, oldest_number(r), 0) : reader_seek_tail(r, tail);
    if (code < 0 && code != -ENOENT) {
        log_reader_close(r);
        return code;
    }
    *ret = r;
    return 0;
}

void log_reader_close(struct log_reader *r)
{
    if (!r)
        return;
    fd_close(r->fd);
    free(r);
}

/* At the end of a file: is there a newer one? 1: it is open now; 0: no. */
static int reader_advance(struct log_reader *r)
{
    struct stat st;

    if (r->fd < 0)
        return reader_use(r, 0, 0) == 0;
    if (r->number > 0)
        return reader_use(r, r->number - 1, 0) == 0;
    if (fstatat(r->dir, r->name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_ino == r->inode)
        return 0;
    return reader_use(r, 0, 0) == 0;
}

/* More bytes behind data[end): 1, 0 at the end for now, -errno. */
static int reader_fill(struct log_reader *r)
{
    if (r->start > 0) {
        memmove(r->data, r->data + r->start, r->end - r->start);
        r->end -= r->start;
        r->start = 0;
    }
    if (r->end >= LOG_RECORD_MAX) /* no record of ours is that long: forget what there is of it */
        r->end = 0;
    for (;;) {
        ssize_t n = r->fd < 0 ? 0 : read(r->fd, r->data + r->end, READ_SIZE);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n > 0) {
            r->end += (size_t)n;
            return 1;
        }
        if (!reader_advance(r))
            return 0;
        r->end = 0; /* an unfinished line of the old file will never be finished */
    }
}

int log_reader_next(struct log_reader *r, struct log_record *ret)
{
    for (;;) {
        char *line = r->data + r->start;
        char *newline = memchr(line, '\n', r->end - r->start);

        if (!newline) {
            int code = reader_fill(r);
            if (code <= 0)
                return code;
            continue;
        }
        r->start += (size_t)(newline - line) + 1;
        if (log_record_parse(line, (size_t)(newline - line), ret) == 0)
            return 1;
    }
}
