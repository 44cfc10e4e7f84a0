/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that write config.json share: pieces of JSON text, and the parts of the document.
 * Each part begins with a comma unless it says otherwise. */
#ifndef ENGINE_OCI_INTERNAL_H
#define ENGINE_OCI_INTERNAL_H

#include "engine/oci.h"
#include "engine/security.h"

/* oci-text.c: `"text"`, `,"key":"value"`, `,"key":[..]`, `,"key":{..}` */
void put_string(struct buf *b, const char *s);
void put_member(struct buf *b, const char *key, const char *value);
void put_list(struct buf *b, const char *key, const char *const *items, size_t count);
void put_pairs(struct buf *b, const char *key, const field_pairs *pairs);

/* oci-process.c: the object "process", without a comma */
int put_process(const struct oci_input *in, const struct oci_exec *exec,
                const struct security *security, struct arena *arena, struct buf *b,
                struct wharf_error *e);

/* oci-mounts.c */
int put_mounts(const struct oci_input *in, const struct security *security, struct arena *arena,
               struct buf *b, struct wharf_error *e);

/* oci-linux.c */
int put_linux(const struct oci_input *in, const struct security *security, struct buf *b,
              struct wharf_error *e);

static inline bool mode_is(const char *mode, const char *word)
{
    return mode && strcmp(mode, word) == 0;
}

#endif
