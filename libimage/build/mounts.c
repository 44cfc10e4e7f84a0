/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts of RUN. See mounts.h. A bind mount that may be written gets an overlay of its own, whose
 * upper directory is thrown away. A cache is a directory in the store, layers/caches/ID, with a
 * lock beside it: `locked` waits for it, `private` takes the first of ID, ID.1, .. that is free.
 */
#include "libimage/build/mounts.h"

#include <fcntl.h>
#include <sys/file.h>
#include "base/fd.h"
#include "base/str.h"
#include "libimage/build/tree.h"

enum { PRIVATE_MAX = 256 };

/* ---- parsing --------------------------------------------------------------------------------- */

static const struct field_word types[] = { { "bind", MOUNT_BIND },   { "cache", MOUNT_CACHE },
                                           { "tmpfs", MOUNT_TMPFS }, { "secret", MOUNT_SECRET },
                                           { "ssh", MOUNT_SSH },     { NULL, 0 } };
static const struct field_word sharings[] = { { "shared", SHARING_SHARED },
                                              { "private", SHARING_PRIVATE },
                                              { "locked", SHARING_LOCKED },
                                              { NULL, 0 } };

enum option_kind {
    OPTION_TEXT,
    OPTION_BOOL,
    OPTION_NOT,
    OPTION_SIZE,
    OPTION_MODE,
    OPTION_ID,
    OPTION_SHARING
};

#define BIT(type)  (1u << MOUNT_##type)
#define AT(member) offsetof(struct mount_request, member)

static const struct option {
    const char *name;
    enum option_kind kind;
    unsigned on;
    size_t offset;
} options[] = {
    { "target", OPTION_TEXT, ~0u, AT(target) },
    { "dst", OPTION_TEXT, ~0u, AT(target) },
    { "destination", OPTION_TEXT, ~0u, AT(target) },
    { "source", OPTION_TEXT, BIT(BIND) | BIT(CACHE), AT(source) },
    { "src", OPTION_TEXT, BIT(BIND) | BIT(CACHE), AT(source) },
    { "from", OPTION_TEXT, BIT(BIND) | BIT(CACHE), AT(from) },
    { "id", OPTION_TEXT, BIT(CACHE) | BIT(SECRET) | BIT(SSH), AT(id) },
    { "env", OPTION_TEXT, BIT(SECRET), AT(env) },
    { "readonly", OPTION_BOOL, BIT(BIND) | BIT(CACHE), AT(read_only) },
    { "ro", OPTION_BOOL, BIT(BIND) | BIT(CACHE), AT(read_only) },
    { "readwrite", OPTION_NOT, BIT(BIND) | BIT(CACHE), AT(read_only) },
    { "rw", OPTION_NOT, BIT(BIND) | BIT(CACHE), AT(read_only) },
    { "required", OPTION_BOOL, BIT(SECRET) | BIT(SSH), AT(required) },
    { "sharing", OPTION_SHARING, BIT(CACHE), AT(sharing) },
    { "size", OPTION_SIZE, BIT(TMPFS), AT(size) },
    { "mode", OPTION_MODE, BIT(CACHE) | BIT(SECRET) | BIT(SSH), AT(mode) },
    { "uid", OPTION_ID, BIT(CACHE) | BIT(SECRET) | BIT(SSH), AT(uid) },
    { "gid", OPTION_ID, BIT(CACHE) | BIT(SECRET) | BIT(SSH), AT(gid) },
};

static int bad_value(const char *name, const char *value, struct wharf_error *e)
{
    return err_invalid(e, "invalid value for %s: %.100s", name, value);
}

static int set_option(struct mount_request *m, const struct option *o, const char *value,
                      struct wharf_error *e)
{
    void *at = (char *)m + o->offset;
    bool yes = !value || streq(value, "true") || streq(value, "1");
    uint64_t number;
    int64_t word;

    if (o->kind != OPTION_BOOL && o->kind != OPTION_NOT && !value)
        return err_invalid(e, "invalid field '%s' must be a key=value pair", o->name);
    switch (o->kind) {
    case OPTION_TEXT:
        *(const char **)at = value;
        return 0;
    case OPTION_BOOL:
    case OPTION_NOT:
        if (!yes && !streq(value, "false") && !streq(value, "0"))
            return bad_value(o->name, value, e);
        *(bool *)at = yes == (o->kind == OPTION_BOOL);
        return 0;
    case OPTION_SIZE:
        return parse_size(value, at) < 0 ? bad_value(o->name, value, e) : 0;
    case OPTION_MODE:
        if (parse_octal(value, 07777, &number) < 0)
            return bad_value(o->name, value, e);
        *(mode_t *)at = (mode_t)number;
        return 0;
    case OPTION_ID:
        if (parse_u64(value, 0, UINT32_MAX - 1, &number) < 0)
            return bad_value(o->name, value, e);
        *(uid_t *)at = (uid_t)number;
        return 0;
    default:
        if (field_word_find(sharings, value, &word) < 0)
            return err_invalid(e, "unsupported sharing value %.50s", value);
        *(enum mount_sharing *)at = (enum mount_sharing)word;
        return 0;
    }
}

/* One key=value; `type` was looked for before, since it says what else there may be. */
static int take_field(struct mount_request *m, char *field, struct wharf_error *e)
{
    char *value = strchr(field, '=');

    if (value)
        *value++ = '\0';
    if (streq(field, "type"))
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        if (streq(options[i].name, field) && (options[i].on & 1u << m->type))
            return set_option(m, &options[i], value, e);
    }
    return err_invalid(e, "unexpected key '%.50s' in '%.50s%s%.50s'", field, field,
                       value ? "=" : "", value ? value : "");
}

static int find_type(const char *text, enum mount_type *ret, struct wharf_error *e)
{
    const char *p = text;
    char word[32];
    int64_t type;

    *ret = MOUNT_BIND;
    while (p && !str_after(p, "type="))
        p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL;
    if (!p)
        return 0;
    snprintf(word, sizeof(word), "%.*s", (int)MIN(strcspn(p + 5, ","), 31u), p + 5);
    if (field_word_find(types, word, &type) < 0)
        return err_invalid(e, "unsupported mount type \"%s\"", word);
    *ret = (enum mount_type)type;
    return 0;
}

static const char *absolute(struct stage_work *s, const char *path)
{
    const char *dir = json_string_value(json_object_get(s->state.config, "WorkingDir"));
    autofree char *whole =
        *path == '/' ? strdup(path) : str_format("%s/%s", dir && *dir ? dir : "/", path);
    autofree char *clean = whole ? path_clean(whole) : NULL;

    return clean ? arena_str(s->arena, clean) : NULL;
}

/* What was left out. */
static int complete(struct stage_work *s, struct mount_request *m, struct wharf_error *e)
{
    if (m->type == MOUNT_SECRET && !m->id && m->target)
        m->id = strrchr(m->target, '/') ? strrchr(m->target, '/') + 1 : m->target;
    if (m->type == MOUNT_SECRET && !m->id)
        return err_invalid(e, "secret mounts need an id or a target");
    if (m->type == MOUNT_SECRET && !m->target && !m->env)
        m->target = arena_format(s->arena, "/run/secrets/%s", m->id);
    if (m->type == MOUNT_SSH && !m->id)
        m->id = "default";
    if (m->type == MOUNT_SSH && !m->target)
        m->target = "/run/buildkit/ssh_agent.0";
    if (!m->target && !m->env)
        return err_invalid(e, "invalid mount: 'target' is missing");
    if (m->type == MOUNT_CACHE && !m->id)
        m->id = m->target;
    if (m->target)
        m->target = absolute(s, m->target);
    if (m->target && streq(m->target, "/"))
        return err_invalid(e, "invalid mount target \"/\"");
    return m->target || m->env ? 0 : err_nomem(e);
}

static int parse_one(struct stage_work *s, const char *text, struct mount_request *m,
                     struct wharf_error *e)
{
    const char *expanded;
    int r = stage_expand(s, text, &expanded, e);

    if (r == 0)
        r = find_type(expanded, &m->type, e);
    m->read_only = m->type == MOUNT_BIND;
    m->mode = m->type == MOUNT_CACHE ? 0755 : m->type == MOUNT_SECRET ? 0400 : 0600;
    for (const char *p = expanded; r == 0 && *p;) {
        size_t n = strcspn(p, ",");
        char *field = arena_strn(s->arena, p, n);

        r = field ? take_field(m, field, e) : err_nomem(e);
        p += n + (p[n] == ',');
    }
    return r < 0 ? r : complete(s, m, e);
}

int run_mounts_parse(struct stage_work *s, const struct instruction *i, mount_requests *ret,
                     struct wharf_error *e)
{
    int r = 0;

    for (size_t n = 0; n < i->flags.mounts.count && r == 0; n++) {
        struct mount_request m = { 0 }, *at;

        r = parse_one(s, i->flags.mounts.items[n], &m, e);
        at = r == 0 ? LIST_ADD(s->arena, ret, MOUNTS_MAX) : NULL;
        if (at)
            *at = m;
        else if (r == 0)
            r = err_set(e, -EFBIG, WHARF_ERROR_LIMIT, "more than %d mounts", MOUNTS_MAX);
    }
    return r;
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* The directory that a bind or cache mount is of, the caller's; -1 for what needs none. */
static int open_from(struct stage_work *s, const struct mount_request *m,
                     const struct glob_list **ret_ignore, struct wharf_error *e)
{
    struct layer_stack layers = { 0 };
    int dir = -1, r;

    *ret_ignore = NULL;
    if (!m->from) {
        if (s->job->context < 0)
            return err_not_found(e, "no build context to mount");
        *ret_ignore = &s->job->ignore;
        return fcntl(s->job->context, F_DUPFD_CLOEXEC, 3);
    }
    r = stage_source(s, m->from, &layers, &dir, e);
    if (r == 0 && dir < 0)
        dir = r = layer_stack_view(s->job, &layers, e);
    layer_stack_done(&layers);
    return r < 0 ? r : dir;
}

int run_mounts_key(struct stage_work *s, const mount_requests *requests, struct key *key,
                   struct wharf_error *e)
{
    for (size_t n = 0; n < requests->count; n++) {
        const struct mount_request *m = &requests->items[n];
        const struct glob_list *ignore;
        char digest[KEY_MAX] = "", text[64];

        if (m->type == MOUNT_BIND) {
            autoclose int dir = open_from(s, m, &ignore, e);
            int r =
                dir < 0 ? dir : tree_digest(s, dir, ignore, m->source ? m->source : "/", digest, e);

            if (r < 0)
                return r;
        }
        snprintf(text, sizeof(text), "%d %d %lld", m->type, m->read_only, (long long)m->size);
        key_add(key, text);
        key_add(key, m->target);
        key_add(key, m->id);
        key_add(key, m->env);
        key_add(key, digest);
    }
    return 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int keep(struct mounts *m, int fd)
{
    if (fd >= 0)
        m->fds[m->fd_count++] = fd;
    return fd;
}

static int open_bind(struct mounts *m, struct stage_work *s, const struct mount_request *r,
                     struct build_mount *out, struct wharf_error *e)
{
    const struct glob_list *ignore;
    autoclose int dir = open_from(s, r, &ignore, e);
    const char *path = r->source ? r->source + strspn(r->source, "/") : "";
    int fd;

    if (dir < 0)
        return dir;
    fd = keep(m, path_open_in(dir, *path ? path : ".", O_PATH, 0));
    if (fd < 0)
        return err_code(e, fd, "cannot mount '%.200s'", r->source ? r->source : "/");
    /* a detached mount goes away with the descriptor that it came from */
    keep(m, take_fd(&dir));
    out->tree = fd;
    out->read_only = r->read_only;
    if (r->read_only)
        return 0;
    struct workspace *w = &m->spaces[m->space_count++];
    int code = workspace_over(w, s->job, fd, e);
    if (code < 0)
        return code;
    out->tree = w->mount;
    return 0;
}

static int open_cache_directory(int caches, const char *name, const struct mount_request *r,
                                struct wharf_error *e)
{
    bool made = mkdirat(caches, name, 0700) == 0;
    int fd = openat(caches, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || (made && (fchown(fd, r->uid, r->gid) < 0 || fchmod(fd, r->mode) < 0))) {
        int code = -errno;

        fd_close(fd);
        return err_code(e, code, "cannot make the cache '%.100s'", r->id);
    }
    return fd;
}

/* A free directory for the cache, under a lock that lasts as long as its descriptor. */
static int take_cache(struct mounts *m, struct stage_work *s, const struct mount_request *r,
                      struct wharf_error *e)
{
    struct job *job = s->job;
    struct digest name;
    autoclose int caches = -1;
    char path[128];
    int turns = r->sharing == SHARING_PRIVATE ? PRIVATE_MAX : 1;

    mkdirat(job->store->private, "caches", 0700);
    caches = openat(job->store->private, "caches", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (caches < 0 || digest_of(r->id, strlen(r->id), &name) < 0)
        return err_sys(e, "cannot open '%s/layers/caches'", job->store->path);
    for (int turn = 0; turn < turns; turn++) {
        int lock, how = r->sharing == SHARING_SHARED ? LOCK_SH : LOCK_EX;

        snprintf(path, sizeof(path), "%.64s.%d.lock", digest_hex(&name), turn);
        lock = keep(m, openat(caches, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        if (lock < 0)
            return err_sys(e, "cannot lock a cache");
        while (flock(lock, how | LOCK_NB) < 0) {
            if (r->sharing == SHARING_PRIVATE)
                break;
            int code = job_check(job, e);
            if (code < 0)
                return code;
            usleep(20000);
        }
        if (r->sharing == SHARING_PRIVATE && flock(lock, how | LOCK_NB) < 0)
            continue;
        futimens(lock, NULL); /* used now: prune.c takes the oldest */
        snprintf(path, sizeof(path), "%.64s.%d", digest_hex(&name), turn);
        return open_cache_directory(caches, path, r, e);
    }
    return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT, "more than %d users of a private cache",
                   PRIVATE_MAX);
}

static int open_cache(struct mounts *m, struct stage_work *s, const struct mount_request *r,
                      struct build_mount *out, struct wharf_error *e)
{
    const char *path = r->source ? r->source + strspn(r->source, "/") : "";
    int dir;

    if (r->from) { /* a cache that begins with something: what is written to it is dropped */
        struct mount_request bind = *r;

        return open_bind(m, s, &bind, out, e);
    }
    dir = keep(m, take_cache(m, s, r, e));
    if (dir >= 0 && *path)
        dir = keep(m, path_make_dirs_in(dir, path, 0755));
    if (dir < 0)
        return dir;
    out->tree = dir;
    out->read_only = r->read_only;
    return 0;
}

static const struct build_secret *find_secret(const struct job *job, const char *id)
{
    for (const struct build_secret *p = job->o.secrets; p && p->id; p++) {
        if (streq(p->id, id))
            return p;
    }
    return NULL;
}

/* 1: it is not there and need not be. */
static int open_secret(struct mounts *m, struct stage_work *s, const struct mount_request *r,
                       struct build_mount *out, struct wharf_error *e)
{
    const struct build_secret *secret = find_secret(s->job, r->id);
    const char *value = secret && secret->env ? getenv(secret->env) : NULL;
    char *data = value ? strdup(value) : NULL;
    ssize_t len = data ? (ssize_t)strlen(data) : -ENOENT;

    if (secret && !data && secret->path)
        len = file_read(AT_FDCWD, secret->path, SECRET_MAX, &data);
    if (len < 0 && !secret)
        return r->required ? err_not_found(e, "secret %.100s: not found", r->id) : 1;
    if (len < 0)
        return err_code(e, (int)len, "secret %.100s", r->id);
    m->memory[m->memory_count] = data;
    m->memory_len[m->memory_count++] = (size_t)len;
    if (r->env) {
        m->env[m->env_count] = arena_format(s->arena, "%s=%s", r->env, data);
        if (!m->env[m->env_count++])
            return err_nomem(e);
    }
    out->kind = BUILD_MOUNT_SECRET;
    out->data = data;
    out->len = (size_t)len;
    return r->target ? 0 : 1;
}

static int open_ssh(struct mounts *m, struct stage_work *s, const struct mount_request *r,
                    struct build_mount *out, struct wharf_error *e)
{
    const struct build_ssh *ssh = s->job->o.ssh;

    while (ssh && ssh->id && !streq(ssh->id, r->id))
        ssh++;
    if (!ssh || !ssh->id)
        return r->required ? err_not_found(e, "ssh agent %.100s: not found (--ssh)", r->id) : 1;
    m->env[m->env_count] = arena_format(s->arena, "SSH_AUTH_SOCK=%s", r->target);
    if (!m->env[m->env_count++])
        return err_nomem(e);
    out->kind = BUILD_MOUNT_SOCKET;
    out->path = ssh->path;
    return 0;
}

static int open_one(struct mounts *m, struct stage_work *s, const struct mount_request *r,
                    struct build_mount *out, struct wharf_error *e)
{
    switch (r->type) {
    case MOUNT_BIND:
        return open_bind(m, s, r, out, e);
    case MOUNT_CACHE:
        return open_cache(m, s, r, out, e);
    case MOUNT_SECRET:
        return open_secret(m, s, r, out, e);
    case MOUNT_SSH:
        return open_ssh(m, s, r, out, e);
    default:
        out->kind = BUILD_MOUNT_TMPFS;
        out->bytes = r->size;
        return 0;
    }
}

int run_mounts_open(struct mounts *m, struct stage_work *s, const mount_requests *requests,
                    struct wharf_error *e)
{
    for (size_t n = 0; n < requests->count; n++) {
        const struct mount_request *r = &requests->items[n];
        struct build_mount out = {
            .target = r->target, .tree = -1, .mode = r->mode, .uid = r->uid, .gid = r->gid
        };
        int code = open_one(m, s, r, &out, e);

        if (code < 0)
            return code;
        if (code == 0)
            m->items[m->count++] = out;
    }
    return 0;
}

void run_mounts_close(struct mounts *m)
{
    for (size_t i = 0; i < m->space_count; i++)
        workspace_close(&m->spaces[i]);
    while (m->fd_count > 0)
        fd_close(m->fds[--m->fd_count]);
    while (m->memory_count > 0) {
        m->memory_count--;
        if (m->memory[m->memory_count])
            explicit_bzero(m->memory[m->memory_count], m->memory_len[m->memory_count]);
        free(m->memory[m->memory_count]);
    }
}
