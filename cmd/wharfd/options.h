/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of wharfd: one table of what dockerd can be told, by a flag, in daemon.json or
 * both, with what wharfd does about it. The configuration itself is one JSON object, a daemon.json
 * in which flags, file and defaults have come together.
 *
 *     options_parse(argc, argv, &flags, &what, &e);
 *     options_load(flags, &config, &e);               reads the file that they name; also on SIGHUP
 *     options_text(config, "data-root")
 *
 * Nothing that is asked for is dropped in silence: it is honoured, refused, or told in a warning to
 * be without effect, with the reason.
 */
#ifndef WHARFD_OPTIONS_H
#define WHARFD_OPTIONS_H

#include "base/json.h"

#define CONFIG_FILE_DEFAULT "/etc/wharf/daemon.json"
#define CONFIG_SIZE_MAX     (1u << 20)

enum option_kind {
    OPTION_BOOL,
    OPTION_TEXT,
    OPTION_INT,
    OPTION_SIZE, /* bytes, with a unit; kept as they were written */
    OPTION_LIST, /* strings; a flag may be repeated */
    OPTION_MAP,  /* strings by name; a flag says NAME=VALUE */
    OPTION_TREE, /* in the file alone, any JSON of the type in `fallback` */
};

enum option_effect {
    EFFECT_START,   /* honoured when the daemon starts */
    EFFECT_RELOAD,  /* also on SIGHUP */
    EFFECT_NONE,    /* accepted without effect; `note` tells why */
    EFFECT_REFUSED, /* any value but the default is refused; `note` tells why */
};

struct option {
    const char *flag; /* without "--"; NULL: in the file alone */
    char letter;
    const char *key; /* in the file; NULL: a flag alone */
    enum option_kind kind;
    enum option_effect effect;
    const char *fallback; /* text, or JSON of lists, maps and trees; NULL: absent */
    const char *word;     /* of its value, in help */
    const char *help, *note;
};

extern const struct option option_table[]; /* ended by a NULL help */

enum options_what { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_VERSION, OPTIONS_VALIDATE };

/* What the command line says, as an object of the keys (a flag without a key has its own name). */
int options_parse(int argc, char **argv, json_t **ret_flags, enum options_what *ret_what,
                  struct wharf_error *e);
/* Flags, the file that they name, and defaults. -EINVAL with dockerd's texts: unknown directives,
 * or one that both flag and file say. */
int options_load(const json_t *flags, json_t **ret, struct wharf_error *e);
/* Calls `tell` for what is set and has no effect. */
void options_warn(const json_t *config, void (*tell)(const char *text));
void options_help(void);

const char *options_text(const json_t *config, const char *key); /* NULL: absent or "" */
bool options_bool(const json_t *config, const char *key);
int64_t options_int(const json_t *config, const char *key);

#endif
