/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict JSON reading, on jansson (the one JSON library of the project). Everything that comes from
 * outside is read here: size and depth have limits, duplicate keys are refused (also keys that
 * differ only by case where `fold_case` is set, for readers whose peers match keys without regard
 * to case), strings must be UTF-8 without NUL, integers are exact 64-bit.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <jansson.h>
#include "base/err.h"
#include "base/macros.h"

struct json_limits {
    size_t size;    /* bytes of text */
    unsigned depth; /* nesting */
    bool fold_case; /* refuse keys of one object that are equal without regard to ASCII case */
};

/* What most documents get. */
#define JSON_LIMITS ((struct json_limits){ .size = 4u << 20, .depth = 64 })

/* Parses `text`; `what` names the document in messages. 0 and a tree in *ret (json_decref it), or
 * -EINVAL (with line and column), -EFBIG, -ENOMEM. */
int json_read(const char *text, size_t len, struct json_limits limits, const char *what,
              json_t **ret, struct wharf_error *e);

static inline void auto_json_decref(json_t **j)
{
    json_decref(*j);
}
#define autojson __attribute__((cleanup(auto_json_decref)))

#endif
