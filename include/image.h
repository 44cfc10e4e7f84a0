/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image.h - libimage: container images in a directory
 *
 * A STORE is a directory that is a plain OCI image layout (`oci-layout`, `index.json`, `blobs/`; so
 * skopeo, umoci and buildah can read it) plus `layers/`, which belongs to this library: unpacked
 * layers, temporaries and locks. Images come in from `docker save` archives (both forms), OCI
 * archives, OCI layouts and plain root-filesystem tars; they go out as the root of a container.
 *
 *     struct image_store *store;
 *     struct image *image;
 *     struct image_root *root;
 *     struct wharf_error e = { 0 };
 *     int mount;
 *
 *     image_store_open(&store, "/var/lib/wharf", NULL, &e);
 *     image_load_path(store, "alpine.tar", NULL, &e);
 *     image_open(store, "alpine:3.18", &image, &e);
 *     printf("runs %s as '%s'\n", image_info(image)->cmd[0], image_info(image)->user);
 *     image_root_prepare(store, image, "c1", container_dir, NULL, &root, &e);
 *     mount = image_root_mount(root, &e);                       // detached: nobody sees it yet
 *     move_mount(mount, "", AT_FDCWD, "/mnt", MOVE_MOUNT_F_EMPTY_PATH);
 *     image_root_free(root);
 *     image_root_release(store, "c1", &e);                      // when the container is removed
 *
 * Nouns. An IMAGE is a manifest, its configuration and its layers; its ID is the digest of the
 * configuration. A REFERENCE is what a person types: a name, a name@digest, an id, or the beginning
 * of an id. A ROOT is the root file system of one container: the unpacked layers of an image below
 * one writable directory. While a root has its name in the store, its image cannot be collected.
 *
 * Ownership. What a function hands out through `ret_x` belongs to the caller and is freed by the
 * function of that noun (image_free, ..). What hangs below a handle (image_info, image_root_info)
 * lives as long as the handle. Descriptors passed in stay the caller's. Out-parameters are
 * untouched on failure. Destructors take NULL.
 *
 * Threads and processes. No global state. A store handle may be used by several threads at once,
 * any other handle by one at a time. Any number of processes may work on one store: changes of
 * `index.json` are serialised by a file lock and made by rename; loads hold a lease (a shared lock
 * that dies with the process) which garbage collection respects. Whatever is killed at whatever
 * moment, the store stays whole: temporaries are swept by the next open that finds nobody at work.
 * Calls block; they never print, exit, change umask or directory, or wait for children. A callback
 * runs in the calling thread, except where it says otherwise.
 *
 * Errors. 0 or a count on success, a negative errno on failure; see wharf-error.h. -ECANCELED when
 * a callback asked to stop. A failed load, import or prepare leaves nothing behind.
 *
 * Trust. Nothing is believed: blobs are checked against digest and size, layers against their diff
 * id, before anything refers to them; entries of a layer never leave its directory (openat2 below a
 * descriptor); everything countable has a limit, below.
 *
 * Sections in brackets: [I] OCI image-spec 1.1, [D] the archive forms of docker, [O] the kernel's
 * Documentation/filesystems/overlayfs.rst.
 */
#ifndef IMAGE_H
#define IMAGE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "wharf-error.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

struct image_store;
struct image;
struct image_root;

/* ---- limits ---------------------------------------------------------------------------------- */

/* What a document may be. */
enum {
    IMAGE_DOCUMENT_MAX = 4 << 20, /* bytes of a manifest, index, config or archive member list */
    IMAGE_INDEX_MAX = 32 << 20,   /* bytes of index.json */
    IMAGE_LAYERS_MAX = 256,       /* layers of an image (overlayfs takes 500 [O]) */
    IMAGE_INDEX_DEPTH_MAX = 4,    /* indexes inside indexes */
    IMAGE_MEMBERS_MAX = 65536,    /* members of an image archive */
    IMAGE_NAME_MAX = 255,         /* registry host and repository together */
    IMAGE_TAG_MAX = 128,
    IMAGE_DIGEST_MAX = 137,  /* "sha512:" and 128 hexadecimal digits, ended by NUL: 136 */
    IMAGE_PATH_MAX = 4095,   /* bytes of a path in a layer */
    IMAGE_XATTR_MAX = 65536, /* bytes of one extended attribute */
};

/* What a layer may become; 0 in any field means its default. Passing one is WHARF_ERROR_LIMIT. */
struct image_limits {
    int64_t layer_bytes;   /* unpacked bytes of one layer, holes included; 64 GiB */
    int64_t layer_entries; /* entries of one layer; 4 000 000 */
    int64_t layer_devices; /* device nodes of one layer; 4096 */
    int64_t ratio;         /* unpacked bytes per compressed byte; 200 .. */
    int64_t ratio_after;   /* .. looked at only behind so many unpacked bytes; 256 MiB */
    int64_t archive_bytes; /* bytes of all members of an image archive; 512 GiB */
};

/* ---- store ----------------------------------------------------------------------------------- */

/* Device nodes in layers. A root shows them to a container, whose device filter decides. */
enum image_devices {
    IMAGE_DEVICES_MAKE = 0, /* make them; without the privilege: as SKIP */
    IMAGE_DEVICES_SKIP,     /* leave them out */
    IMAGE_DEVICES_REFUSE,   /* a layer with a device is an error */
};

struct image_store_options {
    size_t size; /* sizeof(struct image_store_options) */
    struct image_limits limits;
    enum image_devices devices;
    int threads; /* layers unpacked at a time; 0: as many as processors, at most 4 */
    /* What comes in is on the disk when the call returns. Without, the kernel writes it within the
     * minute; whoever opens the store after a power cut checks what came last, and removes what the
     * cut damaged. */
    int durable;
};

/* Opens the store in the directory `root`, made (0711) with all that belongs to it if it is
 * missing. `options` NULL: defaults. Sweeps what killed processes left, if nobody is at work.
 * Errors: -EINVAL (an `oci-layout` of another version), -errno of the file system. [I image-layout]
 */
int image_store_open(struct image_store **ret_store, const char *root,
                     const struct image_store_options *options, struct wharf_error *e);
void image_store_free(struct image_store *store);

/* ---- references ------------------------------------------------------------------------------ */

/* A name taken apart. Strings are empty where a part is missing. */
struct image_reference {
    char domain[IMAGE_NAME_MAX + 1]; /* docker.io, ghcr.io, localhost:5000 */
    char path[IMAGE_NAME_MAX + 1];   /* library/busybox */
    char tag[IMAGE_TAG_MAX + 1];
    char digest[IMAGE_DIGEST_MAX]; /* sha256:... */
};

/* Parses `[domain/]path[:tag][@digest]` as docker does: `busybox` is docker.io/library/busybox with
 * tag `latest`; the tag stays empty if only a digest is given. -EINVAL: no valid name (upper case
 * in the path, 64 hexadecimal digits alone, a malformed digest, too long). */
int image_reference_parse(struct image_reference *ret_reference, const char *text,
                          struct wharf_error *e);

enum { IMAGE_REFERENCE_MAX = IMAGE_NAME_MAX + 1 + IMAGE_TAG_MAX + 1 + IMAGE_DIGEST_MAX + 1 };

/* Writes a reference in full (`docker.io/library/busybox:latest`), or `short_form` as docker shows
 * it (`busybox:latest`). `text` holds IMAGE_REFERENCE_MAX bytes. */
void image_reference_format(const struct image_reference *reference, int short_form, char *text);

/* ---- images ---------------------------------------------------------------------------------- */

struct image_healthcheck {
    char **test; /* NULL: inherited. First word NONE, CMD or CMD-SHELL */
    int64_t interval_ns, timeout_ns, start_period_ns, start_interval_ns;
    int64_t retries;
};

struct image_pair {
    const char *key, *value;
};

/* An image as it stands in the store. Lists end with NULL (pairs: with a NULL key) and are never
 * NULL themselves; strings are empty where the configuration has nothing. [I config] */
struct image_info {
    const char *id;         /* sha256:... of the configuration */
    const char *digest;     /* sha256:... of the manifest */
    const char *media_type; /* of the manifest */
    char **names;           /* full names, docker.io/library/busybox:latest; none: dangling */

    const char *architecture, *os, *variant, *os_version;
    const char *created, *author, *comment; /* created: RFC 3339 as written */

    char **env, **entrypoint, **cmd, **shell, **onbuild;
    const char *user, *working_dir, *stop_signal;
    char **volumes, **exposed_ports;             /* "/data"; "80/tcp" */
    struct image_pair *labels;                   /* ends with a NULL key */
    const struct image_healthcheck *healthcheck; /* NULL: none */

    size_t layer_count;
    char **layer_digests; /* blobs, base first */
    char **layer_media_types;
    const int64_t *layer_sizes;
    char **diff_ids;  /* uncompressed, base first */
    char **chain_ids; /* keys of the unpacked layers, base first */
    int64_t size;     /* bytes of all blobs of the image */
};

/* Finds an image: by full or short name, name@digest, id (`sha256:` or bare, at least 3 digits,
 * unique), or digest of manifest or index; a name wins over an id. Of a multi-platform index, the
 * manifest for this machine (first match; a lower variant will do). [I image-index]
 * Errors: -ENOENT, -ENOTUNIQ (a prefix of several ids), -EINVAL, -EBADMSG (the store is damaged).
 */
int image_open(struct image_store *store, const char *reference, struct image **ret_image,
               struct wharf_error *e);
void image_free(struct image *image);
const struct image_info *image_info(const struct image *image);

/* The bytes of configuration and manifest, as stored, ended by NUL. */
const char *image_config(const struct image *image, size_t *ret_len);
const char *image_manifest(const struct image *image, size_t *ret_len);

/* Calls `visit` for each image that can run here, newest entry first; it may return 1 to stop, or a
 * negative errno, which is passed on. The image is freed when `visit` returns. Returns how many. */
typedef int (*image_visit)(const struct image *image, void *arg);
int image_list(struct image_store *store, image_visit visit, void *arg, struct wharf_error *e);

/* Gives the image that `reference` finds the further name `name`; whatever had that name loses it.
 * -EINVAL: `name` carries a digest or is none. */
int image_tag(struct image_store *store, const char *reference, const char *name,
              struct wharf_error *e);

enum image_removed { IMAGE_UNTAGGED, IMAGE_DELETED };

struct image_remove_options {
    size_t size;
    int force; /* although a root uses it (it stays until the root is released), or several names */
    /* What happened, in order: a full name untagged, an id deleted. May be NULL. */
    void (*removed)(enum image_removed what, const char *name_or_id, void *arg);
    void *arg;
};

/* Removes a name, and with its last name the image; by id: the image with all its names. What no
 * image, root or load in progress needs is deleted from the disk (at once, or, while another
 * process loads, when that ends).
 * Errors: -ENOENT, -EBUSY (a root uses it, or an id with several names, and not `force`). */
int image_remove(struct image_store *store, const char *reference,
                 const struct image_remove_options *options, struct wharf_error *e);

/* Deletes what nothing refers to: blobs, unpacked layers, temporaries. With `dangling` also images
 * without a name that no root uses. *ret_bytes (may be NULL): what it freed. -EAGAIN: a load is in
 * progress; it will collect when it ends. */
int image_collect(struct image_store *store, int dangling, int64_t *ret_bytes,
                  struct wharf_error *e);

/* ---- what people are told ---------------------------------------------------------------------- */

/* A step of a pull, push or load in the words that docker's clients show: one line of the Docker
 * API's progress stream. (`progress` callbacks are for programs, these are for people.) */
struct image_message {
    const char *id;         /* the first 12 digits of a layer, or a tag; NULL: about the whole */
    const char *status;     /* "Downloading"; NULL: see stream */
    const char *stream;     /* a line with its end, "Loaded image: a:b\n"; or NULL */
    int64_t current, total; /* bytes of this step; total 0: none are counted */
    const char *aux;        /* a JSON object for programs; or NULL */
};

/* Called with each message, never concurrently, perhaps from a thread of the library; non-zero
 * cancels. The message dies with the call. */
typedef int (*image_tell)(const struct image_message *message, void *arg);

/* The message as the line that goes down the wire, CRLF behind it. malloc'd; NULL: no memory. */
char *image_message_json(const struct image_message *message);

/* ---- coming in ------------------------------------------------------------------------------- */

enum image_step {
    IMAGE_STEP_READ,     /* bytes of the archive or layout read */
    IMAGE_STEP_UNPACK,   /* bytes of a layer unpacked; may be called from a thread of the library */
    IMAGE_STEP_COMMIT,   /* the disk is made to hold it */
    IMAGE_STEP_DOWNLOAD, /* bytes of a blob that came from a registry */
    IMAGE_STEP_UPLOAD,   /* bytes of a blob that went to one */
};

struct image_progress {
    enum image_step step;
    const char *what;    /* digest of the layer, or name of the member */
    int64_t done, total; /* bytes; total -1: not known */
};

struct image_load_options {
    size_t size;
    /* Called for each image that is in the store now, after it is there for good. May be NULL. */
    void (*loaded)(const struct image *image, void *arg);
    /* Called every few megabytes, never concurrently; non-zero cancels. May be NULL. */
    int (*progress)(const struct image_progress *progress, void *arg);
    void *arg;
    /* Repository of images whose archive tells a bare tag only (`oci-archive:x.tar:v1`); NULL: such
     * a word is taken for a name, as podman does. */
    const char *repository;
    int keep_packed; /* do not unpack layers now: image_root_prepare will (and check them then) */
    /* "Loading layer" and "Loaded image: NAME", the latter only if `quiet`. May be NULL. */
    image_tell tell;
    void *tell_arg;
    int quiet;
};

/* Loads every image of an archive or layout; the form is found by looking: the old and the new form
 * of `docker save` [D], an archive of an OCI layout, or the directory of one [I image-layout];
 * archives plain or compressed (gzip, zstd, bzip2, xz), members in any order. `fd` may be a pipe, a
 * file (read from its offset on) or a directory. Names that are in the store move to the new
 * images. Returns how many images. Errors: -EINVAL (not an image archive; the message says what is
 * wrong with which member), -EBADMSG (digest or size of a blob or layer is wrong), -ENODATA (cut
 * short), -EFBIG (a limit), -ECANCELED. */
int image_load(struct image_store *store, int fd, const struct image_load_options *options,
               struct wharf_error *e);
int image_load_path(struct image_store *store, const char *path,
                    const struct image_load_options *options, struct wharf_error *e);

struct image_import_options {
    size_t size;
    const char *name; /* of the new image; NULL: none */
    const char *const
        *changes;        /* Dockerfile lines (CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL
                            ONBUILD STOPSIGNAL USER VOLUME WORKDIR), ended by NULL; or NULL */
    const char *comment; /* in the history; NULL: "imported" */
    const char *architecture, *variant; /* NULL: this machine's */
    int64_t created;                    /* seconds since 1970 [SOURCE_DATE_EPOCH]; 0: now */
    int (*progress)(const struct image_progress *progress, void *arg);
    void *arg;
    /* The layer goes on top of this image's (a reference, or an id), and its configuration's
     * history and layers come before the new ones: `docker commit`. NULL: it stands alone. */
    const char *base;
    const char *config; /* the object "config" as JSON, before the changes; NULL: empty */
    const char *author, *created_by; /* in configuration and history; NULL: none */
};

/* Makes an image of one layer out of a tar of a root file system, plain or compressed; the bytes
 * given become the layer's blob unchanged. Errors as image_load. */
int image_import(struct image_store *store, int fd, const struct image_import_options *options,
                 struct image **ret_image, struct wharf_error *e);

/* ---- going out ------------------------------------------------------------------------------- */

struct image_save_options {
    size_t size;
    int (*progress)(const struct image_progress *progress, void *arg);
    void *arg;
};

/* Writes images to `fd` (a file, pipe or socket) as one archive that `docker load`, podman, skopeo
 * and umoci read: an OCI layout of the stored blobs, unchanged, plus `manifest.json` and
 * `repositories` [D]. `references`, ended by NULL: a repository without tag stands for all its
 * tags; an id is saved without a name. Equal input, equal bytes. Errors: -ENOENT, -EPIPE, .. */
int image_save(struct image_store *store, const char *const *references, int fd,
               const struct image_save_options *options, struct wharf_error *e);

/* ---- in the Docker API's forms --------------------------------------------------------------- */

/* Answers as JSON, as API 1.51 has them; a door that speaks to older clients takes members away.
 * *ret_json is malloc'd and ended by NUL. `filters` is the API's text, {"label":["a=b"]} or
 * {"label":{"a=b":true}}; NULL or "": none. A filter that is not known is -EINVAL, "invalid filter
 * 'x'". An absent image is -ENOENT, "No such image: x:latest". */

struct image_query {
    size_t size;
    int all;             /* also images without a name that something refers to */
    int shared_size;     /* fill in SharedSize (else -1) */
    int manifests;       /* fill in Manifests */
    const char *filters; /* before dangling label label! reference since until */
};

/* GET /images/json. `query` NULL: defaults. */
int image_list_json(struct image_store *store, const struct image_query *query, char **ret_json,
                    struct wharf_error *e);
/* GET /images/{name}/json, /images/{name}/history. */
int image_inspect_json(struct image_store *store, const char *reference, char **ret_json,
                       struct wharf_error *e);
int image_history_json(struct image_store *store, const char *reference, char **ret_json,
                       struct wharf_error *e);
/* DELETE /images/{name}: image_remove, told as [{"Untagged":..},{"Deleted":..}]. */
int image_remove_json(struct image_store *store, const char *reference, int force, char **ret_json,
                      struct wharf_error *e);
/* POST /images/prune: {"ImagesDeleted":[..],"SpaceReclaimed":n}. Without the filter dangling=false
 * only images without a name go. Filters: dangling label label! until. */
int image_prune_json(struct image_store *store, const char *filters, char **ret_json,
                     struct wharf_error *e);
/* The images' part of GET /system/df: {"LayersSize":n,"Images":[..]}, sizes of what is unpacked,
 * each layer counted once. */
int image_df_json(struct image_store *store, char **ret_json, struct wharf_error *e);

/* ---- registries ------------------------------------------------------------------------------ */

/* These need libcurl and stand in a library of their own (libimage-remote): a program that neither
 * pulls nor pushes does not load it. */

struct image_remote_options {
    size_t size;
    /* Who we are. All NULL: what docker's configuration says (auths, credHelpers, credsStore), else
     * anonymous. */
    const char *username, *password;
    const char *identity_token; /* a refresh token; beats the others */
    const char *config;         /* path of config.json; NULL: $DOCKER_CONFIG or ~/.docker */
    /* PEM file of the authorities to trust; NULL: /etc/docker/certs.d/HOST/ca.crt if there, else
     * the system's. */
    const char *ca_file;
    /* HOST[:PORT] of registries whose certificates are not checked and that may speak plain HTTP;
     * ended by NULL; or NULL. A registry on a loopback address may speak plain HTTP without. */
    const char *const *insecure;
    /* Pull: base URLs (https://HOST) that are tried, in order, before docker.io; or NULL. They get
     * no credentials. */
    const char *const *mirrors;
    const char *platform; /* pull: OS/ARCHITECTURE[/VARIANT]; NULL: this machine */
    int keep_packed;      /* pull: as in image_load_options */
    /* Called every few hundred milliseconds or megabytes; non-zero cancels. May be NULL. */
    int (*progress)(const struct image_progress *progress, void *arg);
    void *arg;
    image_tell tell; /* may be NULL; in docker's order: "Pulling from ..", layers, "Status: .." */
    void *tell_arg;
    /* Value of an X-Registry-Auth header (base64url of {username, password, identitytoken,
     * registrytoken, ..}); beats all of the above, also when it is empty ("{}"). NULL: none. */
    const char *registry_auth;
    int all_tags; /* every tag of the repository; pull: as the registry lists them, *ret_image NULL
                   */
};

/* Brings an image, with its index if it has one, from its registry: NAME[:TAG] or NAME@DIGEST (then
 * it is in the store without a name). What the store has is not fetched again. *ret_image (may be
 * NULL): the image. Errors: -ENOENT, -EACCES (a login is wanted, or the certificate is not
 * trusted), -EPERM, -EBADMSG (what came is not what its digest or size says), -EAGAIN (the registry
 * fails now), -ECONNREFUSED, -ETIMEDOUT, -EFBIG, -ECANCELED; nothing of it shows. What came of its
 * blobs is kept for a day: the next pull goes on from there. */
int image_pull(struct image_store *store, const char *reference,
               const struct image_remote_options *options, struct image **ret_image,
               struct wharf_error *e);

/* Brings the image that `reference` finds to the registry and repository of that name, bytes and
 * digests unchanged: blobs that are not there, then the manifest under the tag. Of an index whose
 * other platforms are not in the store, this machine's manifest alone. Errors as image_pull. */
int image_push(struct image_store *store, const char *reference,
               const struct image_remote_options *options, struct wharf_error *e);

/* Asks a registry whether it takes username and password (or identity_token) of `options`. `server`
 * is a host, or "" and "https://index.docker.io/v1/" for docker.io. *ret_identity (may be NULL): a
 * token to keep in the place of the password, malloc'd, or NULL. -EACCES: it refuses them. */
int image_login(const char *server, const struct image_remote_options *options, char **ret_identity,
                struct wharf_error *e);

/* Copies an image, all platforms of it, from one registry to another without a store: blobs pass
 * through, bytes and digests unchanged. `from` and `to` are options of either side (NULL: none);
 * progress, tell and platform are those of `to`. Errors as image_pull. */
int image_copy(const char *source, const char *target, const struct image_remote_options *from,
               const struct image_remote_options *to, struct wharf_error *e);

/* What a registry has under a name: {"Descriptor":{..},"Platforms":[..]}. malloc'd. */
int image_distribution_json(const char *reference, const struct image_remote_options *options,
                            char **ret_json, struct wharf_error *e);

struct image_registry;

struct image_registry_options {
    size_t size;
    const char *root;    /* directory; may be that of a store, whose blobs it then shares */
    const char *address; /* IPv4 or IPv6; NULL: 127.0.0.1 */
    unsigned port;       /* 0: any, see image_registry_port */
    /* PEM files; both or neither. NULL: plain HTTP. */
    const char *certificate, *key;
    /* File of users, as htpasswd -B writes it (bcrypt, sha256, sha512 by crypt(3)), read anew when
     * it changes: whoever wants anything logs in. NULL: whoever reaches the address may do all. */
    const char *users;
    int read_only;          /* nothing may be pushed or deleted */
    int64_t upload_seconds; /* an upload without a byte for so long is forgotten; 0: a day */
};

/* Serves a registry (OCI distribution-spec 1.1) in threads of its own. Stands in `libregistry`,
 * which needs libmicrohttpd. Errors: -EINVAL (no address; an unusable certificate), -EADDRINUSE,
 * -errno. */
int image_registry_serve(struct image_registry **ret_registry,
                         const struct image_registry_options *options, struct wharf_error *e);
/* The port that it listens on. */
unsigned image_registry_port(const struct image_registry *registry);
/* Ends it; waits for the requests that run. */
void image_registry_stop(struct image_registry *registry);

/* ---- roots ----------------------------------------------------------------------------------- */

enum image_root_kind {
    IMAGE_ROOT_AUTO = 0, /* overlay, or copy where the kernel refuses overlay here */
    IMAGE_ROOT_OVERLAY,  /* unpacked layers below a writable one [O] */
    IMAGE_ROOT_COPY,     /* a plain directory of its own: slow and large, works everywhere */
};

struct image_root_options {
    size_t size;
    enum image_root_kind kind;
    int transient; /* the root dies with its first mount: overlay's `volatile`, no sync at unmount
                    */
    int (*progress)(const struct image_progress *progress, void *arg);
    void *arg;
};

struct image_root_info {
    enum image_root_kind kind; /* OVERLAY or COPY */
    const char *image_id;
    size_t lower_count;
    const int *lower;   /* O_PATH descriptors, top layer first */
    char **lower_paths; /* the same, absolute */
    int upper, work;    /* O_PATH descriptors in the container's directory; COPY: -1 */
    int copy;           /* COPY: the root itself, O_PATH; OVERLAY: -1 */
};

/* Makes the root of a container ready: unpacks layers that are missing (once for all images that
 * share them), makes `upper` and `work` (or `copy`) in `container_dir`, and registers `name` (a
 * container's id: [a-zA-Z0-9][a-zA-Z0-9_.-]*, at most 128) as a user of the image. A second call
 * with the same name and image gives the same root again, with what was written into it.
 * Errors: -EEXIST (the name has another image), -EBADMSG, -EFBIG, -ENOSPC, -EOPNOTSUPP. */
int image_root_prepare(struct image_store *store, const struct image *image, const char *name,
                       int container_dir, const struct image_root_options *options,
                       struct image_root **ret_root, struct wharf_error *e);
/* The same for a root that was prepared before, in any process; unpacks only what a power cut took.
 * -ENOENT. */
int image_root_open(struct image_store *store, const char *name, int container_dir,
                    struct image_root **ret_root, struct wharf_error *e);
void image_root_free(struct image_root *root);
const struct image_root_info *image_root_info(const struct image_root *root);

/* Returns a descriptor of a detached mount of the root, for move_mount(2) inside whatever mount
 * namespace the caller is in by then (fsopen, fsconfig with one descriptor per layer, fsmount;
 * older kernels: paths, then one string). It is gone when closed, unless moved somewhere. Errors:
 * -EPERM (needs CAP_SYS_ADMIN), -EOPNOTSUPP, -EBUSY (upper is mounted elsewhere). */
int image_root_mount(const struct image_root *root, struct wharf_error *e);

/* Forgets that `name` uses its image. The directories in the container's directory are the caller's
 * to remove. A name that is not there is fine. */
int image_root_release(struct image_store *store, const char *name, struct wharf_error *e);

/* Calls `visit` with each registered name and its image's manifest digest. Returns how many. */
int image_root_list(struct image_store *store,
                    int (*visit)(const char *name, const char *digest, void *arg), void *arg,
                    struct wharf_error *e);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif
#endif
