/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: a log. Any bytes read as a line stay within it; any bytes written as output of a
 * container read back as the same text (with what is no UTF-8 replaced). */
#undef NDEBUG /* a fuzz target is its assertions, in every build */
#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"
#include "engine/log-reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(const uint8_t *data, size_t size)
{
    autofree char *line = malloc(size + 1);
    struct log_record record;

    assert(line);
    memcpy(line, data, size);
    if (log_record_parse(line, size, &record) == 0) {
        assert(record.text >= line && record.text + record.len <= line + size);
        assert(record.time >= line && record.time + record.time_len <= line + size);
    }
}

static void write_and_read(const uint8_t *data, size_t size)
{
    static struct log_writer writer;
    char name[] = "/tmp/wharf-fuzz-XXXXXX";
    autobuf struct buf back = BUF(1u << 20);
    struct log_reader *reader;
    struct log_record record;

    assert(mkdtemp(name));
    autoclose int dir = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert(log_writer_open(&writer, dir, "log", &(struct log_options){ .max_files = 1 }) == 0);
    log_writer_add(&writer, LOG_STDOUT, (const char *)data, size);
    log_writer_close(&writer);
    assert(writer.error == 0 &&
           log_reader_open(&reader, dir, "log", LOG_DRIVER_JSON, LOG_TAIL_ALL) == 0);
    while (log_reader_next(reader, &record) == 1)
        buf_add(&back, record.text, record.len);
    log_reader_close(reader);
    assert(path_remove_tree(AT_FDCWD, name) == 0);
    if (size <= LOG_LINE_MAX && utf8_valid((const char *)data, size))
        assert(back.len == size && (size == 0 || memcmp(back.data, data, size) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parse(data, size);
    if (size <= 1u << 16)
        write_and_read(data, size);
    return 0;
}
