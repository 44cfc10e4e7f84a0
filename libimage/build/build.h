/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build.h - images out of Dockerfiles
 *
 *     struct build_options o = { .size = sizeof(o), .tags = tags, .runner = &runner };
 *
 *     build_run(store, context_fd, &o, &image, &e);
 *
 * The library parses, hashes, copies, makes layers and keeps the cache. Three things it does not do
 * itself, and asks for by callbacks: running a command in a root (the RUNNER), whatever needs a
 * network (the FETCHER), and showing what happens (EVENTS).
 *
 * How it works. Each stage is a thread's work, as soon as the stages that it copies from are done;
 * stages that the target does not need are skipped. The state of a stage is a chain of layers and a
 * configuration. An instruction that changes files is looked up in the cache under a key made of
 * everything that its result depends on: the chain id below it, its text after expansion, the
 * digests of the files that it reads, the variables that it sees (cache.h). What misses is made in
 * an overlay whose upper directory becomes the unpacked layer as it is and is written out once as a
 * blob. All that is new is published at the end in one go (store.h, intake), also when the build
 * fails, so that the next one goes on from there.
 *
 * Threads. Events and callbacks come from the threads of the build, never two events at a time.
 * build_run blocks until all of them have ended. The runner must leave the thread that calls it in
 * its namespaces.
 */
#ifndef LIBIMAGE_BUILD_BUILD_H
#define LIBIMAGE_BUILD_BUILD_H

#include "base/buf.h"
#include "image.h"

/* ---- what runs commands ---------------------------------------------------------------------- */

enum build_network { BUILD_NETWORK_DEFAULT, BUILD_NETWORK_NONE, BUILD_NETWORK_HOST };

enum build_mount_kind {
    BUILD_MOUNT_BIND,   /* `tree`, a detached mount or an O_PATH descriptor */
    BUILD_MOUNT_TMPFS,  /* `bytes`: its size, 0: no limit */
    BUILD_MOUNT_SECRET, /* a file with `data`, of `mode`, `uid`, `gid`, in memory only */
    BUILD_MOUNT_SOCKET, /* the unix socket at the host's path `path`; `mode`, `uid`, `gid` */
};

struct build_mount {
    enum build_mount_kind kind;
    const char *target; /* absolute; the root has something of the right kind there */
    int tree;
    int read_only;
    int64_t bytes;
    const void *data;
    size_t len;
    const char *path;
    mode_t mode;
    uid_t uid;
    gid_t gid;
};

/* One RUN. The root is a detached mount, writable, that holds every mount point that a container
 * needs (/proc, /sys, /dev, /etc/hosts, /etc/hostname, /etc/resolv.conf and the mounts' targets):
 * what is made for them does not enter the layer. */
struct build_command {
    const char *id; /* 64 hexadecimal digits, unique */
    int root;
    const char *const *argv, *const *env;
    const char *user;        /* as in USER; "": root */
    const char *working_dir; /* absolute; it exists */
    const char *hostname;    /* NULL: the runner's choice */
    const struct build_mount *mounts;
    size_t mount_count;
    enum build_network network;
    int insecure; /* --security=insecure */
    const char *const *extra_hosts;
    const char *host; /* of the build's options */
    /* What it writes; stream 1 or 2. Non-zero: kill it. */
    int (*output)(int stream, const void *data, size_t len, void *arg);
    /* Non-zero as soon as the build was cancelled: looked at now and then. */
    int (*cancelled)(void *arg);
    void *arg;
};

struct build_runner {
    void *self;
    /* Runs it to its end: 0 and *ret_status, 0..255, 128 + the number of a signal. */
    int (*run)(void *self, const struct build_command *command, int *ret_status,
               struct wharf_error *e);
};

/* ---- what needs a network -------------------------------------------------------------------- */

struct build_fetched {
    int64_t modified; /* seconds since 1970 (Last-Modified); -1: not told */
    char name[256];   /* from Content-Disposition or the last part of the URL; "": none */
    int is_tar;       /* a context: 1: an archive, 0: a Dockerfile */
};

struct build_fetcher {
    void *self;
    /* Brings an image into the store; `progress` as in image_remote_options. */
    int (*pull)(void *self, struct image_store *store, const char *reference, const char *platform,
                int (*progress)(const struct image_progress *progress, void *arg), void *arg,
                struct wharf_error *e);
    /* Writes what an http or https URL gives to `fd`. */
    int (*fetch)(void *self, const char *url, int fd, struct build_fetched *ret,
                 struct wharf_error *e);
};

/* ---- what happens ---------------------------------------------------------------------------- */

enum build_event_type {
    BUILD_EVENT_PLAN,     /* before anything runs: total, and count of stages in `number` */
    BUILD_EVENT_STEP,     /* an instruction begins: number of total, text, stage, lines */
    BUILD_EVENT_CACHED,   /* ... its result was there */
    BUILD_EVENT_RUNNING,  /* ... it has to be made; `id` names the place where that happens */
    BUILD_EVENT_OUTPUT,   /* ... a RUN wrote text, len bytes, on `stream` */
    BUILD_EVENT_DONE,     /* ... it is done: `id` is the image as of now, `ns` what it took */
    BUILD_EVENT_REMOVED,  /* ... the place `id` of RUNNING is gone */
    BUILD_EVENT_TRIGGERS, /* ... a FROM: `done` triggers of the base follow */
    BUILD_EVENT_STATUS,   /* ... progress: text (a digest or name), done of total_bytes (-1: ?) */
    BUILD_EVENT_WARNING,  /* text, lines */
    BUILD_EVENT_FAULT,  /* the build fails: text, lines (0: none), the instruction's step number */
    BUILD_EVENT_STAGE,  /* a stage is done: `id` of its image */
    BUILD_EVENT_EXPORT, /* layers and names are being made durable */
    BUILD_EVENT_BUILT,  /* `id` of the image */
    BUILD_EVENT_TAGGED, /* text: a name in docker's short form */
};

struct build_event {
    enum build_event_type type;
    size_t number, total;
    size_t stage;           /* counted from 0 */
    const char *stage_name; /* "" without one */
    int first, last;        /* lines of the Dockerfile */
    const char *text;
    size_t len;
    int stream;
    int code; /* FAULT: exit status of a RUN, 0: none */
    const char *id;
    int64_t ns, done, total_bytes;
};

/* ---- building -------------------------------------------------------------------------------- */

struct build_pair {
    const char *key, *value; /* value NULL: declared without one */
};

struct build_secret {
    const char *id;
    const char *path; /* a file; NULL: */
    const char *env;  /* ... a variable of the calling process */
};

struct build_ssh {
    const char *id;   /* "default" */
    const char *path; /* socket of an agent */
};

struct build_options {
    size_t size;
    /* Below the context; NULL: "Dockerfile". Or the text itself, which may come from anywhere. */
    const char *dockerfile;
    const char *dockerfile_text;
    size_t dockerfile_len;
    /* The context is there: a git repository, or the URL of an archive or of a Dockerfile; NULL or
     * "": it is `context`. */
    const char *remote;
    const char *const *tags;            /* NULL-ended, as all lists here; or NULL */
    const struct build_pair *args;      /* ends with a NULL key */
    const struct build_pair *labels;    /* the same; set on the last stage */
    const struct build_pair *contexts;  /* name -> directory; or docker-image://NAME */
    const struct build_secret *secrets; /* ends with a NULL id */
    const struct build_ssh *ssh;        /* the same */
    const char *target;                 /* stage, by name or number; NULL or "": the last */
    const char *platform;               /* NULL: this machine's */
    const char *const *extra_hosts;     /* NAME:IP */
    enum build_network network;
    /* What the runner shall make of every RUN besides, such as its limits: a HostConfig of the
     * Docker API as JSON, which this library only passes on; NULL: nothing. */
    const char *host;
    int no_cache, pull;
    int sequential; /* one stage at a time, in their order (the classic stream) */
    int classic;    /* history texts as dockerd's builder writes them */
    /* Times of the image and of all files in its layers, at most: seconds; -1: SOURCE_DATE_EPOCH
     * among `args`, else now. */
    int64_t source_date_epoch;
    const struct build_runner *runner;   /* NULL: a RUN is an error */
    const struct build_fetcher *fetcher; /* NULL: what is not here is an error */
    void (*event)(const struct build_event *event, void *arg); /* NULL: none */
    /* Asked often: non-zero ends the build with -ECANCELED. NULL: never. */
    int (*cancelled)(void *arg);
    void *arg;
};

/* The options with everything at its default. */
#define BUILD_OPTIONS                                                                              \
    {                                                                                              \
        .size = sizeof(struct build_options), .source_date_epoch = -1                              \
    }

/* Builds. `context`: a directory; or an archive (tar, plain or gzip, bzip2, xz, zstd) or a
 * Dockerfile alone, from a file or a pipe; or -1: none. *ret_image (may be NULL): the result.
 * Errors: -EINVAL (the Dockerfile, or what it wants to copy), -ENOENT (an image, a file), -ECHILD
 * (a command failed: the event FAULT has its status), -EOPNOTSUPP, -ECANCELED, and what the runner
 * and the fetcher return. The store is as before but for the cache. */
int build_run(struct image_store *store, int context, const struct build_options *options,
              struct image **ret_image, struct wharf_error *e);

/* Forgets what the cache holds: all results, or those that were not used for `older` seconds and
 * those that lie beyond `keep` bytes, the oldest use first (0: no matter). What images share with
 * the cache stays. *ret_bytes: what was freed. */
struct build_prune_options {
    size_t size;
    int all;
    int mounts; /* also what is in RUN --mount=type=cache */
    int64_t older, keep;
    void (*deleted)(const char *key, void *arg); /* told of each result; NULL: nobody is */
    void *arg;
};
int build_prune(struct image_store *store, const struct build_prune_options *options,
                int64_t *ret_bytes, struct wharf_error *e);

enum {
    BUILD_COLLECT_EVERY_S = 600,
    BUILD_KEEP_PART = 10, /* of the disk: a tenth, as dockerd's */
};
/* To be called behind whatever adds to a store: when that was not done for BUILD_COLLECT_EVERY_S,
 * brings the build cache, caches of RUN --mount too, down to `keep` bytes (0: a BUILD_KEEP_PART of
 * the disk), and deletes what nothing refers to. While somebody else adds it waits for its turn. */
void build_collect(struct image_store *store, int64_t keep);

/* ---- the stream of the classic endpoint ------------------------------------------------------ */

/* Turns events into the JSON lines of POST /build: `{"stream":"Step 1/7 : FROM busybox"}` and so
 * on. Give `classic_event` and the writer as event and arg; call classic_end with build_run's
 * result, once: it writes the id for `quiet`, or the error as errorDetail. */
struct classic_writer {
    int quiet; /* q=1: the id alone; all the rest too when it fails */
    int keep;  /* rm=0: says nothing about removing */
    int (*write)(const char *json, size_t len, void *arg); /* one line, with its newline */
    void *arg;
    int result;  /* the first failure of `write` */
    size_t step; /* private */
    int said, built, code;
    char id[IMAGE_DIGEST_MAX];
    struct buf warnings;
    struct buf held; /* what `quiet` keeps back */
    char *fault;     /* the whole text of it: an error's is cut */
};
void classic_event(const struct build_event *event, void *writer);
int classic_end(struct classic_writer *writer, int result, const struct wharf_error *e);

#endif
