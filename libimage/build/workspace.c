/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a step happens: an overlay whose upper directory stands in the intake, already in the form
 * and at the place of an unpacked layer (layer.h). When the step is done the upper directory is
 * written out once for the blob and given its chain id; nothing is unpacked again.
 *
 *     INTAKE/part-N/fs, layer.json     becomes INTAKE/layer-HEX
 *     INTAKE/part-N/work, init         go
 *
 * `init` is the lowest of all lower directories: it holds the mount points that a container needs.
 * They are seen where no layer has them, their attributes never hide those of a layer, and none of
 * it is in the upper directory. The trap: a layer can hide them again (`RUN rm -rf /etc`); then
 * they are made in the upper directory, as an engine that mounts over them would.
 */
#include <fcntl.h>
#include "base/fd.h"
#include "base/str.h"
#include "libimage/build/work.h"
#include "libimage/layer.h"
#include "libimage/overlay.h"

static int open_directory(int dir, const char *name, mode_t mode, int flags)
{
    int fd;

    if (mkdirat(dir, name, mode) < 0 && errno != EEXIST)
        return -errno;
    fd = openat(dir, name, flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int open_layer(struct job *job, const char *chain)
{
    return layer_open_tree(job->store, &job->intake, chain);
}

/* A layer that the cache knows may be there as a blob only. */
static int open_or_unpack(struct job *job, const struct layer_stack *s, size_t at,
                          struct wharf_error *e)
{
    const struct layer_ref *layer = &s->items[at];
    int fd = open_layer(job, layer->chain.text), r;

    if (fd >= 0)
        return fd;
    r = layer_unpack(job, &(struct layer_stack){ s->items, at }, layer, e);
    fd = r < 0 ? r : open_layer(job, layer->chain.text);
    return fd < 0 && r == 0 ? err_code(e, fd, "cannot open layer '%s'", layer->chain.text) : fd;
}

int layer_stack_open(struct job *job, const struct layer_stack *s, int fds[IMAGE_LAYERS_MAX],
                     struct wharf_error *e)
{
    for (size_t i = 0; i < s->count; i++) {
        int fd = open_or_unpack(job, s, i, e);

        if (fd < 0) {
            while (i-- > 0)
                fd_close(fds[s->count - 1 - i]);
            return fd;
        }
        fds[s->count - 1 - i] = fd; /* top first */
    }
    return (int)s->count;
}

static void close_all(const int *fds, int count)
{
    while (count-- > 0)
        fd_close(fds[count]);
}

int layer_stack_view(struct job *job, const struct layer_stack *s, struct wharf_error *e)
{
    int lower[IMAGE_LAYERS_MAX], count = layer_stack_open(job, s, lower, e), r;

    if (count < 0)
        return count;
    if (count == 0) {
        r = open_directory(job->intake.dir, "empty", 0755, O_PATH);
        return r < 0 ? err_code(e, r, "cannot make a directory in '%s'", job->store->path) : r;
    }
    if (count == 1)
        return lower[0];
    r = overlay_mount(&(struct overlay){ .lower = lower,
                                         .lower_count = (size_t)count,
                                         .upper = -1,
                                         .work = -1,
                                         .user_xattr = job->store->user_xattr },
                      e);
    close_all(lower, count);
    return r;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* The upper directory's attributes are those that the root of the merged tree will have. */
static int take_attributes(int upper, int top)
{
    struct timespec times[2];
    struct stat st;

    if (top < 0)
        return fchmod(upper, 0755) < 0 ? -errno : 0;
    if (fstat(top, &st) < 0 || fchown(upper, st.st_uid, st.st_gid) < 0 ||
        fchmod(upper, st.st_mode & 07777) < 0)
        return -errno;
    times[0] = st.st_atim;
    times[1] = st.st_mtim;
    return futimens(upper, times) < 0 ? -errno : 0;
}

static int make_directories(struct workspace *w, struct wharf_error *e)
{
    struct intake *in = &w->job->intake;
    int r;

    snprintf(w->name, sizeof(w->name), "part-%u", atomic_fetch_add(&in->serial, 1));
    r = w->dir = open_directory(in->dir, w->name, 0700, O_RDONLY);
    if (r >= 0)
        r = w->upper = open_directory(w->dir, "fs", 0755, O_RDONLY);
    if (r >= 0)
        r = w->work = open_directory(w->dir, "work", 0700, O_PATH);
    if (r >= 0)
        r = w->init = open_directory(w->dir, "init", 0755, O_RDONLY);
    return r < 0
               ? err_code(e, r, "cannot make a directory in image store '%s'", w->job->store->path)
               : 0;
}

/* "etc/hosts:" is a file, "proc" a directory. */
static int make_point(int root, const char *path, bool only_missing)
{
    char text[IMAGE_PATH_MAX + 1];
    size_t len = strlen(path);
    bool file = len > 0 && path[len - 1] == ':';
    int fd;

    if (len > IMAGE_PATH_MAX)
        return -ENAMETOOLONG;
    snprintf(text, sizeof(text), "%.*s", (int)(len - file), path);
    fd = only_missing ? path_open_in(root, text, O_PATH, 0) : -ENOENT;
    if (fd == -ENOENT)
        fd = file ? path_make_file_in(root, text, 0644) : path_make_dirs_in(root, text, 0755);
    fd_close(fd);
    return MIN(fd, 0);
}

static int make_points(int root, const char *const *points, bool only_missing,
                       struct wharf_error *e)
{
    for (; points && *points; points++) {
        int r = make_point(root, *points, only_missing);

        if (r < 0)
            return err_code(e, r, "cannot make the mount point '%.200s'", *points);
    }
    return 0;
}

int workspace_open(struct workspace *w, struct job *job, const struct layer_stack *below,
                   const char *const *points, struct wharf_error *e)
{
    int lower[IMAGE_LAYERS_MAX + 1], count, r;

    *w = WORKSPACE;
    w->job = job;
    r = make_directories(w, e);
    if (r < 0)
        return r;
    count = layer_stack_open(job, below, lower, e);
    if (count < 0)
        return count;
    r = take_attributes(w->upper, count ? lower[0] : -1);
    if (r < 0)
        err_code(e, r, "cannot set the attributes of a layer");
    if (r == 0)
        r = make_points(w->init, points, false, e);
    lower[count] = w->init;
    if (r == 0)
        r = w->mount =
            overlay_mount(&(struct overlay){ .lower = lower,
                                             .lower_count = (size_t)count + (points || !count),
                                             .upper = w->upper,
                                             .work = w->work,
                                             .user_xattr = job->store->user_xattr,
                                             .transient = true,
                                             .plain = true },
                          e);
    close_all(lower, count);
    return r < 0 ? r : make_points(w->mount, points, true, e);
}

int workspace_over(struct workspace *w, struct job *job, int dir, struct wharf_error *e)
{
    int r;

    *w = WORKSPACE;
    w->job = job;
    r = make_directories(w, e);
    if (r == 0)
        r = take_attributes(w->upper, dir);
    if (r < 0)
        return err_code(e, r, "cannot set the attributes of a mount");
    r = w->mount = overlay_mount(&(struct overlay){ .lower = &dir,
                                                    .lower_count = 1,
                                                    .upper = w->upper,
                                                    .work = w->work,
                                                    .user_xattr = job->store->user_xattr,
                                                    .transient = true },
                                 e);
    return MIN(r, 0);
}

/* ---- committing ------------------------------------------------------------------------------ */

static int open_top(struct job *job, const struct layer_stack *below)
{
    return below->count ? open_layer(job, layer_stack_chain(below)) : -1;
}

/* At its place in the intake; another stage may have made the same. */
static int place(struct workspace *w, const struct layer_ref *layer)
{
    struct intake *in = &w->job->intake;
    char to[IMAGE_DIGEST_MAX + 8], meta[512];
    int r;

    path_remove_tree(w->dir, "work");
    path_remove_tree(w->dir, "init");
    snprintf(meta, sizeof(meta), "{\"diff_id\":\"%s\",\"bytes\":%lld,\"entries\":%lld}\n",
             layer->diff.text, (long long)layer->bytes, (long long)layer->entries);
    r = file_replace(w->dir, "layer.json", meta, strlen(meta), 0600, false);
    snprintf(to, sizeof(to), "layer-%s", digest_hex(&layer->chain));
    if (r == 0 && renameat(in->dir, w->name, in->dir, to) < 0)
        r = errno == EEXIST || errno == ENOTEMPTY ? 0 : -errno;
    else if (r == 0)
        w->name[0] = 0;
    pthread_mutex_lock(&w->job->lock);
    if (r == 0)
        r = intake_want_layer(in, digest_hex(&layer->chain));
    pthread_mutex_unlock(&w->job->lock);
    return r;
}

int workspace_commit(struct workspace *w, const struct layer_stack *below, struct record *ret,
                     struct wharf_error *e)
{
    autoclose int top = open_top(w->job, below);
    struct layer_ref layer = { 0 };
    bool empty;
    int r;

    w->mount = fd_close(w->mount);
    r = diff_write(w->job, w->upper, top, &layer, &empty, e);
    if (r < 0)
        return r;
    if (empty) {
        *ret = (struct record){ .empty = true };
        return 0;
    }
    if (digest_chain(below->count ? &below->items[below->count - 1].chain : NULL, &layer.diff,
                     &layer.chain) < 0)
        return err_nomem(e);
    r = place(w, &layer);
    if (r < 0)
        return err_code(e, r, "cannot write layer '%s'", layer.chain.text);
    *ret = (struct record){ .layer = layer };
    return 0;
}

void workspace_close(struct workspace *w)
{
    w->mount = fd_close(w->mount);
    w->upper = fd_close(w->upper);
    w->work = fd_close(w->work);
    w->init = fd_close(w->init);
    w->dir = fd_close(w->dir);
    if (w->name[0])
        path_remove_tree(w->job->intake.dir, w->name);
    w->name[0] = 0;
}

/* ---- layers out of blobs --------------------------------------------------------------------- */

static bool is_there(struct job *job, const char *chain)
{
    autoclose int fd = open_layer(job, chain);

    return fd >= 0;
}

int layer_unpack(struct job *job, const struct layer_stack *below, const struct layer_ref *layer,
                 struct wharf_error *e)
{
    autofree struct digest *chains = calloc(below->count + 1, sizeof(*chains));
    autoclose int fd = -1;
    autofeed struct feed feed = { 0 };
    struct file_source file;
    struct feed_options options = { .what = layer->blob.text,
                                    .limits = &job->store->limits,
                                    .bytes_max = job->store->limits.layer_bytes,
                                    .bytes_name = "layer_bytes",
                                    .copy = -1,
                                    .hash = true,
                                    .total = layer->size };
    struct layer l;
    int r;

    if (is_there(job, layer->chain.text))
        return 0;
    if (!chains)
        return err_nomem(e);
    for (size_t i = 0; i < below->count; i++)
        chains[i] = below->items[i].chain;
    fd = store_open_blob(job->store, job->intake.dir, &layer->blob);
    if (fd < 0)
        return err_code(e, fd, "layer '%s' is not in the store", layer->blob.text);
    r = file_source_init(&file, fd, layer->blob.text, e);
    if (r < 0)
        return r;
    layer_init(&l);
    r = feed_open(&feed, &file.base, options, e);
    if (r == 0)
        r = layer_fill(&l, &job->intake, &feed, e);
    if (r == 0 && !digest_equal(&l.diff, &layer->diff))
        r = err_set(e, -EBADMSG, WHARF_ERROR_CORRUPT, "layer '%s' is damaged", layer->blob.text);
    pthread_mutex_lock(&job->lock);
    if (r == 0 && !is_there(job, layer->chain.text))
        r = layer_place(&l, &job->intake, chains, below->count, &layer->chain, e);
    pthread_mutex_unlock(&job->lock);
    layer_done(&l);
    file_source_done(&file);
    return r;
}
