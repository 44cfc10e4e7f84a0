/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's log as docker's json-file driver writes it: one object a line,
 * {"log":"text\n","stream":"stdout","time":"2026-11-23T19:39:34.809821558Z"}. A line of the
 * container above LOG_LINE_MAX is split; a part has no "\n". Bounded: past max_size the file
 * becomes NAME.1, that one NAME.2, and so on; at most max_files are kept. Used by the shim, which
 * has one writer; it holds its storage inside itself so that an idle shim has touched little
 * memory.
 */
#ifndef ENGINE_LOG_WRITER_H
#define ENGINE_LOG_WRITER_H

#include "base/macros.h"

#define LOG_LINE_MAX          16384
#define LOG_MAX_SIZE_DEFAULT  (20u << 20)
#define LOG_MAX_FILES_DEFAULT 5
#define LOG_FILES_LIMIT       1000
#define LOG_TIME_MAX          40

#define LOG_NAME_MAX     96
#define LOG_BUFFER_LIMIT (64u << 20) /* of max-buffer-size */

enum log_stream { LOG_STDOUT, LOG_STDERR };

enum log_driver { LOG_DRIVER_JSON, LOG_DRIVER_LOCAL, LOG_DRIVER_NONE };

/* The file's name in the container's directory. */
void log_name(char name[LOG_NAME_MAX], const char *id, enum log_driver driver);

struct log_options {
    enum log_driver driver;
    uint64_t max_size, max_files;
    bool compress;     /* what is rotated */
    uint64_t buffer;   /* bytes; not 0: beyond that, lines are dropped rather than waited for */
    const char *attrs; /* JSON object that goes with each line, kept by the caller; "": none */
};

struct log_part { /* a line that has not ended yet */
    size_t len;
    char text[LOG_LINE_MAX];
};

struct log_writer {
    int dir, fd;
    char name[LOG_NAME_MAX];
    uint64_t size, max_size, max_files;
    const char *attrs;
    int error; /* -errno of the last failed write: the log then misses lines, the container goes on
                */
    char stamp[LOG_TIME_MAX];
    struct log_part part[2];
    size_t out_len;
    char out[32768];
};

/* Opens or goes on with the file; a torn last line (its writer was killed) is ended. 0 or -errno.
 */
int log_writer_open(struct log_writer *w, int dir, const char *name,
                    const struct log_options *options);

/* Adds what the container wrote; everything that is a whole line is in the file afterwards. */
void log_writer_add(struct log_writer *w, enum log_stream stream, const char *data, size_t len);

/* The beginning of a line that has not ended: what is not in the file yet. */
const char *log_writer_part(const struct log_writer *w, enum log_stream stream, size_t *ret_len);
void log_writer_flush(struct log_writer *w);

/* Writes unfinished lines and closes. */
void log_writer_close(struct log_writer *w);

/* RFC 3339 in UTC with nine digits of a second. */
void log_time(char stamp[LOG_TIME_MAX], int64_t ns);

#endif
