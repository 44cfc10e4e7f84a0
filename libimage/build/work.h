/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One build at work, as its parts see it.
 *
 * A JOB is the build. A STAGE runs on one thread and owns its state, its arena and its variables;
 * once it is `done` nothing of it changes any more and any thread may read it. What stages share
 * hangs on the job: the intake and the cache behind `lock`, the events behind `event_lock`, both
 * held for moments only; images are brought in under `image_lock`. Order: image, then either of the
 * others.
 */
#ifndef LIBIMAGE_BUILD_WORK_H
#define LIBIMAGE_BUILD_WORK_H

#include <pthread.h>
#include "base/buf.h"
#include "libimage/build/build.h"
#include "libimage/build/glob.h"
#include "libimage/build/parse.h"
#include "libimage/opened.h"
#include "libimage/store.h"

enum {
    BUILD_ARENA_MAX = 512 << 20,
    BUILD_THREADS_MAX = 8,
    BUILD_TRIGGERS_MAX = 128,
    KEY_MAX = 65, /* hexadecimal digits and NUL */
    PLACE_ID_MAX = 65,
};

/* ---- layers ---------------------------------------------------------------------------------- */

struct layer_ref {
    struct digest diff, chain, blob;
    int64_t size;           /* of the blob */
    int64_t bytes, entries; /* unpacked, as long as it is new */
    char media_type[96];
};

struct layer_stack {
    struct layer_ref *items; /* base first */
    size_t count;
};
int layer_stack_push(struct layer_stack *s, const struct layer_ref *layer, struct wharf_error *e);
int layer_stack_copy(const struct layer_stack *s, struct layer_stack *ret, struct wharf_error *e);
void layer_stack_done(struct layer_stack *s);
/* The chain id of the top, "" for nothing at all. */
const char *layer_stack_chain(const struct layer_stack *s);

/* ---- state of a stage ------------------------------------------------------------------------ */

struct state {
    struct layer_stack layers;
    json_t *image;  /* what stands beside config, rootfs and history */
    json_t *config; /* Env, Cmd, ... */
    json_t *history;
    char trail[KEY_MAX]; /* a digest of all instructions so far: the key of creation times */
    char created[40];
    char id[IMAGE_DIGEST_MAX]; /* of the base image, as long as nothing was added */
    bool cmd_set;              /* CMD stood in this stage */
};
int state_copy(const struct state *s, struct state *ret, struct wharf_error *e);
void state_done(struct state *s);

struct variable {
    const char *name, *value; /* value NULL: declared, not set */
};

struct job;

struct stage_work {
    struct job *job;
    const struct stage *source;
    size_t index;
    const char *base, *platform; /* of the FROM, expanded */
    struct arena *arena;
    struct state state;
    LIST_OF(struct variable) args;
    size_t step; /* number of the FROM, among all that are built */
    size_t steps;
    bool needed, done;
    int result;
    struct wharf_error e;
    struct span at;      /* of the instruction at work */
    const char *command; /* of the last RUN, as messages have it */
    int exit_code;       /* of a RUN that failed */
};

struct job {
    struct image_store *store;
    struct build_options o;
    struct arena *arena; /* of the main thread */
    struct dockerfile file;
    struct intake intake;
    int context; /* directory, -1: none */
    struct glob_list ignore;
    int cache;      /* directory of records */
    json_t *fresh;  /* records made by this build, by key */
    json_t *pulled; /* names of images that were pulled */
    int64_t epoch;  /* SOURCE_DATE_EPOCH, -1: none */
    int64_t now;
    char *used_args; /* one bool an argument of the options */
    LIST_OF(struct variable) globals;
    struct stage_work *stages;
    size_t stage_count, target;
    size_t total, next; /* steps; next: the stage that a thread takes next */
    bool failed;
    struct stage_work *faulty; /* the first stage that failed */
    struct span fault;         /* where, if that was before any stage */
    pthread_mutex_t lock, event_lock, image_lock;
    pthread_cond_t changed; /* a stage is done, or the build failed */
};

/* ---- telling and asking ---------------------------------------------------------------------- */

void job_tell(struct job *job, struct build_event event);
/* -ECANCELED when the build is to end: it was asked to, or another stage failed. */
int job_check(struct job *job, struct wharf_error *e);
/* Waits until a stage is done. */
int job_wait(struct job *job, size_t stage, struct wharf_error *e);
/* The stage that `name` (a name or number) means to an instruction of stage `before`; -1: none. */
int job_find_stage(const struct job *job, const char *name, size_t before);
/* What --build-context says of a name; NULL: nothing. */
const char *job_context_value(const struct job *job, const char *name);

/* ---- variables (variables.c) ----------------------------------------------------------------- */

/* Expands in the scope of a stage; the result is of its arena. */
int stage_expand(struct stage_work *s, const char *text, const char **ret, struct wharf_error *e);
int stage_expand_words(struct stage_work *s, const char *text, char ***ret, size_t *ret_count,
                       struct wharf_error *e);
/* A here-document: quotes mean nothing. */
int stage_expand_document(struct stage_work *s, const char *text, const char **ret,
                          struct wharf_error *e);
/* The same before the first stage; the arena is the job's. */
int global_expand(struct job *job, const char *text, const char **ret, struct wharf_error *e);
int globals_set(struct job *job, struct wharf_error *e);
/* ARG in a stage. `ret_text` (may be NULL): NAME or NAME=VALUE, for the history. */
int stage_arg(struct stage_work *s, const char *word, const char **ret_text, struct wharf_error *e);
/* HTTP_PROXY and its like: there without ARG, and part of no key. */
bool variable_is_proxy(const char *name);
/* NAME=VALUE of the arguments that a RUN sees beside Env, sorted; `proxies`: also those that are
 * there without ARG. NULL-ended, of the arena. */
char **stage_run_args(struct stage_work *s, bool proxies);
const char *env_get(json_t *env, const char *name, size_t len);
int env_set(json_t *env, const char *name, const char *value);

/* ---- keys and records (cache.c) -------------------------------------------------------------- */

struct key {
    struct hasher hasher;
};
void key_begin(struct key *k, const char *what);
void key_add(struct key *k, const char *text); /* NULL is not the same as "" */
void key_end(struct key *k, char ret[KEY_MAX]);

/* What making something gave. */
struct record {
    bool empty; /* nothing changed: no layer */
    struct layer_ref layer;
};
/* True if there is a record whose blob and layer are still in the store. */
bool cache_find(struct job *job, const char *key, struct record *ret);
/* It is written when the build has published what the record names. */
int cache_add(struct job *job, const char *key, const struct record *record, struct wharf_error *e);
/* The time under `key`: 1; there is none: 0, and from now on it is `ret`. */
int cache_time(struct job *job, const char *key, char ret[40], struct wharf_error *e);
int cache_open(struct job *job, struct wharf_error *e);
int cache_write(struct job *job, struct wharf_error *e);

/* ---- making layers (workspace.c, diff.c) ----------------------------------------------------- */

struct workspace {
    struct job *job;
    char name[INTAKE_NAME_MAX]; /* directory in the intake; "": none */
    int dir, upper, work, init;
    int mount; /* the merged tree, detached; what is written goes to `upper` */
};
#define WORKSPACE                                                                                  \
    (struct workspace)                                                                             \
    {                                                                                              \
        .dir = -1, .upper = -1, .work = -1, .init = -1, .mount = -1                                \
    }
/* `mount_points`: paths (a directory; a file where it ends with ':') that shall be there and enter
 * no layer; NULL-ended, or NULL. */
int workspace_open(struct workspace *w, struct job *job, const struct layer_stack *below,
                   const char *const *mount_points, struct wharf_error *e);
/* An overlay over one directory or file whose changes are dropped. */
int workspace_over(struct workspace *w, struct job *job, int dir, struct wharf_error *e);
/* The changes become a layer on top of `below`, unless there are none. */
int workspace_commit(struct workspace *w, const struct layer_stack *below, struct record *ret,
                     struct wharf_error *e);
void workspace_close(struct workspace *w);
#define autoworkspace __attribute__((cleanup(workspace_close)))

/* A descriptor of the merged tree, only to be read. */
int layer_stack_view(struct job *job, const struct layer_stack *s, struct wharf_error *e);
/* Lower directories for a mount, top first; how many. The caller closes them. */
int layer_stack_open(struct job *job, const struct layer_stack *s, int fds[IMAGE_LAYERS_MAX],
                     struct wharf_error *e);
/* Makes sure that the layer, whose blob is there, is unpacked on top of `below`. */
int layer_unpack(struct job *job, const struct layer_stack *below, const struct layer_ref *layer,
                 struct wharf_error *e);

/* Writes the tree in overlayfs form as a tar, sorted, and compressed: a blob of the intake. 0 with
 * *ret_empty when there is nothing in it. `top`: the root of the tree below, -1: none. */
int diff_write(struct job *job, int tree, int top, struct layer_ref *ret, bool *ret_empty,
               struct wharf_error *e);

/* ---- steps ----------------------------------------------------------------------------------- */

/* A new id of the place where a step runs. */
void place_id(char ret[PLACE_ID_MAX]);

#define RUN_FAILED "The command '%s' returned a non-zero code: %d"

/* What an instruction did. */
struct outcome {
    bool cached; /* nothing had to be made, or, without files, all up to it was made before */
    bool files;  /* it is of the kind that makes layers */
    struct record record;
    const char *text; /* for the history */
};

int stage_from(struct stage_work *s, struct wharf_error *e);
int stage_run(struct stage_work *s, const struct instruction *i, struct outcome *o,
              struct wharf_error *e);
int stage_copy(struct stage_work *s, const struct instruction *i, struct outcome *o,
               struct wharf_error *e);
int stage_workdir(struct stage_work *s, const struct instruction *i, struct outcome *o,
                  struct wharf_error *e);
/* All others: they change the configuration. */
int stage_configure(struct stage_work *s, const struct instruction *i, struct outcome *o,
                    struct wharf_error *e);
/* The layers that `from` names to an instruction: a stage, an image, a context (*ret_dir: its
 * directory, the caller's; else -1). */
int stage_source(struct stage_work *s, const char *from, struct layer_stack *ret, int *ret_dir,
                 struct wharf_error *e);
/* Brings an image into the build: pulled if it is missing or if that is asked for. */
int job_image(struct job *job, const char *name, const char *platform, struct image **ret,
              struct wharf_error *e);
int image_layers(const struct image *image, struct layer_stack *ret, struct wharf_error *e);

/* `["/bin/sh","-c"]` of a configuration, as words; of the arena. */
char **stage_shell(struct stage_work *s);
/* As docker writes it in a history: `/bin/sh -c #(nop) `. */
const char *nop_text(struct stage_work *s, const char *text);

/* ---- the end --------------------------------------------------------------------------------- */

/* The configuration of a state as it is written; the caller frees it. */
char *state_config_text(const struct state *s);
int job_finish(struct job *job, struct image **ret, struct wharf_error *e);

#endif
