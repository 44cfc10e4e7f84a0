/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Docker's list of containers, fast. Of each container the parts of its entry that only change with
 * its record are kept as text, and beside them what filters ask about; a list looks whether the
 * database has changed at all, reads the changed records again, asks the locks who still runs, and
 * copies text. The one part that time changes ("Up 5 minutes") is written anew.
 */
#ifndef ENGINE_LISTING_H
#define ENGINE_LISTING_H

#include "engine/internal.h"
#include "engine/mounts.h"

struct entry {
    struct record record; /* without `settings` and `mounts` */
    struct arena *arena;  /* of what follows */
    char *head, *tail;    /* JSON text: up to State; from Labels on, without the closing brace */
    field_pairs labels;
    field_strings exposed, published, networks; /* "80/tcp"; "80/tcp"; names */
    struct mounts mounts;
    bool watched; /* its shim restarts it or checks its health: the record does not tell all */
    struct entry *next; /* newest first */
};

struct listing; /* of an engine: en->listing, made by the first use */
void listing_free(struct listing *l);

/* filter.c: conditions of one list call, parsed once. */
struct filter;
int filter_parse(struct engine *en, struct principal who, const json_t *filters,
                 struct filter **ret, struct wharf_error *e);
void filter_free(struct filter *f);
DEFINE_AUTO(struct filter, filter_free)
bool filter_matches(const struct filter *f, const struct entry *entry);
bool filter_shows_stopped(const struct filter *f); /* without `all` being said */

/* "Up 5 minutes (healthy)", "Exited (0) 3 hours ago" */
void status_text(const struct record *r, int64_t now_ns, char *text, size_t size);

#endif
