/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads what log-writer.h wrote, and dockerd's json-file logs: from the first record, or from the
 * `tail`-th last; through the rotated files, oldest first; and on while the file grows or is
 * rotated. A line that is no record (torn by a kill, or foreign) is passed over.
 */
#ifndef ENGINE_LOG_READER_H
#define ENGINE_LOG_READER_H

#include "engine/log-writer.h"

#define LOG_TAIL_ALL   UINT64_MAX
#define LOG_RECORD_MAX (256u << 10) /* bytes of one line of the file */

struct log_record {
    enum log_stream stream;
    const char *text; /* decoded; belongs to the reader until the next call */
    size_t len;
    const char *time; /* as written, not ended by NUL */
    size_t time_len;
    int64_t time_ns;
};

struct log_reader;

/* Opens the log `name` in `dir`; one that does not exist yet is empty. 0 or -errno. */
int log_reader_open(struct log_reader **ret, int dir, const char *name, enum log_driver driver,
                    uint64_t tail);
void log_reader_close(struct log_reader *r);
DEFINE_AUTO(struct log_reader, log_reader_close)

/* The next record: 1, 0 at the end for now (call again after the file grew), -errno. */
int log_reader_next(struct log_reader *r, struct log_record *ret);

/* Parses one line without its newline; decodes the text in place. 0 or -EBADMSG. */
int log_record_parse(char *line, size_t len, struct log_record *ret);

/* RFC 3339 -> ns since the epoch: 0 or -EINVAL. Also without a fraction, and with an offset. */
int log_time_parse(const char *text, size_t len, int64_t *ret_ns);

#endif
