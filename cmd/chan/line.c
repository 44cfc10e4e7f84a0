/* SPDX-License-Identifier: Apache-2.0 */
/* A line is read as the one item of an array, for a bare number or text is a message too. */
#include "cmd/chan/line.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"
#include "cmd/chan/convert.h"

#define LINE_MAX_BYTES (16u << 20)

void line_print(struct chan_value v)
{
    autobuf struct buf b = BUF(LINE_MAX_BYTES * 4);

    convert_to_json(v, &b);
    buf_char(&b, '\n');
    if (!b.error) {
        fwrite(b.data, 1, b.len, stdout);
        fflush(stdout);
    }
}

int line_read(struct chan_msg *m, struct wharf_error *e)
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

void copy_bytes(int from, int to)
{
    char bytes[16384];
    ssize_t n;

    while ((n = read(from, bytes, sizeof(bytes))) > 0) {
        if (fd_write_all(to, bytes, (size_t)n) < 0)
            return;
    }
}
