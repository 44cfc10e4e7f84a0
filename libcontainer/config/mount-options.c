/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of mount options: config.md "Linux mount options", and crun's three more.
 *
 * The trap is the access time: its modes are values of one field, not bits. mount_setattr(2)
 * demands MOUNT_ATTR__ATIME in what is cleared whenever a mode is set, and "relatime" is zero.
 */
#include "libcontainer/config/mount-options.h"

#include <linux/mount.h>
#include "base/str.h"

enum effect {
    NOTHING, /* the default, and words that the kernel has ignored since 2.6.30 */
    SET,     /* an attribute of this mount */
    CLEAR,
    ATIME,
    TREE_SET, /* of it and everything below */
    TREE_CLEAR,
    TREE_ATIME,
    SUPER_SET, /* a flag of the superblock */
    SUPER_CLEAR,
    PROPAGATION,
    SWITCH, /* a bool of struct mount_options, by its offset */
    IDMAP,
};

struct word {
    const char *name;
    enum effect effect;
    uint64_t value;
};

/* An attribute has four words: on and off, and both for the whole tree with an r in front. */
#define ATTRIBUTE(on, off, bit)                                                                    \
    { on, SET, bit }, { off, CLEAR, bit }, { "r" on, TREE_SET, bit },                              \
    {                                                                                              \
        "r" off, TREE_CLEAR, bit                                                                   \
    }
#define ACCESS_TIME(name, mode)                                                                    \
    { name, ATIME, mode },                                                                         \
    {                                                                                              \
        "r" name, TREE_ATIME, mode                                                                 \
    }
#define SUPERBLOCK(on, off, flag)                                                                  \
    { on, SUPER_SET, flag },                                                                       \
    {                                                                                              \
        off, SUPER_CLEAR, flag                                                                     \
    }
#define SHARING(name, flag)                                                                        \
    { name, PROPAGATION, flag },                                                                   \
    {                                                                                              \
        "r" name, PROPAGATION, flag | MS_REC                                                       \
    }
#define TURN_ON(name, member)                                                                      \
    {                                                                                              \
        name, SWITCH, offsetof(struct mount_options, member)                                       \
    }

static const struct word words[] = {
    ATTRIBUTE("ro", "rw", MOUNT_ATTR_RDONLY),
    ATTRIBUTE("nosuid", "suid", MOUNT_ATTR_NOSUID),
    ATTRIBUTE("nodev", "dev", MOUNT_ATTR_NODEV),
    ATTRIBUTE("noexec", "exec", MOUNT_ATTR_NOEXEC),
    ATTRIBUTE("nodiratime", "diratime", MOUNT_ATTR_NODIRATIME),
    ATTRIBUTE("nosymfollow", "symfollow", MOUNT_ATTR_NOSYMFOLLOW),
    ACCESS_TIME("noatime", MOUNT_ATTR_NOATIME),
    ACCESS_TIME("atime", MOUNT_ATTR_RELATIME),
    ACCESS_TIME("relatime", MOUNT_ATTR_RELATIME),
    ACCESS_TIME("strictatime", MOUNT_ATTR_STRICTATIME),
    ACCESS_TIME("nostrictatime", MOUNT_ATTR_RELATIME),
    { "norelatime", NOTHING, 0 },
    { "rnorelatime", NOTHING, 0 },
    SUPERBLOCK("sync", "async", MS_SYNCHRONOUS),
    { "dirsync", SUPER_SET, MS_DIRSYNC },
    SUPERBLOCK("lazytime", "nolazytime", MS_LAZYTIME),
    SUPERBLOCK("mand", "nomand", MS_MANDLOCK),
    SUPERBLOCK("iversion", "noiversion", MS_I_VERSION),
    SUPERBLOCK("silent", "loud", MS_SILENT),
    SHARING("private", MS_PRIVATE),
    SHARING("shared", MS_SHARED),
    SHARING("slave", MS_SLAVE),
    SHARING("unbindable", MS_UNBINDABLE),
    TURN_ON("bind", bind),
    TURN_ON("rbind", bind_tree),
    TURN_ON("remount", remount),
    TURN_ON("tmpcopyup", tmpcopyup),
    TURN_ON("src-nofollow", src_nofollow),
    TURN_ON("dest-nofollow", dest_nofollow),
    TURN_ON("copy-symlink", copy_symlink),
    { "idmap", IDMAP, MOUNT_IDMAP_ONE },
    { "ridmap", IDMAP, MOUNT_IDMAP_TREE },
    { "defaults", NOTHING, 0 },
};

static const struct word *find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (streq(words[i].name, name))
            return &words[i];
    }
    return NULL;
}

/* Off first, then on: what an earlier word said of the same bits is gone. */
static void change(struct mount_attributes *attributes, uint64_t off, uint64_t on)
{
    attributes->set = (attributes->set & ~off) | on;
    attributes->clr = (attributes->clr & ~on) | off;
}

static void change_atime(struct mount_attributes *attributes, uint64_t mode)
{
    attributes->set = (attributes->set & ~(uint64_t)MOUNT_ATTR__ATIME) | mode;
    attributes->clr |= MOUNT_ATTR__ATIME;
}

static void apply(const struct word *word, struct mount_options *o)
{
    struct mount_attributes *attributes = word->effect >= TREE_SET ? &o->tree : &o->one;

    switch (word->effect) {
    case NOTHING:
        break;
    case SET:
    case TREE_SET:
        change(attributes, 0, word->value);
        break;
    case CLEAR:
    case TREE_CLEAR:
        change(attributes, word->value, 0);
        break;
    case ATIME:
    case TREE_ATIME:
        change_atime(attributes, word->value);
        break;
    case SUPER_SET:
        o->super_set |= word->value;
        o->super_clr &= ~word->value;
        break;
    case SUPER_CLEAR:
        o->super_clr |= word->value;
        o->super_set &= ~word->value;
        break;
    case PROPAGATION:
        o->propagation = word->value & ~(uint64_t)MS_REC;
        o->propagation_tree = word->value & MS_REC;
        break;
    case SWITCH:
        *(bool *)((char *)o + word->value) = true;
        break;
    case IDMAP:
        o->idmap = (enum mount_idmap)word->value;
        break;
    }
}

int mount_options_parse(const field_strings *options, bool bind, struct arena *arena,
                        struct mount_options *ret, struct wharf_error *e)
{
    struct mount_options o = { .bind = bind };

    for (size_t i = 0; i < options->count; i++) {
        const struct word *word = find(options->items[i]);

        if (word) {
            apply(word, &o);
            continue;
        }
        if (!o.data.items) {
            o.data.items = arena_array(arena, options->count - i, sizeof(*o.data.items));
            if (!o.data.items)
                return err_nomem(e);
        }
        o.data.items[o.data.count++] = options->items[i];
    }
    o.bind |= o.bind_tree;
    if (o.bind && o.data.count > 0)
        return err_invalid(e, "unknown option '%.64s' of a bind mount", o.data.items[0]);
    *ret = o;
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char **mount_options_names(void)
{
    const char **names = calloc(ARRAY_SIZE(words) + 1, sizeof(*names));

    if (!names)
        return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        names[i] = words[i].name;
    qsort(names, ARRAY_SIZE(words), sizeof(*names), compare_names);
    return names;
}
