/* SPDX-License-Identifier: Apache-2.0 */
/* One load at work; the story is in load.c. */
#ifndef LIBIMAGE_LOAD_H
#define LIBIMAGE_LOAD_H

#include "libimage/index.h"
#include "libimage/layer.h"
#include "libimage/members.h"

struct found {
    char media_type[96];
    struct digest digest; /* of a manifest or index */
    int64_t size;
    char **names;
};

struct load {
    const char *what;
    struct image_load_options options;
    struct reporter reporter;
    struct intake in;
    struct members members;
    struct found *found;
    size_t count;
};
void load_done(struct load *l);

#endif
