/* SPDX-License-Identifier: Apache-2.0 */
/* What a container changed of its image's files, in the order of a walk: a directory, then what is
 * in it. */
#ifndef ENGINE_CHANGES_H
#define ENGINE_CHANGES_H

#include "engine/internal.h"

enum change { CHANGE_MODIFIED, CHANGE_ADDED, CHANGE_DELETED }; /* docker's numbers */

struct changed {
    char *path; /* absolute */
    enum change kind;
    bool opaque; /* a directory that hides what the layers below have in it */
};
struct changes {
    struct changed *items;
    size_t count, room;
};

int changes_collect(struct engine *en, const struct record *r, struct changes *ret,
                    struct wharf_error *e);
void changes_done(struct changes *c);

#endif
