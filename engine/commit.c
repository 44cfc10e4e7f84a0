/* SPDX-License-Identifier: Apache-2.0 */
/* An image of a container. The layer goes through a pipe, written by a thread, into the importer:
 * it is on no disk but as the blob that it becomes. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include "base/fd.h"
#include "base/str.h"
#include "base/treetar.h"
#include "engine/changes.h"

/* ---- the layer ------------------------------------------------------------------------------- */

struct packer {
    int root, fd, result;
    const struct changes *changes;
    struct wharf_error e;
};

/* OCI image-spec, "Whiteouts": an empty file .wh.NAME beside, or .wh..wh..opq inside. */
static int pack_whiteout(struct treetar *tar, const char *path, bool opaque, struct wharf_error *e)
{
    const char *slash = strrchr(path, '/');
    autofree char *as = opaque ? str_format("%s/.wh..wh..opq", path + 1)
                               : str_format("%.*s.wh.%s", (int)(slash - path), path + 1, slash + 1);

    return as ? treetar_empty(tar, as, e) : err_nomem(e);
}

static int pack_one(struct packer *p, struct treetar *tar, const struct changed *c)
{
    const char *slash = strrchr(c->path, '/');
    autofree char *parent = strndup(c->path, (size_t)(slash - c->path));

    if (c->kind == CHANGE_DELETED)
        return pack_whiteout(tar, c->path, false, &p->e);
    if (!parent)
        return err_nomem(&p->e);
    autoclose int dir = path_open_in(p->root, *parent ? parent : "/", O_PATH | O_DIRECTORY, 0);
    if (dir == -ENOENT || (dir >= 0 && faccessat(dir, slash + 1, F_OK, AT_SYMLINK_NOFOLLOW) < 0))
        return 0; /* removed meanwhile */
    if (dir < 0)
        return err_code(&p->e, dir, "cannot open '%s'", parent);
    int r = treetar_add(tar, dir, slash + 1, c->path + 1, &p->e);
    return r == 0 && c->opaque ? pack_whiteout(tar, c->path, true, &p->e) : r;
}

static void *pack(void *user)
{
    struct packer *p = user;
    struct treetar tar = { .fd = p->fd, .flat = true };

    for (size_t i = 0; p->result == 0 && i < p->changes->count; i++)
        p->result = pack_one(p, &tar, &p->changes->items[i]);
    int ended = treetar_end(&tar, p->result == 0 ? &p->e : NULL);
    if (p->result == 0)
        p->result = ended;
    p->fd = fd_close(p->fd);
    return NULL;
}

/* ---- the configuration ----------------------------------------------------------------------- */

static const char *const config_members[] = {
    "User",       "ExposedPorts", "Env",        "Entrypoint",  "Cmd",     "Volumes",
    "WorkingDir", "Labels",       "StopSignal", "Healthcheck", "OnBuild", "Shell",
};

static bool is_empty(const json_t *v)
{
    return !v || json_is_null(v) || (json_is_string(v) && json_string_length(v) == 0) ||
           (json_is_array(v) && json_array_size(v) == 0) ||
           (json_is_object(v) && json_object_size(v) == 0);
}

static char *config_text(const struct settings *s, const json_t *own)
{
    autojson json_t *all = settings_to_json(s), *config = json_object();

    for (size_t i = 0; i < ARRAY_SIZE(config_members); i++) {
        json_t *value = json_object_get(own, config_members[i]);

        if (is_empty(value))
            value = json_object_get(all, config_members[i]);
        if (!is_empty(value))
            json_object_set(config, config_members[i], value);
    }
    return json_dumps(config, JSON_COMPACT);
}

/* ---- both ------------------------------------------------------------------------------------ */

static int import(struct image_store *images, struct packer *p, const struct record *r,
                  const struct engine_commit *ask, const char *config, struct image **ret,
                  struct wharf_error *e)
{
    struct image_import_options options = {
        .size = sizeof(options),
        .name = settings_text(ask->name) ? ask->name : NULL,
        .changes = ask->changes,
        .comment = ask->comment,
        .base = r->image_id,
        .config = config,
        .author = settings_text(ask->author) ? ask->author : NULL,
        .created_by = r->command,
    };
    int pipe_fds[2];
    pthread_t thread;

    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return err_sys(e, "cannot make a pipe");
    p->fd = pipe_fds[1];
    int code = -pthread_create(&thread, NULL, pack, p);
    if (code < 0) {
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        return err_code(e, code, "cannot start a thread");
    }
    code = image_import(images, pipe_fds[0], &options, ret, e);
    close(pipe_fds[0]);
    pthread_join(thread, NULL);
    if (p->result < 0 && code == 0) {
        image_free(*ret);
        if (e)
            *e = p->e;
        code = p->result;
    }
    return code;
}

static int commit(struct engine *en, const struct record *r, const struct settings *s,
                  const struct engine_commit *ask, json_t **ret, struct wharf_error *e)
{
    autofree char *config = config_text(s, ask->config);
    autoclose int root = container_root(en, r, e);
    struct changes changes = { 0 };
    struct image_store *images;
    struct image *image = NULL;
    struct packer p = { .root = root, .changes = &changes };
    int code = root;

    if (code >= 0)
        code = config ? engine_images(en, (struct principal){ 0 }, &images, e) : err_nomem(e);
    if (code == 0)
        code = changes_collect(en, r, &changes, e);
    if (code == 0)
        code = import(images, &p, r, ask, config, &image, e);
    changes_done(&changes);
    if (code < 0)
        return code;
    *ret = json_pack("{s:s}", "Id", image_info(image)->id);
    image_free(image);
    return *ret ? 0 : err_nomem(e);
}

int engine_container_commit(struct engine *en, struct principal who, const char *reference,
                            const struct engine_commit *ask, json_t **ret, struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(SETTINGS_ARENA_MAX);
    autorecord struct record r = { 0 };
    struct settings s;
    int code = arena ? container_find(en, who, reference, &r, NULL, e) : err_nomem(e);

    if (code == 0)
        code = settings_read(r.settings, strlen(r.settings), arena, &s, e);
    if (code < 0)
        return code;
    bool pause = ask->pause && r.state == STATE_RUNNING;
    if (pause)
        code = engine_container_pause(en, who, r.id, true, e);
    if (code == 0)
        code = commit(en, &r, &s, ask, ret, e);
    if (pause)
        engine_container_pause(en, who, r.id, false, NULL);
    if (code == 0)
        engine_emit(en, &r, "commit", NULL);
    return code;
}
