/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Static field tables: one description of a struct that parses it from JSON, writes it back, sets
 * one field by its path, and tells what there is (for manuals and tests that walk every field).
 *
 *     struct limit { struct opt_i64 limit; char *name; };
 *     static const struct field limit_fields[] = {
 *         FIELD(struct limit, "limit", FIELD_OPT_I64, limit),
 *         FIELD(struct limit, "name", FIELD_STR, name, .flags = FIELD_REQUIRED),
 *         FIELD_END
 *     };
 *
 * All memory comes from an arena and goes with it. Errors name the path: "linux.devices[2].major".
 */
#ifndef BASE_FIELDS_H
#define BASE_FIELDS_H

#include "base/arena.h"
#include "base/json.h"

/* Scalars that may be absent. */
struct opt_i64 {
    bool set;
    int64_t value;
};
struct opt_u64 {
    bool set;
    uint64_t value;
};
struct opt_bool {
    bool set;
    bool value;
};

/* Lists: LIST_OF(struct mount) mounts -> mounts.items[i], mounts.count. Every list has this layout.
 */
#define LIST_OF(type)                                                                              \
    struct {                                                                                       \
        type *items;                                                                               \
        size_t count;                                                                              \
    }
typedef LIST_OF(char *) field_strings; /* FIELD_STRINGS */

struct field_pair { /* an entry of FIELD_STRING_MAP */
    char *key, *value;
};
typedef LIST_OF(struct field_pair) field_pairs;

enum field_type {
    FIELD_BOOL, /* bool; absent = false */
    FIELD_OPT_BOOL,
    FIELD_I64, /* int64_t; absent = 0 */
    FIELD_U64, /* uint64_t */
    FIELD_U32, /* uint32_t */
    FIELD_OPT_I64,
    FIELD_OPT_U64,
    FIELD_ENUM,       /* int or uint32_t: the value of a word of `words`; absent = 0 */
    FIELD_FLAGS,      /* uint64_t: the or of the words of a list of strings */
    FIELD_STR,        /* char *, NULL when absent; with `words`, one of them */
    FIELD_STRINGS,    /* field_strings */
    FIELD_ARRAY,      /* LIST_OF(numbers, enumerations or FIELD_STRINGS): of the type `item` */
    FIELD_SET,        /* field_strings: the keys of an object whose values are empty objects */
    FIELD_STRING_MAP, /* field_pairs, in the document's order */
    FIELD_EMBED,      /* struct inside this one, described by `fields` */
    FIELD_STRUCT,     /* struct * (from the arena), NULL when absent; described by `fields` */
    FIELD_LIST,       /* LIST_OF(struct); elements of `size` bytes described by `fields` */
    FIELD_MAP, /* LIST_OF(struct): a JSON object of structs; the key goes into their FIELD_KEY */
    FIELD_KEY, /* char *: inside an element of a FIELD_MAP, its key; not read as a member */
    FIELD_PRESENT, /* bool: the member stands in the document; goes before the row that reads it */
    FIELD_REFUSED, /* known but of another platform: an error if present */
    FIELD_TYPES
};

enum {
    FIELD_REQUIRED = 1u << 0,
    FIELD_STRICT = 1u << 1,   /* structs: a member that is not in `fields` is an error */
    FIELD_NONEMPTY = 1u << 2, /* a string or list that may not be empty */
    FIELD_ONE = 1u << 3,      /* strings: a list of one may be given as that one */
    FIELD_BARE = 1u << 4,     /* maps: a value is not an object of members but the one member */
};

/* A closed set of strings. The last entry has name NULL. */
struct field_word {
    const char *name;
    int64_t value;
};

struct field {
    const char *name;
    enum field_type type, item; /* item: of an ARRAY */
    unsigned flags;
    size_t offset;
    const struct field *fields;     /* EMBED, STRUCT, LIST, MAP */
    size_t size;                    /* of that struct */
    const struct field_word *words; /* ENUM, FLAGS, STR */
    int64_t min, max;               /* numbers; both 0: the type's range */
};

#define FIELD(type_, name_, kind_, member_, ...)                                                   \
    {                                                                                              \
        .name = (name_), .type = (kind_), .offset = offsetof(type_, member_), __VA_ARGS__          \
    }
#define FIELD_END                                                                                  \
    {                                                                                              \
        .name = NULL                                                                               \
    }

/* The most elements that a list or map may have. */
#define FIELDS_LIST_MAX 65536

/* Fills `out` (zeroed by the caller) from the JSON object; `path` is where it stands in the
 * document, "" at the top. Unknown members are ignored, but for FIELD_STRICT; null is as good as
 * absent, as Go's programs write it. 0, or -EINVAL / -ENOMEM. */
int fields_read(const struct field *fields, json_t *object, const char *path, struct arena *arena,
                void *out, struct wharf_error *e);

/* Gives members whose names match a row's but for case that row's name, at any depth, as Go's
 * decoder would take them; two members of one row are an error. 0, -EINVAL, -ENOMEM. */
int fields_fold_case(const struct field *fields, json_t *object, struct wharf_error *e);

/* The reverse: absent fields are left out. NULL when out of memory. */
json_t *fields_write(const struct field *fields, const void *in);

/* The same with every row: what is absent is 0, false, "", or null, as Go's encoder writes it. */
json_t *fields_write_all(const struct field *fields, const void *in);

/* Copies into `written` those members of the document it came from that the table does not know,
 * at any depth. Elements of lists correspond by their index. 0 or -ENOMEM. */
int fields_keep_unknown(const struct field *fields, json_t *written, json_t *document);

/* Tells whether every required string is there, in a struct that was not read but built: 0, or
 * -EINVAL with the field's path. */
int fields_check(const struct field *fields, const void *in, struct wharf_error *e);

/* Sets one field by its path: "memory.limit", "devices[0].major", "env[+]" (appends),
 * "annotations.org.example.key" (all that follows a string map is its key), "rdma[mlx5_0.1]" (an
 * entry of a map). Structs on the way are made. Numbers may carry a size unit, flags are separated
 * by commas, a whole list or struct is given as JSON. On failure nothing has changed.
 * 0, -EINVAL, -ENOMEM. */
int fields_set(const struct field *fields, void *in, const char *path, const char *value,
               struct arena *arena, struct wharf_error *e);

/* The word's value: 0, or -EINVAL. And back: NULL if none. */
int field_word_find(const struct field_word *words, const char *name, int64_t *ret);
const char *field_word_name(const struct field_word *words, int64_t value);

#endif
