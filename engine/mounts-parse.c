/* SPDX-License-Identifier: Apache-2.0 */
/* One mount from text (-v) or from an element of Mounts, by docker's rules and in its words. */
#include <inttypes.h>
#include <stdio.h>
#include "base/fd.h"
#include "base/str.h"
#include "engine/mounts.h"

/* ---- modes of -v ----------------------------------------------------------------------------- */

/* What a word of the mode says: at most one of each group but NONE. */
enum group { GROUP_NONE, GROUP_RW, GROUP_PROPAGATION, GROUP_LABEL, GROUP_COPY, GROUP_CONSISTENCY };
static const struct {
    const char *name;
    enum group group;
} mode_words[] = {
    { "ro", GROUP_RW },
    { "rw", GROUP_RW },
    { "shared", GROUP_PROPAGATION },
    { "rshared", GROUP_PROPAGATION },
    { "slave", GROUP_PROPAGATION },
    { "rslave", GROUP_PROPAGATION },
    { "private", GROUP_PROPAGATION },
    { "rprivate", GROUP_PROPAGATION },
    { "z", GROUP_LABEL },
    { "Z", GROUP_LABEL },
    { "nocopy", GROUP_COPY },
    { "consistent", GROUP_CONSISTENCY },
    { "cached", GROUP_CONSISTENCY },
    { "delegated", GROUP_CONSISTENCY },
    { "default", GROUP_CONSISTENCY },
};

struct mode {
    bool ro, no_copy;
    const char *propagation; /* NULL: none was given */
};

static int parse_mode(const char *text, struct mode *ret)
{
    struct mode mode = { 0 };
    unsigned seen = 0;

    for (const char *p = text; *p;) {
        size_t n = strcspn(p, ","), i = 0;

        while (i < ARRAY_SIZE(mode_words) &&
               !(strlen(mode_words[i].name) == n && strncmp(mode_words[i].name, p, n) == 0))
            i++;
        if (i == ARRAY_SIZE(mode_words) || seen & (1u << mode_words[i].group))
            return -EINVAL;
        seen |= 1u << mode_words[i].group;
        if (mode_words[i].group == GROUP_RW)
            mode.ro = streq(mode_words[i].name, "ro");
        if (mode_words[i].group == GROUP_PROPAGATION)
            mode.propagation = mode_words[i].name;
        mode.no_copy |= mode_words[i].group == GROUP_COPY;
        p += n + (p[n] == ',');
    }
    *ret = mode;
    return 0;
}

/* ---- both forms ------------------------------------------------------------------------------ */

static int check_target(const char *target, const char *type, struct wharf_error *e)
{
    if (!settings_text(target))
        return err_invalid(
            e, "invalid mount config for type \"%s\": field Target must not be empty", type);
    if (target[0] != '/')
        return err_invalid(e,
                           "invalid mount config for type \"%s\": invalid mount path: '%s' mount "
                           "path must be absolute",
                           type, target);
    autofree char *clean = path_clean(target);
    if (clean && streq(clean, "/"))
        return err_invalid(e,
                           "invalid mount config for type \"%s\": invalid specification: "
                           "destination can't be '/'",
                           type);
    return clean ? 0 : err_nomem(e);
}

static char *clean_path(const char *path, struct arena *arena)
{
    autofree char *clean = path_clean(path);

    return clean ? arena_str(arena, clean) : NULL;
}

/* OCI's options of a bind mount. */
static char *bind_options(struct arena *arena, bool recursive, bool ro, bool ro_recursive,
                          const char *propagation)
{
    return arena_format(arena, "%s,%s%s", recursive ? "rbind" : "bind",
                        settings_text(propagation) ? propagation : "rprivate",
                        !ro            ? ""
                        : ro_recursive ? ",rro"
                                       : ",ro");
}

/* ---- -v -------------------------------------------------------------------------------------- */

static int split(char *copy, char *parts[3])
{
    int count = 0;

    for (char *p = copy; p; count++) {
        if (count == 3)
            return -EINVAL;
        parts[count] = p;
        p = strchr(p, ':');
        if (p)
            *p++ = '\0';
    }
    return count;
}

int mount_parse_bind(const char *text, const char *driver, struct arena *arena,
                     struct mount_point *ret, struct wharf_error *e)
{
    char *parts[3] = { NULL, NULL, NULL }, *copy = arena_str(arena, text);
    const char *source = "", *target, *mode_text = "";
    struct mode mode = { 0 };
    int count = copy ? split(copy, parts) : 0;

    if (!copy)
        return err_nomem(e);
    if (count <= 0 || !*parts[0] || (count > 1 && !*parts[1]))
        return err_invalid(e, "invalid volume specification: '%s'", text);
    if (count == 1) {
        target = parts[0];
    } else if (count == 2 && parts[1][0] != '/' && parse_mode(parts[1], &mode) == 0) {
        target = parts[0];
        mode_text = parts[1];
    } else {
        source = parts[0];
        target = parts[1];
        mode_text = count == 3 ? parts[2] : "";
    }
    if (parse_mode(mode_text, &mode) < 0)
        return err_invalid(e, "invalid mode: %s", mode_text);
    bool bind = source[0] == '/';
    int r = check_target(target, bind ? "bind" : "volume", NULL);
    if (r == 0 && !bind && mode.propagation)
        return err_invalid(e, "invalid mode: %s", mode_text);
    if (r < 0)
        r = check_target(target, bind ? "bind" : "volume", e);
    if (r < 0)
        return err_wrap(e, r, "invalid volume specification: '%s'", text);
    struct mount_point m = {
        .type = (char *)(bind ? "bind" : "volume"),
        .name = (char *)(bind ? "" : source),
        .source = bind ? clean_path(source, arena) : (char *)"",
        .destination = clean_path(target, arena),
        .driver = (char *)(bind                    ? ""
                           : settings_text(driver) ? driver
                                                   : "local"),
        .mode = arena_str(arena, !*mode_text && !bind && *source ? "z" : mode_text),
        .propagation = (char *)(!bind              ? ""
                                : mode.propagation ? mode.propagation
                                                   : "rprivate"),
        .rw = !mode.ro,
        .options = bind_options(arena, true, mode.ro, true, mode.propagation),
        .create = bind,
        .copy = !bind && !mode.no_copy,
    };
    if (!m.source || !m.destination || !m.mode || !m.options)
        return err_nomem(e);
    *ret = m;
    return 0;
}

/* ---- Mounts ---------------------------------------------------------------------------------- */

static int refuse_field(const struct settings_mount *m, const char *field, const char *what,
                        struct wharf_error *e)
{
    return err_invalid(e, "invalid mount config for type \"%s\": field %s must not be %s", m->type,
                       field, what);
}

/* Options of another type are a mistake that docker tells of. */
static int check_options(const struct settings_mount *m, struct wharf_error *e)
{
    const struct {
        const char *type, *field;
        const void *options;
    } owned[] = { { "bind", "BindOptions", m->bind },
                  { "volume", "VolumeOptions", m->volume },
                  { "image", "ImageOptions", m->image },
                  { "tmpfs", "TmpfsOptions", m->tmpfs } };

    for (size_t i = 0; i < ARRAY_SIZE(owned); i++) {
        if (owned[i].options && !streq(owned[i].type, m->type))
            return refuse_field(m, owned[i].field, "specified", e);
    }
    return check_target(m->target, m->type, e);
}

static int parse_bind(const struct settings_mount *m, struct arena *arena, struct mount_point *ret,
                      struct wharf_error *e)
{
    static const struct settings_bind_options none;
    const struct settings_bind_options *o = m->bind ? m->bind : &none;
    struct mode mode = { 0 };

    if (!settings_text(m->source))
        return refuse_field(m, "Source", "empty", e);
    if (m->source[0] != '/')
        return err_invalid(e,
                           "invalid mount config for type \"bind\": invalid mount path: '%s' mount "
                           "path must be absolute",
                           m->source);
    if (settings_text(o->propagation) &&
        (parse_mode(o->propagation, &mode) < 0 || !mode.propagation))
        return err_invalid(e,
                           "invalid mount config for type \"bind\": invalid propagation mode: %s",
                           o->propagation);
    if (o->read_only_force_recursive && (!m->read_only || o->read_only_non_recursive))
        return err_invalid(e, "mount source for ReadOnlyForceRecursive must be read-only, and "
                              "recursively so");
    if (o->read_only_force_recursive && !(mode.propagation && streq(mode.propagation, "rprivate")))
        return err_invalid(e, "mount propagation must be \"rprivate\" for ReadOnlyForceRecursive");
    if (access(m->source, F_OK) < 0 && !o->create_mountpoint)
        return err_invalid(
            e, "invalid mount config for type \"bind\": bind source path does not exist: %s",
            m->source);
    ret->source = clean_path(m->source, arena);
    ret->propagation = (char *)(mode.propagation ? mode.propagation : "rprivate");
    ret->options = bind_options(arena, !o->non_recursive, m->read_only,
                                !o->non_recursive && !o->read_only_non_recursive, mode.propagation);
    ret->create = o->create_mountpoint;
    return 0;
}

static int parse_volume(const struct settings_mount *m, struct arena *arena,
                        struct mount_point *ret, struct wharf_error *e)
{
    static const struct settings_volume_options none;
    const struct settings_volume_options *o = m->volume ? m->volume : &none;
    bool driver = o->driver && settings_text(o->driver->name);

    if (settings_text(m->source) && m->source[0] == '/')
        return err_invalid(e,
                           "invalid mount config for type \"volume\": invalid mount path: '%s' is "
                           "a path: volumes have names",
                           m->source);
    ret->name = settings_text(m->source) ? m->source : (char *)"";
    ret->driver = driver ? o->driver->name : (char *)"local";
    ret->mode = (char *)(*ret->name ? "z" : "");
    ret->copy = !o->no_copy;
    ret->subpath = settings_text(o->subpath) ? o->subpath : NULL;
    ret->options = bind_options(arena, true, m->read_only, true, NULL);
    return 0;
}

static int parse_tmpfs(const struct settings_mount *m, struct arena *arena, struct mount_point *ret,
                       struct wharf_error *e)
{
    static const struct settings_tmpfs_options none;
    const struct settings_tmpfs_options *o = m->tmpfs ? m->tmpfs : &none;
    autobuf struct buf b = BUF(4096);

    if (settings_text(m->source))
        return refuse_field(m, "Source", "specified", e);
    if (o->size < 0)
        return err_invalid(e, "invalid mount config for type \"tmpfs\": SizeBytes is negative");
    buf_printf(&b, "noexec,nosuid,nodev%s", m->read_only ? ",ro" : "");
    if (o->size > 0)
        buf_printf(&b, ",size=%" PRId64, o->size);
    if (o->mode > 0)
        buf_printf(&b, ",mode=%" PRIo64, o->mode);
    for (size_t i = 0; i < o->options.count; i++) {
        const field_strings *words = &o->options.items[i];

        if (words->count < 1 || words->count > 2)
            return err_invalid(
                e, "invalid mount config for type \"tmpfs\": invalid option array length");
        buf_printf(&b, ",%s%s%s", words->items[0], words->count > 1 ? "=" : "",
                   words->count > 1 ? words->items[1] : "");
    }
    if (b.error)
        return err_invalid(e, "invalid mount config for type \"tmpfs\": options are too long");
    ret->options = arena_str(arena, b.data);
    ret->propagation = (char *)"";
    return 0;
}

static int parse_image(const struct settings_mount *m, struct arena *arena, struct mount_point *ret,
                       struct wharf_error *e)
{
    if (!settings_text(m->source))
        return refuse_field(m, "Source", "empty", e);
    return err_unsupported(
        e, "Mounts: type 'image' (image '%s') is not supported yet: use a volume", m->source);
}

int mount_parse(const struct settings_mount *m, struct arena *arena, struct mount_point *ret,
                struct wharf_error *e)
{
    static const struct {
        const char *type;
        int (*parse)(const struct settings_mount *m, struct arena *arena, struct mount_point *ret,
                     struct wharf_error *e);
    } types[] = {
        { "bind", parse_bind },
        { "volume", parse_volume },
        { "tmpfs", parse_tmpfs },
        { "image", parse_image },
    };
    struct mount_point point = { .source = (char *)"",
                                 .name = (char *)"",
                                 .driver = (char *)"",
                                 .mode = (char *)"",
                                 .propagation = (char *)"",
                                 .rw = !m->read_only };
    size_t i = 0;

    if (!settings_text(m->type))
        return err_invalid(e, "mount type unknown");
    while (i < ARRAY_SIZE(types) && !streq(types[i].type, m->type))
        i++;
    if (i == ARRAY_SIZE(types))
        return err_invalid(e, "mount type unknown: \"%s\"", m->type);
    int r = check_options(m, e);
    if (r == 0)
        r = types[i].parse(m, arena, &point, e);
    if (r < 0)
        return r;
    point.type = m->type;
    point.destination = clean_path(m->target, arena);
    if (!point.destination || !point.source || !point.options)
        return err_nomem(e);
    *ret = point;
    return 0;
}
