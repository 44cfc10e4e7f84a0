/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes on, for people: a line an id, redrawn in place, on a terminal; elsewhere a plain line a
 * step, as docker prints it, without the counting in between.
 */
#ifndef WHARF_PROGRESS_H
#define WHARF_PROGRESS_H

#include <stdio.h>
#include "image.h"

enum { PROGRESS_LINES = 128 };

struct progress {
    FILE *out;
    bool terminal;
    size_t count;
    char ids[PROGRESS_LINES][72];
};
void progress_init(struct progress *p, FILE *out);
/* An image_tell; `arg` is the struct progress. */
int progress_tell(const struct image_message *message, void *arg);

#endif
