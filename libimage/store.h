/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store on disk, and what comes into it.
 *
 *     ROOT/oci-layout, index.json, blobs/ALG/HEX     a plain OCI image layout
 *     ROOT/layers/sha256/HEX                         an unpacked layer, by the hex of its chain id
 *     ROOT/layers/roots/NAME                         text: the manifest digest that root NAME uses
 *     ROOT/layers/tmp/XXXX/                          one intake at work
 *     ROOT/layers/lease, ROOT/layers/index           lock files (flock)
 *     ROOT/layers/unpack, ROOT/layers/fetch          lock files: a byte a layer or blob at work
 *     ROOT/layers/partial/DIGEST                     what came of a blob before a pull broke off
 *
 * Locks. `lease`: shared by every intake and every preparation of a root, exclusive for collection
 * and sweeping; whoever holds it exclusively knows that nobody is at work and that everything in
 * tmp is a leftover. `index`: exclusive around read-change-replace of index.json. Order: lease,
 * index. Both die with their process.
 *
 * An INTAKE gathers blobs and unpacked layers in its own directory in tmp. intake_publish notes
 * them (pending.h), then renames them to their places; only then may index.json name them. A kill
 * at any moment leaves tmp leftovers, or whole blobs that nothing names: both are collected.
 */
#ifndef LIBIMAGE_STORE_H
#define LIBIMAGE_STORE_H

#include <stdatomic.h>
#include "libimage/document.h"

struct image_store {
    char *path;
    int root, layers, temporary, roots; /* directories; layers: ROOT/layers/sha256 */
    int private;                        /* ROOT/layers */
    struct image_limits limits;
    enum image_devices devices;
    int threads;
    bool durable;    /* see pending.h */
    bool user_xattr; /* not in the first user namespace: user.overlay.* instead of trusted.* */
};

/* `operation` as for flock(2). A descriptor that holds the lock, -EWOULDBLOCK, or -errno. */
int store_lock(struct image_store *store, const char *name, int operation);
/* Locks one layer or blob for whoever works on it: a byte of the file `name`, at the first 60 bits
 * of the digest, by the descriptor in *lock, which is opened if it is negative; all its locks go
 * when it is closed. Without `wait`: -EWOULDBLOCK when somebody else has it. 0 or -errno. */
int store_lock_content(struct image_store *store, const char *name, const struct digest *digest,
                       bool wait, int *lock);
/* Removes leftovers in tmp; the caller holds the lease exclusively. */
int store_sweep(struct image_store *store);
/* Reads a whole blob and checks it. */
int store_read_blob(struct image_store *store, int staging, const struct digest *digest, size_t max,
                    char **ret, size_t *ret_len, struct wharf_error *e);
/* Opens a blob: in the staging directory (-1: none), then in the store. -ENOENT. */
int store_open_blob(struct image_store *store, int staging, const struct digest *digest);
/* Removes an unpacked layer, by the hex of its chain id; a kill leaves it whole or a leftover. */
int store_drop_layer(struct image_store *store, const char *hex);
bool store_has_layer(struct image_store *store, const char *chain_id);

struct intake {
    struct image_store *store;
    int lease;
    int unpacking; /* holds the locks of the layers it unpacks; -1: none yet */
    int fetching;  /* the same of the blobs it downloads */
    int dir;       /* blobs, by the text of their digest; layers below `layer-HEX` */
    char name[32];
    char **blobs;  /* to be published */
    char **layers; /* hex of chain ids, to be published */
    atomic_uint serial;
};
int intake_begin(struct intake *in, struct image_store *store, struct wharf_error *e);
/* A new file of the intake: its descriptor, and its name for intake_name_blob or unlinkat. */
enum { INTAKE_NAME_MAX = 32 };
int intake_create(struct intake *in, char name[INTAKE_NAME_MAX], struct wharf_error *e);
int intake_name_blob(struct intake *in, const char *name, const struct digest *digest);
/* Adds bytes as a blob at once. */
int intake_add_blob(struct intake *in, const void *data, size_t len, struct digest *ret,
                    struct wharf_error *e);
int intake_want_blob(struct intake *in, const struct digest *digest);
int intake_want_layer(struct intake *in, const char *hex);
int intake_publish(struct intake *in, struct wharf_error *e);
/* Opens the tree of an unpacked layer, O_PATH, from the intake (NULL: none) or the store. */
int layer_open_tree(struct image_store *store, const struct intake *in, const char *chain_id);
/* Drops what was not published and the lease; takes a zeroed one (store NULL). Then collects, if
 * somebody wanted to meanwhile. */
void intake_end(struct intake *in);

#endif
