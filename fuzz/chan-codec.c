/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the body of a message: checked, then walked by cursor and copied value by value. */
#include "libchan/message.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(struct chan_value v, size_t values)
{
    for (; values; values--, v = chan_next(v)) {
        enum chan_kind kind = chan_kind_of(v);
        const void *p;
        size_t len;
        int64_t n;
        double d;

        chan_get_bin(v, &p, &len);
        chan_get_int(v, &n);
        chan_get_double(v, &d);
        chan_get(v, "key");
        if (kind == CHAN_MAP || kind == CHAN_ARRAY)
            walk(chan_first(v), chan_count(v) * (kind == CHAN_MAP ? 2 : 1));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct chan_msg *m = chan_msg_new(), *copy = chan_msg_new();
    const char *fault = NULL;
    uint8_t *room = m ? msg_reserve(m, size) : NULL;

    if (room && copy) {
        if (size)
            memcpy(room, data, size);
        m->len = (uint32_t)size;
        if (msg_check(m, &(struct body_limits){ 64, true }, &fault) == 0) {
            walk(chan_root(m), 1);
            chan_put_value(copy, chan_root(m));
        }
    }
    chan_msg_free(copy);
    chan_msg_free(m);
    return 0;
}
