/* SPDX-License-Identifier: Apache-2.0 */
/* See mounts.h. */
#include "engine/mounts.h"

#include <fcntl.h>
#include <stdio.h>
#include "base/fd.h"
#include "base/str.h"

/* ---- the record's form ----------------------------------------------------------------------- */

#define M(name_, kind, member) FIELD(struct mount_point, name_, kind, member)
static const struct field point_fields[] = {
    M("Type", FIELD_STR, type),
    M("Name", FIELD_STR, name),
    M("Source", FIELD_STR, source),
    M("Destination", FIELD_STR, destination),
    M("Driver", FIELD_STR, driver),
    M("Mode", FIELD_STR, mode),
    M("RW", FIELD_BOOL, rw),
    M("Propagation", FIELD_STR, propagation),
    M("options", FIELD_STR, options),
    M("subpath", FIELD_STR, subpath),
    M("create", FIELD_BOOL, create),
    M("copy", FIELD_BOOL, copy),
    FIELD_END,
};
static const struct field mounts_fields[] = {
    FIELD(struct mounts, "list", FIELD_LIST, list, .fields = point_fields,
          .size = sizeof(struct mount_point)),
    FIELD_END,
};

int mounts_write(const struct mounts *mounts, char **ret, struct wharf_error *e)
{
    autojson json_t *tree = fields_write(mounts_fields, mounts);
    char *text = tree ? json_dumps(tree, JSON_COMPACT) : NULL;

    if (!text)
        return err_nomem(e);
    *ret = text;
    return 0;
}

int mounts_read(const char *text, struct arena *arena, struct mounts *ret, struct wharf_error *e)
{
    struct json_limits limits = { .size = MOUNTS_TEXT_MAX, .depth = 8 };
    autojson json_t *tree = NULL;

    *ret = (struct mounts){ 0 };
    if (!settings_text(text))
        return 0;
    int r = json_read(text, strlen(text), limits, "mounts", &tree, e);
    return r < 0 ? r : fields_read(mounts_fields, tree, "", arena, ret, e);
}

json_t *mounts_json(const struct mounts *mounts)
{
    json_t *list = json_array();

    for (size_t i = 0; i < mounts->list.count; i++) {
        const struct mount_point *m = &mounts->list.items[i];
        json_t *one = json_pack("{s:s}", "Type", m->type);

        if (settings_text(m->name))
            json_object_set_new(one, "Name", json_string(m->name));
        json_object_set_new(one, "Source", json_string(m->source ? m->source : ""));
        json_object_set_new(one, "Destination", json_string(m->destination));
        if (settings_text(m->driver))
            json_object_set_new(one, "Driver", json_string(m->driver));
        json_object_set_new(one, "Mode", json_string(m->mode ? m->mode : ""));
        json_object_set_new(one, "RW", json_boolean(m->rw));
        json_object_set_new(one, "Propagation", json_string(m->propagation ? m->propagation : ""));
        json_array_append_new(list, one);
    }
    return list;
}

/* ---- resolving ------------------------------------------------------------------------------- */

struct resolver {
    struct engine *en;
    struct principal who;
    const char *id;
    struct arena *arena;
    struct mounts *out;
    size_t room;
    struct wharf_error *e;
};

static struct mount_point *find(struct mounts *mounts, const char *destination)
{
    for (size_t i = 0; i < mounts->list.count; i++) {
        if (streq(mounts->list.items[i].destination, destination))
            return &mounts->list.items[i];
    }
    return NULL;
}

/* Makes the volume of a mount, if it is one, and takes it into use. */
static int take_volume(struct resolver *r, struct mount_point *m,
                       const struct settings_mount *asked)
{
    const struct settings_volume_options *o = asked ? asked->volume : NULL;
    struct volume_spec spec = { .name = m->name, .driver = m->driver, .owner = r->who.uid };
    struct volume_store *volumes;
    struct volume v;

    if (!streq(m->type, "volume"))
        return 0;
    if (o) {
        spec.labels = o->labels;
        if (o->driver)
            spec.options = o->driver->options;
    }
    int code = engine_volumes(r->en, &volumes, r->e);
    if (code == 0)
        code = volume_create(volumes, &spec, &v, NULL, r->e);
    if (code < 0)
        return code;
    m->name = arena_str(r->arena, v.name);
    m->source = arena_str(r->arena, v.mountpoint);
    volume_done(&v);
    return m->name && m->source ? volume_use(volumes, m->name, r->id, r->e) : err_nomem(r->e);
}

/* Puts it on the list in the place of an inherited one. */
static int add(struct resolver *r, const struct mount_point *m)
{
    struct mount_point *there = find(r->out, m->destination);
    size_t count = r->out->list.count;

    if (there) {
        *there = *m;
        return 0;
    }
    if (count == MOUNTS_MAX)
        return err_set(r->e, -EFBIG, WHARF_ERROR_LIMIT, "more than %d mounts", MOUNTS_MAX);
    if (count == r->room) {
        size_t room = r->room ? 2 * r->room : 8;
        struct mount_point *items = arena_array(r->arena, room, sizeof(*items));

        if (!items)
            return err_nomem(r->e);
        if (count > 0)
            memcpy(items, r->out->list.items, count * sizeof(*items));
        r->out->list.items = items;
        r->room = room;
    }
    r->out->list.items[r->out->list.count++] = *m;
    return 0;
}

/* One "container[:mode]" of VolumesFrom. */
static int inherit(struct resolver *r, const char *spec)
{
    autofree char *name = strdup(spec);
    char *mode = name ? strchr(name, ':') : NULL;
    autorecord struct record from = { 0 };
    struct mounts mounts;

    if (!name)
        return err_nomem(r->e);
    if (mode)
        *mode++ = '\0';
    if (mode && !streq(mode, "ro") && !streq(mode, "rw") && !streq(mode, "z") &&
        !streq(mode, "nocopy"))
        return err_invalid(r->e, "invalid mode for volumes-from: %s", mode);
    int code = container_find(r->en, r->who, name, &from, NULL, r->e);
    if (code == 0)
        code = mounts_read(from.mounts, r->arena, &mounts, r->e);
    for (size_t i = 0; code == 0 && i < mounts.list.count; i++) {
        struct mount_point m = mounts.list.items[i];

        if (mode && streq(mode, "ro") && m.rw) {
            m.rw = false;
            m.options = arena_format(r->arena, "%s,rro", m.options ? m.options : "rbind");
            if (!m.options)
                return err_nomem(r->e);
        }
        m.copy = false;
        code = take_volume(r, &m, NULL);
        if (code == 0)
            code = add(r, &m);
    }
    return code;
}

static int add_once(struct resolver *r, struct mount_point *m, struct mounts *own,
                    const struct settings_mount *asked)
{
    if (find(own, m->destination))
        return err_invalid(r->e, "Duplicate mount point: %s", m->destination);
    int code = take_volume(r, m, asked);
    if (code < 0)
        return code;
    own->list.items[own->list.count++] = *m;
    return add(r, m);
}

/* Binds and Mounts, which exclude one another, then the image's and the user's volumes. */
static int resolve_own(struct resolver *r, const struct settings *s)
{
    const struct settings_host *h = s->host;
    struct mounts own = { 0 };
    struct mount_point m;
    int code = 0;

    own.list.items =
        arena_array(r->arena, h->binds.count + h->mounts.count + 1, sizeof(*own.list.items));
    if (!own.list.items)
        return err_nomem(r->e);
    for (size_t i = 0; code == 0 && i < h->binds.count; i++) {
        code = mount_parse_bind(h->binds.items[i], h->volume_driver, r->arena, &m, r->e);
        if (code == 0)
            code = add_once(r, &m, &own, NULL);
    }
    for (size_t i = 0; code == 0 && i < h->mounts.count; i++) {
        code = mount_parse(&h->mounts.items[i], r->arena, &m, r->e);
        if (code == 0)
            code = add_once(r, &m, &own, &h->mounts.items[i]);
    }
    return code;
}

static int resolve_volumes(struct resolver *r, const struct settings *s)
{
    int code = 0;

    for (size_t i = 0; code == 0 && i < s->volumes.count; i++) {
        struct mount_point m;

        code = mount_parse_bind(s->volumes.items[i], s->host->volume_driver, r->arena, &m, r->e);
        if (code < 0 || find(r->out, m.destination))
            continue;
        code = take_volume(r, &m, NULL);
        if (code == 0)
            code = add(r, &m);
    }
    return code;
}

int mounts_resolve(struct engine *en, struct principal who, const struct settings *s,
                   const char *id, struct arena *arena, struct mounts *ret, struct wharf_error *e)
{
    struct mounts out = { 0 };
    struct resolver r = { en, who, id, arena, &out, 0, e };
    int code = 0;

    for (size_t i = 0; code == 0 && i < s->host->volumes_from.count; i++)
        code = inherit(&r, s->host->volumes_from.items[i]);
    if (code == 0)
        code = resolve_own(&r, s);
    if (code == 0)
        code = resolve_volumes(&r, s);
    if (code == 0)
        *ret = out;
    return code;
}

int mounts_release(struct engine *en, const char *id, bool anonymous, struct wharf_error *e)
{
    struct volume_store *volumes;
    int r = engine_volumes(en, &volumes, e);

    return r < 0 ? r : volume_release(volumes, id, anonymous, e);
}

/* ---- filling --------------------------------------------------------------------------------- */

bool mounts_want_copy(const struct mounts *mounts)
{
    for (size_t i = 0; i < mounts->list.count; i++) {
        if (mounts->list.items[i].copy)
            return true;
    }
    return false;
}

int mounts_copy_up(struct engine *en, const struct mounts *mounts, int root, struct wharf_error *e)
{
    struct volume_store *volumes;
    int r = engine_volumes(en, &volumes, e);

    for (size_t i = 0; r == 0 && i < mounts->list.count; i++) {
        const struct mount_point *m = &mounts->list.items[i];
        autoclose int from = -1;

        if (!m->copy)
            continue;
        from = path_open_in(root, m->destination, O_RDONLY | O_DIRECTORY, 0);
        if (from < 0)
            continue; /* the image has nothing there */
        autoclose int mounted = volume_mount(volumes, m->name, NULL, e);
        r = mounted < 0 ? mounted : volume_copy_up(volumes, m->name, from, e);
    }
    return r;
}

/* ---- starting -------------------------------------------------------------------------------- */

struct opener {
    struct engine *en;
    struct arena *arena;
    int *fds;
    size_t fd_count;
    bool restarts;
    struct wharf_error *e;
};

static int open_bind(struct opener *o, const struct mount_point *m)
{
    if (access(m->source, F_OK) == 0)
        return 0;
    if (!m->create)
        return err_invalid(
            o->e, "invalid mount config for type \"bind\": bind source path does not exist: %s",
            m->source);
    int r = path_make_dirs(m->source, 0755);
    return r < 0 ? err_code(o->e, r, "error while creating mount source path '%s'", m->source) : 0;
}

/* A part of a volume must not be named by a path: another container that has the volume may be
 * renaming in it. The descriptor stays this process's, so nobody can start it again later. */
static int open_volume(struct opener *o, const struct mount_point *m, const char **ret_source)
{
    struct volume_store *volumes;
    int r = engine_volumes(o->en, &volumes, o->e);

    if (r < 0)
        return r;
    autoclose int fd = volume_mount(volumes, m->name, m->subpath, o->e);
    if (fd < 0 || !settings_text(m->subpath))
        return MIN(fd, 0);
    if (o->restarts)
        return err_unsupported(
            o->e, "volume '%s': a subpath does not go together with a restart policy", m->name);
    if (o->fd_count == MOUNT_FDS_MAX)
        return err_set(o->e, -EFBIG, WHARF_ERROR_LIMIT, "more than %d mounts with a subpath",
                       MOUNT_FDS_MAX);
    *ret_source = arena_format(o->arena, "/proc/%d/fd/%d", (int)getpid(), fd);
    if (!*ret_source)
        return err_nomem(o->e);
    o->fds[o->fd_count++] = take_fd(&fd);
    o->fds[o->fd_count] = -1;
    return 0;
}

static int open_one(struct opener *o, const struct mount_point *m, struct oci_mount *ret)
{
    const char *source = m->source;
    int r = 0;

    if (streq(m->type, "bind"))
        r = open_bind(o, m);
    else if (streq(m->type, "volume"))
        r = open_volume(o, m, &source);
    bool tmpfs = streq(m->type, "tmpfs");
    if (r == 0)
        *ret = (struct oci_mount){ m->destination, tmpfs ? "tmpfs" : "bind",
                                   tmpfs ? "tmpfs" : source, m->options ? m->options : "" };
    return r;
}

int mounts_open(struct engine *en, const struct mounts *mounts, bool restarts, struct arena *arena,
                struct oci_input *ret, int fds[MOUNT_FDS_MAX + 1], struct wharf_error *e)
{
    struct opener o = { en, arena, fds, 0, restarts, e };
    struct oci_mount *items = arena_array(arena, mounts->list.count + 1, sizeof(*items));
    const char *propagation = NULL;
    int r = 0;

    if (!items)
        return err_nomem(e);
    fds[0] = -1;
    for (size_t i = 0; r == 0 && i < mounts->list.count; i++) {
        const char *own = mounts->list.items[i].propagation;

        r = open_one(&o, &mounts->list.items[i], &items[i]);
        /* what passes mounts on or receives them needs a root that does (mount_namespaces(7)) */
        if (own && (streq(own, "shared") || streq(own, "rshared")))
            propagation = "rshared";
        else if (own && !propagation && (streq(own, "slave") || streq(own, "rslave")))
            propagation = "rslave";
    }
    ret->mounts = (struct oci_mounts){ items, mounts->list.count };
    ret->propagation = propagation;
    return r;
}
