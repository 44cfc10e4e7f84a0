/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Dockerfile as stages of instructions. Syntax only: variables stand as they were written (they
 * depend on what runs before), names of stages and images are not resolved, no file is looked at.
 * Messages are dockerd's, behind "dockerfile parse error line N: ".
 */
#ifndef LIBIMAGE_BUILD_PARSE_H
#define LIBIMAGE_BUILD_PARSE_H

#include "libimage/build/lines.h"

enum { DOCKERFILE_STAGES_MAX = 1000 };

enum instruction_kind {
    INSTRUCTION_ADD,
    INSTRUCTION_ARG,
    INSTRUCTION_CMD,
    INSTRUCTION_COPY,
    INSTRUCTION_ENTRYPOINT,
    INSTRUCTION_ENV,
    INSTRUCTION_EXPOSE,
    INSTRUCTION_FROM,
    INSTRUCTION_HEALTHCHECK,
    INSTRUCTION_LABEL,
    INSTRUCTION_MAINTAINER,
    INSTRUCTION_ONBUILD,
    INSTRUCTION_RUN,
    INSTRUCTION_SHELL,
    INSTRUCTION_STOPSIGNAL,
    INSTRUCTION_USER,
    INSTRUCTION_VOLUME,
    INSTRUCTION_WORKDIR,
    INSTRUCTION_KINDS
};

/* Flags; a string that is not given is NULL. */
struct instruction_flags {
    const char *from, *chown, *chmod, *checksum, *platform, *network, *security;
    const char *interval, *timeout, *start_period, *start_interval, *retries;
    bool link, parents, keep_git_dir;
    const char *unpack; /* "true", "false", NULL: by what the source is */
    field_strings mounts, excludes;
};

struct instruction {
    enum instruction_kind kind;
    const char *text;      /* the whole logical line */
    const char *arguments; /* of it, what stands behind name and flags */
    struct span at;
    /* What the form of the instruction makes of its arguments: words, the strings of a JSON array,
     * pairs (ENV, LABEL: key, value, key, value..), or the text as the one and only. */
    char **args;
    size_t count;
    bool json;
    bool literal; /* its words are not to be expanded: it did not come from a Dockerfile */
    struct instruction_flags flags;
    field_strings flags_text; /* as they were written, quotes undone */
    heredocs docs;
};
typedef LIST_OF(struct instruction) instructions;

struct stage {
    const char *base, *name; /* name: lower case, NULL: none */
    struct instruction from;
    instructions body;
};

struct dockerfile {
    instructions args; /* ARG before the first FROM */
    LIST_OF(struct stage) stages;
    LIST_OF(struct warning) warnings;
    char escape;
    const char *syntax, *check;
};

/* All memory comes from the arena. On failure *ret_fault tells where. -EINVAL, -EFBIG, -ENOMEM. */
int dockerfile_parse(const char *text, size_t len, struct arena *arena, struct dockerfile *ret,
                     struct span *ret_fault, struct wharf_error *e);

/* The instructions of a trigger (ONBUILD in an image's configuration). */
int trigger_parse(const char *text, struct arena *arena, instructions *ret, struct wharf_error *e);

/* "COPY" */
const char *instruction_name(enum instruction_kind kind);

#endif
