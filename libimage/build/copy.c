/* SPDX-License-Identifier: Apache-2.0 */
/*
 * COPY, ADD and WORKDIR: gather what is read, ask the cache, else write it into the root.
 *
 * The key is made of the chain below (not with --link), the destination after expansion, the flags,
 * and the digest of everything that is read. The history shows a digest of the same, in docker's
 * form: `COPY file:SHA in /dest`.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include "base/fd.h"
#include "base/str.h"
#include "libimage/build/context.h"
#include "libimage/build/remote.h"
#include "libimage/build/target.h"
#include "libimage/build/words.h"
#include "libimage/layer.h"

/* A file that is no file: a here-document, or what an URL gave. */
struct inline_file {
    const char *name;
    int fd;
    mode_t mode;
    int64_t mtime;
    bool unpack; /* an archive is taken apart */
    bool tree;   /* `fd` is a directory: its children are copied (git) */
};

struct copy {
    struct stage_work *s;
    const struct instruction *i;
    struct tree tree;
    LIST_OF(struct inline_file) files;
    const char *dest;      /* absolute, cleaned */
    const char *dest_text; /* as it stood there, expanded */
    bool dest_is_dir;
    const char *chown, *chmod;
    int dir; /* source directory, -1: none */
    char content[KEY_MAX];
};

static void copy_done(struct copy *c)
{
    for (size_t i = 0; i < c->files.count; i++)
        fd_close(c->files.items[i].fd);
    tree_done(&c->tree);
    fd_close(c->dir);
}
#define autocopy __attribute__((cleanup(copy_done)))

/* ---- what is read ---------------------------------------------------------------------------- */

static int add_file(struct copy *c, struct inline_file file, struct wharf_error *e)
{
    struct inline_file *at = LIST_ADD(c->s->arena, &c->files, TREE_SOURCES_MAX);
    autobuf struct buf block = BUF(1 << 20);
    struct digest digest;
    struct hasher h = { 0 };
    ssize_t n = 0;

    if (!at || !buf_reserve(&block, 1 << 19)) {
        fd_close(file.fd);
        return err_nomem(e);
    }
    *at = file;
    key_add(&c->tree.key, file.name);
    if (file.tree)
        return 0; /* the commit's id is in the key */
    hasher_init(&h, NULL);
    for (off_t offset = 0; (n = pread(file.fd, block.data, 1 << 19, offset)) > 0; offset += n)
        hasher_add(&h, block.data, (size_t)n);
    hasher_end(&h, &digest);
    key_add(&c->tree.key, digest.text);
    return n < 0 ? err_sys(e, "cannot read '%s'", file.name) : 0;
}

static int add_heredoc(struct copy *c, const struct heredoc *word, struct wharf_error *e)
{
    struct inline_file file = { .name = word->name, .fd = -1, .mode = 0644 };
    const char *content = "";
    int r = 0;

    for (size_t n = 0; n < c->i->docs.count; n++) {
        const struct heredoc *doc = &c->i->docs.items[n];

        if (streq(doc->name, word->name))
            content = doc->content;
    }
    if (word->expand)
        r = stage_expand_document(c->s, content, &content, e);
    if (r < 0)
        return r;
    file.mtime = c->s->job->epoch >= 0 ? c->s->job->epoch : c->s->job->now;
    file.fd = memfd_create("heredoc", MFD_CLOEXEC);
    r = file.fd < 0 ? -errno : fd_write_all(file.fd, content, strlen(content));
    if (r < 0) {
        fd_close(file.fd);
        return err_code(e, r, "cannot keep a heredoc");
    }
    return add_file(c, file, e);
}

static int check_checksum(struct copy *c, const char *what, int fd, struct wharf_error *e)
{
    autobuf struct buf block = BUF(1 << 20);
    struct digest want, have;
    struct hasher h = { 0 };
    ssize_t n;
    int r = digest_parse(&want, c->i->flags.checksum, "--checksum", e);

    if (r < 0)
        return r;
    if (!buf_reserve(&block, 1 << 19) || hasher_init(&h, &want) < 0)
        return err_nomem(e);
    for (off_t at = 0; (n = pread(fd, block.data, 1 << 19, at)) > 0; at += n)
        hasher_add(&h, block.data, (size_t)n);
    hasher_end(&h, &have);
    if (n == 0 && digest_equal(&want, &have))
        return 0;
    return err_set(e, -EBADMSG, WHARF_ERROR_CORRUPT, "digest mismatch %s: %s (of '%.200s')",
                   have.text, want.text, what);
}

static int add_url(struct copy *c, const char *url, struct wharf_error *e)
{
    struct inline_file file = { .fd = -1, .mode = 0600 };
    struct build_fetched fetched;
    const char *name;
    int r = remote_fetch(c->s->job, url, &file.fd, &fetched, e);

    if (r < 0)
        return r;
    file.name = arena_str(c->s->arena, fetched.name);
    file.mtime = fetched.modified >= 0 ? fetched.modified : 0;
    file.unpack = c->i->flags.unpack && streq(c->i->flags.unpack, "true");
    name = file.name ? file.name : "";
    if (c->dest_is_dir && !*name) {
        fd_close(file.fd);
        return err_invalid(e, "cannot determine filename from url: %.200s", url);
    }
    if (c->i->flags.checksum)
        r = check_checksum(c, url, file.fd, e);
    if (r < 0) {
        fd_close(file.fd);
        return r;
    }
    return add_file(c, file, e);
}

static int add_git(struct copy *c, const char *url, struct wharf_error *e)
{
    struct inline_file file = { .name = "", .fd = -1, .tree = true };
    char commit[80];
    int r = remote_git(c->s->job, url, c->i->flags.keep_git_dir, c->i->flags.checksum, &file.fd,
                       commit, e);

    if (r < 0)
        return r;
    key_add(&c->tree.key, commit);
    return add_file(c, file, e);
}

static int add_sources(struct copy *c, struct wharf_error *e)
{
    const struct instruction *i = c->i;
    size_t files = 0;
    int r = 0;

    for (size_t n = 0; n + 1 < i->count && r == 0; n++) {
        struct heredoc word;
        const char *text;

        r = i->json ? 0 : heredoc_word(i->args[n], c->s->arena, &word, e);
        if (r > 0) {
            r = add_heredoc(c, &word, e);
            continue;
        }
        if (r == 0)
            r = stage_expand(c->s, i->args[n], &text, e);
        if (r < 0)
            break;
        if (i->kind == INSTRUCTION_ADD && remote_is_git(text))
            r = add_git(c, text, e);
        else if (i->kind == INSTRUCTION_ADD && remote_is_url(text))
            r = add_url(c, text, e);
        else if (i->flags.checksum)
            r = err_invalid(e, "checksum can't be specified for local sources");
        else if (c->tree.root < 0)
            r = err_not_found(e, "no build context: nothing to copy '%.200s' from", text);
        else {
            r = tree_add(&c->tree, text, e);
            files++;
        }
    }
    return r;
}

/* The directory that sources are found in. */
static int open_source(struct copy *c, struct layer_stack *layers, struct wharf_error *e)
{
    struct job *job = c->s->job;
    int r;

    if (!c->i->flags.from) {
        tree_open(&c->tree, c->s, job->context);
        c->tree.ignore = &job->ignore;
        return 0;
    }
    r = stage_source(c->s, c->i->flags.from, layers, &c->dir, e);
    if (r == 0 && c->dir < 0)
        r = c->dir = layer_stack_view(job, layers, e);
    tree_open(&c->tree, c->s, c->dir);
    c->tree.owners = true;
    return MIN(r, 0);
}

/* ---- where it goes --------------------------------------------------------------------------- */

static const char *working_dir(struct stage_work *s)
{
    const char *dir = json_string_value(json_object_get(s->state.config, "WorkingDir"));

    return dir && *dir ? dir : "/";
}

/* A path of the image in full; *ret_dir: it says itself that it is a directory. */
static const char *absolute(struct stage_work *s, const char *path, bool *ret_dir)
{
    autofree char *whole = *path == '/' ? strdup(path) : str_format("%s/%s", working_dir(s), path);
    autofree char *clean = whole ? path_clean(whole) : NULL;

    *ret_dir = str_ends(path, "/") || str_ends(path, "/.") || streq(path, ".") || !*path;
    return clean ? arena_str(s->arena, clean) : NULL;
}

static int prepare(struct copy *c, struct wharf_error *e)
{
    const struct instruction_flags *f = &c->i->flags;
    const char *dest;
    int r = stage_expand(c->s, c->i->args[c->i->count - 1], &dest, e);

    if (r == 0 && f->chown)
        r = stage_expand(c->s, f->chown, &c->chown, e);
    if (r == 0 && f->chmod)
        r = stage_expand(c->s, f->chmod, &c->chmod, e);
    if (r < 0)
        return r;
    c->dest = absolute(c->s, dest, &c->dest_is_dir);
    c->dest_text = dest;
    if (!c->dest)
        return err_nomem(e);
    c->tree.parents = f->parents;
    for (size_t n = 0; n < f->excludes.count && r == 0; n++) {
        const char *pattern;

        r = stage_expand(c->s, f->excludes.items[n], &pattern, e);
        if (r == 0)
            r = glob_list_add(&c->tree.exclude, pattern, c->s->arena, e);
    }
    return r;
}

static int check_destination(struct copy *c, struct wharf_error *e)
{
    size_t count = c->tree.sources.count + c->files.count;

    if (count > 1 && !c->dest_is_dir)
        return err_invalid(e,
                           "When using %s with more than one source file, the destination must be "
                           "a directory and end with a /",
                           instruction_name(c->i->kind));
    return 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

static const char *below(struct copy *c, const char *name)
{
    return streq(c->dest, "/") ? arena_format(c->s->arena, "/%s", name)
                               : arena_format(c->s->arena, "%s/%s", c->dest, name);
}

/* Takes an archive apart in the destination; 1: it was none. */
static int unpack(struct copy *c, struct target *t, int fd, const char *what, struct wharf_error *e)
{
    struct image_store *store = c->s->job->store;
    autoclose int dir = -1;
    autofeed struct feed feed = { 0 };
    struct feed_options options = { .what = what,
                                    .limits = &store->limits,
                                    .bytes_max = store->limits.layer_bytes,
                                    .bytes_name = "layer_bytes",
                                    .copy = -1,
                                    .total = -1 };
    struct file_source file;
    struct extract x;
    int r;

    if (!is_archive(fd))
        return 1;
    dir = target_directory(t, c->dest, e);
    if (dir < 0)
        return dir;
    r = file_source_init(&file, fd, what, e);
    if (r < 0)
        return r;
    extract_init(&x, dir, what);
    x.plain = true;
    x.limits = store->limits;
    x.devices = store->devices;
    x.owned = c->chown != NULL; /* else it says itself whose its files are */
    x.uid = x.owned ? t->owner->uid : 0;
    x.gid = x.owned ? t->owner->gid : 0;
    r = feed_open(&feed, &file.base, options, e);
    if (r == 0)
        r = extract_all(&x, &feed.tar, e);
    extract_done(&x);
    file_source_done(&file);
    return r;
}

static int write_source(struct copy *c, struct target *t, const struct tree_source *source,
                        struct wharf_error *e)
{
    const struct tree_entry *top = &c->tree.entries.items[source->first];
    const char *path = c->dest;
    int r = 1;

    if (source->keep_path && !S_ISDIR(top->st.st_mode))
        path = below(c, top->to);
    if (!path)
        return err_nomem(e);
    if (S_ISDIR(top->st.st_mode))
        return target_copy(t, &c->tree, source, path, e);
    if (c->i->kind == INSTRUCTION_ADD && S_ISREG(top->st.st_mode) &&
        !(c->i->flags.unpack && streq(c->i->flags.unpack, "false"))) {
        autoclose int fd = tree_open_file(top);

        r = fd < 0 ? err_code(e, fd, "cannot open '%.200s'", source->name)
                   : unpack(c, t, fd, source->name, e);
    }
    if (r <= 0)
        return r;
    if (!source->keep_path && (c->dest_is_dir || target_is_directory(t, c->dest)))
        path = below(c, source->name);
    return path ? target_copy(t, &c->tree, source, path, e) : err_nomem(e);
}

static int write_tree_of(struct copy *c, struct target *t, int dir, struct wharf_error *e)
{
    autotree struct tree all;
    int r;

    tree_open(&all, c->s, dir);
    r = tree_add(&all, ".", e);
    return r < 0 ? r : target_copy(t, &all, &all.sources.items[0], c->dest, e);
}

static int write_inline(struct copy *c, struct target *t, const struct inline_file *file,
                        struct wharf_error *e)
{
    struct stat st = { .st_mode = S_IFREG | file->mode, .st_mtim = { file->mtime, 0 } };
    const char *path = c->dest;
    int r = 1;

    if (file->tree)
        return write_tree_of(c, t, file->fd, e);
    if (lseek(file->fd, 0, SEEK_SET) < 0)
        return err_sys(e, "cannot read '%s'", file->name);
    if (file->unpack)
        r = unpack(c, t, file->fd, file->name, e);
    if (r <= 0)
        return r;
    lseek(file->fd, 0, SEEK_SET);
    if (c->dest_is_dir || target_is_directory(t, c->dest))
        path = below(c, file->name);
    return path ? target_file(t, path, file->fd, &st, e) : err_nomem(e);
}

static int write_all(struct copy *c, struct workspace *w, struct wharf_error *e)
{
    struct target t = { .root = w->mount, .mode = c->chmod, .arena = c->s->arena };
    struct owner owner = { 0, 0 };
    int r = c->chown ? owner_parse(w->mount, c->chown, &owner, e) : 0;

    if (r < 0)
        return r;
    if (c->chown || !c->tree.owners)
        t.owner = &owner;
    for (size_t n = 0; n < c->tree.sources.count && r == 0; n++)
        r = write_source(c, &t, &c->tree.sources.items[n], e);
    for (size_t n = 0; n < c->files.count && r == 0; n++)
        r = write_inline(c, &t, &c->files.items[n], e);
    return r;
}

static int make(struct copy *c, struct outcome *o, struct wharf_error *e)
{
    const struct layer_stack *layers = &c->s->state.layers;
    autoworkspace struct workspace w = WORKSPACE;
    int r;

    job_tell(c->s->job, (struct build_event){ .type = BUILD_EVENT_RUNNING,
                                              .number = c->s->step,
                                              .stage = c->s->index });
    r = workspace_open(&w, c->s->job, layers, NULL, e);
    if (r == 0)
        r = write_all(c, &w, e);
    if (r == 0)
        r = workspace_commit(&w, layers, &o->record, e);
    return r;
}

/* ---- keys and history ------------------------------------------------------------------------ */

static void make_key(struct copy *c, char ret[KEY_MAX])
{
    const struct instruction_flags *f = &c->i->flags;
    char epoch[24];
    struct key k;

    snprintf(epoch, sizeof(epoch), "%lld", (long long)c->s->job->epoch);
    key_begin(&k, instruction_name(c->i->kind));
    key_add(&k, layer_stack_chain(&c->s->state.layers));
    key_add(&k, c->content);
    key_add(&k, c->dest);
    key_add(&k, c->dest_is_dir ? "directory" : "");
    key_add(&k, c->chown);
    key_add(&k, c->chmod);
    key_add(&k, f->from ? "from" : "");
    key_add(&k, f->parents ? "parents" : "");
    key_add(&k, f->unpack);
    key_add(&k, epoch);
    key_end(&k, ret);
}

/* `file:SHA`, `dir:SHA` or `multi:SHA`, as docker calls what it copied. */
static const char *history_text(struct copy *c)
{
    struct arena *arena = c->s->arena;
    size_t count = c->tree.sources.count + c->files.count;
    bool dir = c->tree.sources.count == 1 &&
               S_ISDIR(c->tree.entries.items[c->tree.sources.items[0].first].st.st_mode);
    const char *kind = count > 1 ? "multi" : dir ? "dir" : "file";

    if (!c->s->job->o.classic)
        return arena_format(arena, "%s %s", instruction_name(c->i->kind), c->i->arguments);
    /* no blank behind --chown: so dockerd writes it */
    return nop_text(c->s, arena_format(arena, "%s %s%s%s:%s in %s ", instruction_name(c->i->kind),
                                       c->chown ? "--chown=" : "", c->chown ? c->chown : "", kind,
                                       c->content, c->dest_text));
}

int stage_copy(struct stage_work *s, const struct instruction *i, struct outcome *o,
               struct wharf_error *e)
{
    autocopy struct copy c = { .s = s, .i = i, .dir = -1 };
    struct layer_stack layers = { 0 };
    char key[KEY_MAX];
    int r;

    tree_open(&c.tree, s, -1);
    r = open_source(&c, &layers, e);
    if (r == 0)
        r = prepare(&c, e);
    if (r == 0) {
        r = add_sources(&c, e);
        if (r < 0)
            err_wrap(e, r, "%s failed", instruction_name(i->kind));
    }
    layer_stack_done(&layers);
    if (r == 0)
        r = check_destination(&c, e);
    if (r < 0)
        return r;
    key_end(&c.tree.key, c.content);
    make_key(&c, key);
    o->files = true;
    o->text = history_text(&c);
    if (!o->text)
        return err_nomem(e);
    o->cached = cache_find(s->job, key, &o->record);
    if (o->cached)
        return 0;
    r = make(&c, o, e);
    return r < 0 ? r : cache_add(s->job, key, &o->record, e);
}

/* ---- WORKDIR --------------------------------------------------------------------------------- */

static int make_directory(struct stage_work *s, const char *path, struct outcome *o,
                          struct wharf_error *e)
{
    autoworkspace struct workspace w = WORKSPACE;
    int r = workspace_open(&w, s->job, &s->state.layers, NULL, e);
    struct target t = { .root = w.mount, .arena = s->arena };

    if (r < 0)
        return r;
    autoclose int fd = target_directory(&t, path, e);
    return fd < 0 ? fd : workspace_commit(&w, &s->state.layers, &o->record, e);
}

int stage_workdir(struct stage_work *s, const struct instruction *i, struct outcome *o,
                  struct wharf_error *e)
{
    const char *text, *path, *shown;
    bool classic = s->job->o.classic, dir;
    char key[KEY_MAX], epoch[24];
    struct key k;
    int r = stage_expand(s, i->args[0], &text, e);

    if (r < 0)
        return r;
    path = absolute(s, text, &dir);
    shown = classic && *text == '/' ? text : path; /* dockerd cleans relative ones only */
    if (!path || json_object_set_new(s->state.config, "WorkingDir", json_string(shown)) < 0)
        return err_nomem(e);
    snprintf(epoch, sizeof(epoch), "%lld", (long long)s->job->epoch);
    key_begin(&k, "WORKDIR");
    key_add(&k, layer_stack_chain(&s->state.layers));
    key_add(&k, path);
    key_add(&k, epoch);
    key_end(&k, key);
    o->files = true;
    o->text = arena_format(s->arena, "WORKDIR %s", shown);
    if (o->text && classic)
        o->text = nop_text(s, o->text);
    if (!o->text)
        return err_nomem(e);
    o->cached = cache_find(s->job, key, &o->record);
    if (o->cached)
        return 0;
    r = make_directory(s, path, o, e);
    return r < 0 ? r : cache_add(s->job, key, &o->record, e);
}
