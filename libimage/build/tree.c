/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing and hashing. See tree.h. */
#include "libimage/build/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include "base/fd.h"
#include "base/str.h"

enum { HASH_BLOCK = 256 << 10, DEPTH_MAX = 1024 };

void tree_open(struct tree *t, struct stage_work *s, int root)
{
    *t = (struct tree){ .s = s, .root = root };
    key_begin(&t->key, "tree");
}

void tree_done(struct tree *t)
{
    for (size_t i = 0; i < t->fds.count; i++)
        fd_close(t->fds.items[i]);
    t->fds.count = 0;
}

static int keep_fd(struct tree *t, int fd)
{
    int *at = LIST_ADD(t->s->arena, &t->fds, TREE_SOURCES_MAX);

    if (!at) {
        fd_close(fd);
        return -ENOMEM;
    }
    *at = fd;
    return fd;
}

int tree_open_file(const struct tree_entry *entry)
{
    char path[64];
    int fd;

    if (*entry->path) {
        fd = path_open_plain(entry->fd, entry->path, O_RDONLY | O_NOFOLLOW, 0);
        return fd;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", entry->fd);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* ---- hashing --------------------------------------------------------------------------------- */

static int hash_content(struct tree *t, const struct tree_entry *entry, struct wharf_error *e)
{
    autoclose int fd = tree_open_file(entry);
    autofree char *block = malloc(HASH_BLOCK);
    struct digest digest;
    struct hasher h = { 0 };
    ssize_t n;

    if (fd < 0)
        return err_code(e, fd, "cannot open '%.200s'", entry->to);
    if (!block || hasher_init(&h, NULL) < 0)
        return err_nomem(e);
    while ((n = read(fd, block, HASH_BLOCK)) != 0) {
        if (n < 0 && errno != EINTR)
            return err_sys(e, "cannot read '%.200s'", entry->to);
        if (n > 0)
            hasher_add(&h, block, (size_t)n);
    }
    hasher_end(&h, &digest);
    key_add(&t->key, digest.text);
    return 0;
}

static int hash_entry(struct tree *t, const struct tree_entry *entry, struct wharf_error *e)
{
    char text[128];

    snprintf(text, sizeof(text), "%o %u %u %llu %llx", entry->st.st_mode,
             t->owners ? entry->st.st_uid : 0, t->owners ? entry->st.st_gid : 0,
             S_ISREG(entry->st.st_mode) ? (unsigned long long)entry->st.st_size : 0,
             S_ISCHR(entry->st.st_mode) || S_ISBLK(entry->st.st_mode)
                 ? (unsigned long long)entry->st.st_rdev
                 : 0);
    key_add(&t->key, entry->to);
    key_add(&t->key, text);
    key_add(&t->key, entry->link);
    return S_ISREG(entry->st.st_mode) ? hash_content(t, entry, e) : 0;
}

/* ---- walking --------------------------------------------------------------------------------- */

struct walk {
    struct tree *t;
    int fd;             /* of the source */
    const char *prefix; /* of the source in its root, for patterns: "" or "a/b" */
    const char *to;     /* before each `to` */
    unsigned depth;
    struct wharf_error *e;
};

static const char *join(struct tree *t, const char *a, const char *b)
{
    return !*a ? b : !*b ? a : arena_format(t->s->arena, "%s/%s", a, b);
}

/* The path as patterns see it is that in the context; for --exclude, too. */
static bool is_excluded(const struct walk *w, const char *path, bool *ret_inside)
{
    const struct tree *t = w->t;
    const char *full = join(w->t, w->prefix, path);

    if (!full || !*full)
        return false;
    bool ignored = t->ignore && glob_list_excludes(t->ignore, full);
    bool excluded = t->exclude.count && *path && glob_list_excludes(&t->exclude, path);

    /* an exception may lead back in */
    *ret_inside = (!ignored || t->ignore->has_include) && (!excluded || t->exclude.has_include);
    return ignored || excluded;
}

static int add_entry(struct walk *w, const char *path, const struct stat *st)
{
    struct tree *t = w->t;
    struct tree_entry entry = { .path = path, .to = join(t, w->to, path), .st = *st, .fd = w->fd };
    struct tree_entry *at;
    char target[IMAGE_PATH_MAX + 1];
    int r = job_check(t->s->job, w->e);

    if (r < 0)
        return r;
    if (S_ISLNK(st->st_mode)) {
        ssize_t n = readlinkat(w->fd, path, target, sizeof(target) - 1);

        if (n < 0)
            return err_sys(w->e, "cannot read '%.200s'", path);
        entry.link = arena_strn(t->s->arena, target, (size_t)n);
    }
    at = entry.to ? LIST_ADD(t->s->arena, &t->entries, TREE_ENTRIES_MAX) : NULL;
    if (!at)
        return err_nomem(w->e);
    *at = entry;
    return hash_entry(t, at, w->e);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names of a directory, sorted, of the arena. */
static int list_names(struct tree *t, int dir, char ***ret, size_t *ret_count)
{
    LIST_OF(char *) names = { 0 };
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!stream) {
        r = -errno;
        fd_close(fd);
        return r;
    }
    while (r == 0 && (entry = readdir(stream))) {
        if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
            continue;
        char **at = LIST_ADD(t->s->arena, &names, TREE_ENTRIES_MAX);
        if (at)
            *at = arena_str(t->s->arena, entry->d_name);
        r = at && *at ? 0 : -ENOMEM;
    }
    closedir(stream);
    if (r == 0 && names.count > 1)
        qsort(names.items, names.count, sizeof(char *), compare);
    *ret = names.items;
    *ret_count = names.count;
    return r;
}

static int walk_directory(struct walk *w, int dir, const char *path);

/* A directory that is excluded appears if something in it does not. */
static int walk_child(struct walk *w, int dir, const char *name, const char *path)
{
    bool inside = true, excluded = is_excluded(w, path, &inside);
    size_t before = w->t->entries.count;
    struct stat st;
    int r;

    if (excluded && !inside)
        return 0;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(w->e, "cannot look at '%.200s'", path);
    if (S_ISSOCK(st.st_mode) || (excluded && !S_ISDIR(st.st_mode)))
        return 0;
    r = excluded ? 0 : add_entry(w, path, &st);
    if (r < 0 || !S_ISDIR(st.st_mode))
        return r;
    autoclose int child = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (child < 0)
        return err_sys(w->e, "cannot open '%.200s'", path);
    r = walk_directory(w, child, path);
    if (r == 0 && excluded && w->t->entries.count > before) {
        /* behind its children in the list: copying makes it first all the same, as a parent */
        r = add_entry(w, path, &st);
    }
    return r;
}

static int walk_directory(struct walk *w, int dir, const char *path)
{
    char **names;
    size_t count;
    int r = list_names(w->t, dir, &names, &count);

    if (r < 0)
        return err_code(w->e, r, "cannot read '%.200s'", path);
    if (++w->depth > DEPTH_MAX)
        return err_set(w->e, -EFBIG, WHARF_ERROR_LIMIT, "directories deeper than %d", DEPTH_MAX);
    for (size_t i = 0; i < count && r == 0; i++) {
        const char *below = join(w->t, path, names[i]);

        r = below ? walk_child(w, dir, names[i], below) : err_nomem(w->e);
    }
    w->depth--;
    return r;
}

/* ---- sources --------------------------------------------------------------------------------- */

static int not_found(const char *path, struct wharf_error *e)
{
    return err_not_found(e,
                         "file not found in build context or excluded by .dockerignore: stat "
                         "%.200s: file does not exist",
                         path);
}

/* One path without wildcards, relative to the root; `pivot`: how much of it --parents drops. */
static int add_source(struct tree *t, const char *path, size_t pivot, struct wharf_error *e)
{
    struct walk w = { .t = t, .prefix = path, .to = "", .e = e };
    const char *slash = strrchr(path, '/');
    struct tree_source source = { .name = slash ? slash + 1 : path,
                                  .first = t->entries.count,
                                  .keep_path = t->parents };
    struct tree_source *at;
    bool inside = true;
    struct stat st;
    int fd, r;

    fd = path_open_in(t->root, *path ? path : ".", O_PATH, 0);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
        return not_found(path, e);
    if (fd < 0)
        return err_code(e, fd, "cannot open '%.200s'", path);
    w.fd = keep_fd(t, fd);
    if (w.fd < 0 || fstat(fd, &st) < 0)
        return err_sys(e, "cannot look at '%.200s'", path);
    if (t->parents)
        w.to = path + pivot;
    if (is_excluded(&w, "", &inside) && !(S_ISDIR(st.st_mode) && inside))
        return not_found(path, e);
    r = add_entry(&w, "", &st);
    if (r == 0 && S_ISDIR(st.st_mode))
        r = walk_directory(&w, fd, "");
    if (r < 0)
        return r;
    source.count = t->entries.count - source.first;
    at = LIST_ADD(t->s->arena, &t->sources, TREE_SOURCES_MAX);
    if (!at)
        return err_nomem(e);
    *at = source;
    key_add(&t->key, source.name);
    return 0;
}

/* Everything in a directory whose path can still come to fit. */
struct search {
    struct tree *t;
    struct glob *glob;
    size_t pivot;
    bool deep; /* `**` in it */
    size_t parts;
    struct wharf_error *e;
};

static int search_in(struct search *x, int dir, const char *path, size_t depth)
{
    char **names;
    size_t count;
    int r = list_names(x->t, dir, &names, &count);

    if (r < 0)
        return err_code(x->e, r, "cannot read '%.200s'", path);
    for (size_t i = 0; i < count && r == 0; i++) {
        const char *below = join(x->t, path, names[i]);

        if (!below)
            return err_nomem(x->e);
        if (x->t->ignore && !x->t->ignore->has_include && glob_list_excludes(x->t->ignore, below))
            continue;
        if (glob_matches(x->glob, below, strlen(below))) {
            bool gone = x->t->ignore && glob_list_excludes(x->t->ignore, below);

            r = gone ? 0 : add_source(x->t, below, x->pivot, x->e);
        } else if (x->deep || depth + 1 < x->parts) {
            autoclose int child = path_open_in(dir, names[i], O_RDONLY | O_DIRECTORY, 0);

            r = child < 0 ? 0 : search_in(x, child, below, depth + 1);
        }
    }
    return r;
}

static int add_pattern(struct tree *t, const char *path, size_t pivot, struct wharf_error *e)
{
    struct search x = { .t = t, .pivot = pivot, .parts = 1, .e = e };
    size_t before = t->sources.count;
    int r = glob_new(path, t->s->arena, &x.glob, e);

    if (r < 0)
        return r;
    x.deep = strstr(path, "**") != NULL;
    for (const char *p = path; *p; p++)
        x.parts += *p == '/';
    r = search_in(&x, t->root, "", 0);
    if (r == 0 && t->sources.count == before)
        return err_not_found(e, "no source files were specified");
    return r;
}

int tree_add(struct tree *t, const char *path, struct wharf_error *e)
{
    const char *mark = t->parents ? strstr(path, "/./") : NULL;
    autofree char *before = mark ? strndup(path, (size_t)(mark - path)) : NULL;
    autofree char *head = before ? path_clean(before) : NULL;
    autofree char *clean = path_clean(path);
    const char *relative;
    size_t pivot = 0;

    if (!clean || (mark && !head))
        return err_nomem(e);
    if (str_after(clean, "../") || streq(clean, ".."))
        return err_invalid(e, "forbidden path outside the build context: %.200s ()", path);
    relative = clean + (*clean == '/');
    if (streq(relative, "."))
        relative = "";
    relative = arena_str(t->s->arena, relative);
    if (!relative)
        return err_nomem(e);
    if (head) {
        pivot = strlen(head) - (*head == '/');
        pivot += pivot > 0;
        pivot = MIN(pivot, strlen(relative));
    }
    return glob_is_pattern(relative) ? add_pattern(t, relative, pivot, e)
                                     : add_source(t, relative, pivot, e);
}

int tree_digest(struct stage_work *s, int root, const struct glob_list *ignore, const char *path,
                char ret[KEY_MAX], struct wharf_error *e)
{
    autotree struct tree t;
    int r;

    tree_open(&t, s, root);
    t.ignore = ignore;
    t.owners = !ignore;
    r = tree_add(&t, path, e);
    key_end(&t.key, ret);
    return r;
}
