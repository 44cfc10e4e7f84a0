/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person sees of a build. On a terminal, a line for each instruction, and below those that
 * run the last lines that they wrote; what is done scrolls away. Elsewhere, every line behind the
 * number of its instruction, in the order that things happen, so that it can be read and searched
 * later.
 */
#ifndef WHARF_BUILD_PROGRESS_H
#define WHARF_BUILD_PROGRESS_H

#include <stdbool.h>
#include <stdio.h>
#include "libimage/build/build.h"

enum {
    PROGRESS_TAIL = 4,    /* lines of output below a step that runs */
    PROGRESS_ACTIVE = 16, /* steps that are followed at a time */
    PROGRESS_LINE = 512,  /* bytes of a line that are kept */
};

struct progress_step {
    size_t number; /* 0: free */
    char text[PROGRESS_LINE];
    char tail[PROGRESS_TAIL][PROGRESS_LINE];
    size_t tails;
    char partial[PROGRESS_LINE]; /* a line that has not ended */
    size_t partial_len;
    bool cached;
    int64_t began_ns;
};

struct progress {
    FILE *out;
    bool terminal, quiet;
    int columns, drawn; /* lines below the last that stays */
    size_t done, total;
    int64_t began_ns;
    struct progress_step steps[PROGRESS_ACTIVE];
    /* the fault, for the end */
    int first, last;
    char id[IMAGE_DIGEST_MAX];
};

void progress_begin(struct progress *p, bool terminal, bool quiet);
void progress_event(const struct build_event *event, void *progress);
void progress_end(struct progress *p);

/* The lines of the Dockerfile around the fault, those of the instruction marked. */
void progress_show_fault(const struct progress *p, const char *name, const char *text, size_t len);

#endif
