/* SPDX-License-Identifier: Apache-2.0 */
/* JSON to messages and back: see convert.h. Both ways are recursive; depth is bounded by the JSON
 * reader (JSON_LIMITS) and by CHAN_DEPTH_MAX. */
#include "cmd/chan/convert.h"

#include <inttypes.h>
#include "base/str.h"

static int nibble(char c)
{
    const char *digits = "0123456789abcdef", *p = c ? strchr(digits, c) : NULL;

    return p ? (int)(p - digits) : -1;
}

static int put_hex(struct chan_msg *m, const char *hex)
{
    size_t n = strlen(hex) / 2;
    autofree uint8_t *bytes = malloc(n + 1);

    if (!bytes || strlen(hex) % 2)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        int high = nibble(hex[2 * i]), low = nibble(hex[2 * i + 1]);

        if (high < 0 || low < 0)
            return -EINVAL;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return chan_put_bin(m, bytes, n);
}

static int put_time(struct chan_msg *m, const char *text)
{
    const char *dot = strchr(text, '.');
    autofree char *whole = dot ? strndup(text, (size_t)(dot - text)) : strdup(text);
    uint64_t nsec = 0;
    int64_t sec;

    if (!whole || parse_i64(whole, INT64_MIN, INT64_MAX, &sec) < 0 ||
        (dot && (strlen(dot + 1) != 9 || parse_u64(dot + 1, 0, 999999999, &nsec) < 0)))
        return -EINVAL;
    return chan_put_time(m, sec, (uint32_t)nsec);
}

static int put_object(struct chan_msg *m, const json_t *j)
{
    const json_t *bin = json_object_get(j, "$bin"), *time = json_object_get(j, "$time");
    const char *key;
    json_t *value;
    int r;

    if (json_object_size(j) == 1 && json_is_string(bin))
        return put_hex(m, json_string_value(bin));
    if (json_object_size(j) == 1 && json_is_string(time))
        return put_time(m, json_string_value(time));
    r = chan_put_map(m, (unsigned)json_object_size(j));
    json_object_foreach ((json_t *)j, key, value) {
        if (r == 0)
            r = chan_put_str(m, key);
        if (r == 0)
            r = convert_from_json(m, value);
    }
    return r;
}

int convert_from_json(struct chan_msg *m, const json_t *j)
{
    const json_t *value;
    size_t i;
    int r;

    switch (json_typeof(j)) {
    case JSON_OBJECT:
        return put_object(m, j);
    case JSON_ARRAY:
        r = chan_put_array(m, (unsigned)json_array_size(j));
        json_array_foreach (j, i, value)
            if (r == 0)
                r = convert_from_json(m, value);
        return r;
    case JSON_STRING:
        return chan_put_strn(m, json_string_value(j), json_string_length(j));
    case JSON_INTEGER:
        return chan_put_int(m, json_integer_value(j));
    case JSON_REAL:
        return chan_put_double(m, json_real_value(j));
    case JSON_TRUE:
    case JSON_FALSE:
        return chan_put_bool(m, json_is_true(j));
    default:
        return chan_put_nil(m);
    }
}

static void scalar(struct chan_value v, struct buf *b)
{
    int64_t i = 0;
    uint64_t u = 0;
    uint32_t nsec = 0;
    double d = 0;
    bool flag = false;

    switch (chan_kind_of(v)) {
    case CHAN_BOOL:
        chan_get_bool(v, &flag);
        buf_str(b, flag ? "true" : "false");
        break;
    case CHAN_INT:
        chan_get_int(v, &i);
        buf_printf(b, "%" PRId64, i);
        break;
    case CHAN_UINT:
        chan_get_uint(v, &u);
        buf_printf(b, "%" PRIu64, u);
        break;
    case CHAN_DOUBLE:
        chan_get_double(v, &d);
        if (d - d == 0)
            buf_printf(b, "%.17g", d);
        else
            buf_str(b, "null"); /* JSON has no infinity */
        break;
    case CHAN_TIME:
        chan_get_time(v, &i, &nsec);
        buf_printf(b, "{\"$time\":\"%" PRId64 ".%09u\"}", i, nsec);
        break;
    default:
        buf_str(b, "null");
    }
}

static void hex(struct chan_value v, struct buf *b)
{
    const void *data = NULL;
    size_t len = 0;
    char *room;

    chan_get_bin(v, &data, &len);
    buf_str(b, "{\"$bin\":\"");
    room = buf_reserve(b, 2 * len + 1);
    if (room) {
        hex_encode(data, len, room);
        b->len += 2 * len;
    }
    buf_str(b, "\"}");
}

static void container(struct chan_value v, bool map, struct buf *b)
{
    size_t n = chan_count(v);
    struct chan_value at = chan_first(v);

    buf_char(b, map ? '{' : '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_char(b, ',');
        if (map && chan_kind_of(at) == CHAN_STR) {
            convert_to_json(at, b);
        } else if (map) { /* JSON wants text as key */
            autobuf struct buf key = BUF(b->max);

            convert_to_json(at, &key);
            buf_json(b, key.data, key.len);
        }
        if (map) {
            buf_char(b, ':');
            at = chan_next(at);
        }
        convert_to_json(at, b);
        at = chan_next(at);
    }
    buf_char(b, map ? '}' : ']');
}

void convert_to_json(struct chan_value v, struct buf *b)
{
    const char *text = NULL;
    size_t len = 0;

    switch (chan_kind_of(v)) {
    case CHAN_STR:
        chan_get_str(v, &text, &len);
        buf_json(b, text, len);
        break;
    case CHAN_BIN:
        hex(v, b);
        break;
    case CHAN_MAP:
    case CHAN_ARRAY:
        container(v, chan_kind_of(v) == CHAN_MAP, b);
        break;
    case CHAN_TX:
        buf_str(b, "{\"$sender\":0}");
        break;
    case CHAN_RX:
        buf_str(b, "{\"$receiver\":0}");
        break;
    case CHAN_FD:
        buf_str(b, "{\"$fd\":0}");
        break;
    default:
        scalar(v, b);
    }
}
