/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pull at work. Documents first (registry-manifest.c), then the blobs that the store lacks, side
 * by side on one multi handle (registry-download.c), while threads unpack the layers behind them
 * (registry-unpack.c); at last all is published as a load is (registry-pull.c).
 *
 * What an endpoint may do to us is bounded: a document by IMAGE_DOCUMENT_MAX, a blob by the size in
 * its descriptor (the byte behind it ends the transfer), redirects, headers and tries by the limits
 * of registry-http.h. Blobs that one mirror gave are kept when the next endpoint takes over: they
 * were verified, whoever served them.
 */
#ifndef LIBIMAGE_REGISTRY_PULL_H
#define LIBIMAGE_REGISTRY_PULL_H

#include <stdatomic.h>
#include "libimage/growing.h"
#include "libimage/index.h"
#include "libimage/layer.h"
#include "libimage/registry-client.h"

struct pull {
    const char *reference; /* as the caller wrote it */
    struct image_reference ref;
    struct image_remote_options options;
    struct image_store *store;
    struct intake in;
    struct reporter reporter;
    struct remote remote;
    bool greeted; /* people were told what is pulled */
    /* what index.json will name, and the image */
    char media_type[96];
    struct digest top, manifest;
    int64_t top_size;
};

/* The manifest that the reference leads to; p->top and p->manifest name it. */
int pull_manifest(struct pull *p, struct document *ret, struct wharf_error *e);

/* ---- blobs ---- */

struct download {
    struct pull *pull;
    const struct descriptor *d;
    const char *url; /* of a foreign layer; NULL: the repository's */
    struct exchange x;
    struct hasher hasher;
    struct growing file; /* for whoever unpacks it meanwhile */
    int fd;
    int64_t have, told;
    int64_t settled; /* bytes that were there when tries were last counted from 0 */
    unsigned tries;
    int64_t not_before; /* now_ms */
    bool layer;         /* people are told of it */
    bool resumed;       /* began with what an earlier pull left */
    bool spoiled;       /* nothing of it may be kept for the next pull */
    bool looked;        /* at the answer's head */
    bool authorized;    /* a challenge was answered */
    enum { WAITING, RUNNING, DONE } state;
};

struct downloads {
    struct download *list;
    size_t count;
    atomic_int stop; /* set by another thread: a negative errno */
};
/* Those of the manifest's blobs, config (`layers` false) or layers, that the store lacks, and that
 * nobody else is fetching any more. */
int downloads_plan(struct downloads *l, struct pull *p, const struct document *manifest,
                   bool layers, struct wharf_error *e);
/* Runs them. -ECANCELED also when `stop` was set. */
int downloads_run(struct downloads *l, struct pull *p, struct wharf_error *e);
/* Who still reads gets an error. */
void downloads_fail(struct downloads *l, int fault);
void downloads_done(struct downloads *l);

/* Runs the downloads of an image's layers and unpacks them on the way. */
int pull_layers(struct pull *p, const struct document *manifest, struct wharf_error *e);

#endif
