/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests and indexes, OCI and Docker v2 schema 2, as they are read. [I manifest, image-index,
 * descriptor] The two families have the same members; what differs is the text of mediaType. A
 * document that could be taken for both kinds is refused: two readers would see two images.
 */
#ifndef LIBIMAGE_DOCUMENT_H
#define LIBIMAGE_DOCUMENT_H

#include "base/json.h"
#include "libimage/digest.h"

#define MEDIA_OCI         "application/vnd.oci."
#define MEDIA_DOCKER      "application/vnd.docker."
#define MEDIA_INDEX       MEDIA_OCI "image.index.v1+json"
#define MEDIA_MANIFEST    MEDIA_OCI "image.manifest.v1+json"
#define MEDIA_CONFIG      MEDIA_OCI "image.config.v1+json"
#define MEDIA_LAYER       MEDIA_OCI "image.layer.v1.tar"
#define MEDIA_LIST        MEDIA_DOCKER "distribution.manifest.list.v2+json"
#define MEDIA_MANIFEST_V2 MEDIA_DOCKER "distribution.manifest.v2+json"

#define ANNOTATION_REF  "org.opencontainers.image.ref.name"
#define ANNOTATION_NAME "io.containerd.image.name"

struct descriptor {
    struct digest digest;
    int64_t size;
    /* borrowed from the tree; "" where missing */
    const char *media_type;
    const char *architecture, *os, *variant;
    const char *ref_name, *image_name; /* the two annotations that name an image */
    json_t *json;
};

enum document_kind { DOCUMENT_MANIFEST, DOCUMENT_INDEX };

struct document {
    enum document_kind kind;
    const char *media_type;
    struct descriptor config; /* of a manifest */
    struct descriptor *items; /* layers, base first, or manifests */
    size_t count;
    json_t *tree;
};

/* `what` names the document in messages. */
int document_parse(struct document *ret, const char *text, size_t len, const char *what,
                   struct wharf_error *e);
void document_done(struct document *d);
#define autodocument __attribute__((cleanup(document_done)))

bool media_is_index(const char *media_type);
bool media_is_manifest(const char *media_type);

/* A string member, or "" when missing; NULL when it is no string. */
const char *json_text(json_t *object, const char *key);

/* The descriptor for this machine in an index: the first that fits it, the best variant; NULL:
 * none. Attestations (platform unknown/unknown) never fit; an entry without a platform always does.
 */
const struct descriptor *document_pick(const struct document *index);
/* This machine in the words of the specification. */
const char *platform_architecture(void);

#endif
