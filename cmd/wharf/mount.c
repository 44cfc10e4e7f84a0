/* SPDX-License-Identifier: Apache-2.0 */
/* See mount.h. A key is a row: where its value goes and how it is read. */
#include "cmd/wharf/mount.h"

#include "base/str.h"

/* A mount with all its options at hand; those of which something was set are attached. */
struct draft {
    struct settings_mount mount;
    struct settings_bind_options bind;
    struct settings_volume_options volume;
    struct settings_image_options image;
    struct settings_tmpfs_options tmpfs;
    struct settings_driver driver;
};

enum kind { TEXT, SWITCH, SIZE, OCTAL, PAIR };
enum part { MOUNT, BIND, VOLUME, IMAGE, TMPFS, DRIVER };

#define D(member) offsetof(struct draft, member)
static const struct {
    const char *key;
    enum kind kind;
    size_t offset;
    enum part part;
} keys[] = {
    { "type", TEXT, D(mount.type), MOUNT },
    { "source", TEXT, D(mount.source), MOUNT },
    { "src", TEXT, D(mount.source), MOUNT },
    { "target", TEXT, D(mount.target), MOUNT },
    { "dst", TEXT, D(mount.target), MOUNT },
    { "destination", TEXT, D(mount.target), MOUNT },
    { "readonly", SWITCH, D(mount.read_only), MOUNT },
    { "ro", SWITCH, D(mount.read_only), MOUNT },
    { "consistency", TEXT, D(mount.consistency), MOUNT },
    { "bind-propagation", TEXT, D(bind.propagation), BIND },
    { "bind-nonrecursive", SWITCH, D(bind.non_recursive), BIND },
    { "bind-create-src", SWITCH, D(bind.create_mountpoint), BIND },
    { "volume-subpath", TEXT, D(volume.subpath), VOLUME },
    { "volume-nocopy", SWITCH, D(volume.no_copy), VOLUME },
    { "volume-label", PAIR, D(volume.labels), VOLUME },
    { "volume-driver", TEXT, D(driver.name), DRIVER },
    { "volume-opt", PAIR, D(driver.options), DRIVER },
    { "image-subpath", TEXT, D(image.subpath), IMAGE },
    { "tmpfs-size", SIZE, D(tmpfs.size), TMPFS },
    { "tmpfs-mode", OCTAL, D(tmpfs.mode), TMPFS },
};

static int read_switch(const char *value, bool *ret)
{
    if (!value || streq(value, "true") || streq(value, "1"))
        *ret = true;
    else if (streq(value, "false") || streq(value, "0"))
        *ret = false;
    else
        return -EINVAL;
    return 0;
}

/* "name=value" behind the others. */
static int add_pair(struct arena *arena, char *value, field_pairs *pairs)
{
    struct field_pair *items = arena_array(arena, pairs->count + 1, sizeof(*items));
    char *at = strchr(value, '=');

    if (!items)
        return -ENOMEM;
    if (pairs->count > 0)
        memcpy(items, pairs->items, pairs->count * sizeof(*items));
    if (at)
        *at++ = '\0';
    items[pairs->count] = (struct field_pair){ value, at ? at : (char *)"" };
    pairs->items = items;
    pairs->count++;
    return 0;
}

static int set_value(enum kind kind, char *value, struct arena *arena, void *slot)
{
    uint64_t mode;

    switch (kind) {
    case TEXT:
        *(char **)slot = value;
        return 0;
    case SWITCH:
        return read_switch(value, slot);
    case SIZE:
        return parse_size(value, slot);
    case OCTAL:
        if (parse_octal(value, 07777, &mode) < 0)
            return -EINVAL;
        *(int64_t *)slot = (int64_t)mode;
        return 0;
    default:
        return add_pair(arena, value, slot);
    }
}

/* bind-recursive: enabled (as far as the kernel can), disabled, writable, readonly. */
static int set_recursive(const char *value, struct settings_bind_options *bind,
                         struct wharf_error *e)
{
    if (streq(value, "disabled"))
        bind->non_recursive = true;
    else if (streq(value, "writable"))
        bind->read_only_non_recursive = true;
    else if (streq(value, "readonly"))
        bind->read_only_force_recursive = true;
    else if (!streq(value, "enabled"))
        return err_invalid(e, "invalid value for bind-recursive: %s", value);
    return 0;
}

static int read_word(char *word, struct draft *d, bool used[DRIVER + 1], struct arena *arena,
                     struct wharf_error *e)
{
    char *value = strchr(word, '=');
    size_t i = 0;

    if (value)
        *value++ = '\0';
    if (streq(word, "bind-recursive") && value) {
        used[BIND] = true;
        return set_recursive(value, &d->bind, e);
    }
    while (i < ARRAY_SIZE(keys) && !streq(keys[i].key, word))
        i++;
    if (i == ARRAY_SIZE(keys))
        return value ? err_invalid(e, "unknown option '%s' in '%s=%s'", word, word, value)
                     : err_invalid(e, "invalid field '%s' must be a key=value pair", word);
    if (!value && keys[i].kind != SWITCH)
        return err_invalid(e, "invalid field '%s' must be a key=value pair", word);
    used[keys[i].part] = true;
    int r = set_value(keys[i].kind, value, arena, (char *)d + keys[i].offset);
    return r < 0 ? err_invalid(e, "invalid value for %s: %s", word, value ? value : "") : 0;
}

static int read_mount(const char *spec, struct arena *arena, struct settings_mount *ret,
                      struct wharf_error *e)
{
    struct draft *d = arena_alloc(arena, sizeof(*d));
    char *copy = arena_str(arena, spec);
    bool used[DRIVER + 1] = { false };
    int r = 0;

    if (!d || !copy)
        return err_nomem(e);
    d->mount.type = (char *)"volume";
    for (char *p = copy, *next; r == 0 && p && *p; p = next) {
        next = strchr(p, ',');
        if (next)
            *next++ = '\0';
        r = read_word(p, d, used, arena, e);
    }
    if (r == 0 && !settings_text(d->mount.target))
        r = err_invalid(e, "target is required");
    if (r < 0)
        return err_wrap(e, r, "invalid argument \"%s\" for \"--mount\" flag", spec);
    d->volume.driver = used[DRIVER] ? &d->driver : NULL;
    d->mount.bind = used[BIND] ? &d->bind : NULL;
    d->mount.volume = used[VOLUME] || used[DRIVER] ? &d->volume : NULL;
    d->mount.image = used[IMAGE] ? &d->image : NULL;
    d->mount.tmpfs = used[TMPFS] ? &d->tmpfs : NULL;
    *ret = d->mount;
    return 0;
}

int mount_flags(char **list, struct arena *arena, struct settings_host *host, struct wharf_error *e)
{
    size_t count = list ? strv_count((const char *const *)list) : 0;
    int r = 0;

    host->mounts.items = arena_array(arena, count + 1, sizeof(*host->mounts.items));
    if (!host->mounts.items)
        return err_nomem(e);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = read_mount(list[i], arena, &host->mounts.items[i], e);
    host->mounts.count = count;
    return r;
}
