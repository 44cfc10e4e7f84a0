/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict JSON reading, on jansson (the one JSON library of the project). Everything that comes from
 * outside is read here: size and depth have limits, duplicate keys are refused (also keys that
 * differ only by case where `fold_case` is set, for readers whose peers match keys without regard
 * to case), strings must be UTF-8 without NUL, integers are exact 64-bit.
 *
 * jansson's integers are signed. Where `wide` is set, an integer from 2^63 to 2^64-1 (such as the
 * 18446744073709551615 of an unlimited rlimit) is kept as well: as a string that starts with NUL,
 * which no string of a document can be. json_u64 and json_is_text tell them apart, json_write
 * writes them as the numbers they are.
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
    bool wide;      /* accept integers from 2^63 to 2^64-1, see above */
};

/* What most documents get. */
#define JSON_LIMITS ((struct json_limits){ .size = 4u << 20, .depth = 64 })

/* Parses `text`; `what` names the document in messages. 0 and a tree in *ret (json_decref it), or
 * -EINVAL (with line and column), -EFBIG, -ENOMEM. */
int json_read(const char *text, size_t len, struct json_limits limits, const char *what,
              json_t **ret, struct wharf_error *e);

/* The text, made by json_dumps with `flags`; free() it. NULL when out of memory. */
char *json_write(const json_t *tree, size_t flags);

/* An integer that is not negative: 0, or -EINVAL (no integer), -ERANGE (negative). */
int json_u64(const json_t *value, uint64_t *ret);
json_t *json_new_u64(uint64_t value);

/* True for a string, and not for a wide integer, which looks like one. */
bool json_is_text(const json_t *value);

/* Go's decoder, and so docker, matches names without regard to case: the member of that name, or
 * NULL; and the name as it is written there. Documents are read with fold_case, so there is one. */
json_t *json_member_nocase(const json_t *object, const char *name);
const char *json_key_nocase(const json_t *object, const char *name);

/* Absent, null, false, 0, "", [] or {}: what Go calls the zero value. */
bool json_is_empty(const json_t *value);

/* Whether an object of strings has "key", or "key=value" (a label filter). */
bool json_has_pair(const json_t *object, const char *wanted);

static inline void auto_json_decref(json_t **j)
{
    json_decref(*j);
}
#define autojson __attribute__((cleanup(auto_json_decref)))

#endif
