/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent's half of mounts: from an entry of config.json to steps that the child carries out.
 *
 * What can fail for want of a host file, a right or a known word fails here, with the field's name,
 * before a process exists. A source is opened as a detached mount at once, with its attributes, so
 * that it cannot be exchanged later; only a caller without CAP_SYS_ADMIN leaves that to the child,
 * which holds it in its own user namespace.
 */
#include "libcontainer/mount.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include "base/fd.h"
#include "base/str.h"
#include "libcontainer/credentials.h"

/* Attributes as mount(2) spells them. */
static const struct {
    uint64_t attribute;
    unsigned long flag;
} flag_of[] = {
    { MOUNT_ATTR_RDONLY, MS_RDONLY },         { MOUNT_ATTR_NOSUID, MS_NOSUID },
    { MOUNT_ATTR_NODEV, MS_NODEV },           { MOUNT_ATTR_NOEXEC, MS_NOEXEC },
    { MOUNT_ATTR_NOATIME, MS_NOATIME },       { MOUNT_ATTR_STRICTATIME, MS_STRICTATIME },
    { MOUNT_ATTR_NODIRATIME, MS_NODIRATIME }, { MOUNT_ATTR_NOSYMFOLLOW, 256 /* MS_NOSYMFOLLOW */ },
};

/* Where masks of single files may be bound over what procfs shows: lxcfs and the like do so. */
static const char *const proc_files[] = {
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
};

void mount_plan_add(struct mount_planner *p, struct mount_step *step)
{
    *p->tail = step;
    p->tail = &step->next;
}

/* The words joined by commas, as mount(2) wants them; NULL when there is none. */
static char *join(struct arena *arena, const field_strings *words)
{
    size_t len = 0;
    char *text, *end;

    for (size_t i = 0; i < words->count; i++)
        len += strlen(words->items[i]) + 1;
    text = end = arena_alloc(arena, len + 1);
    for (size_t i = 0; text && i < words->count; i++) {
        size_t n = strlen(words->items[i]);

        if (i > 0)
            *end++ = ',';
        memcpy(end, words->items[i], n);
        end += n;
    }
    return text;
}

/* linux.mountLabel: the files of a new tmpfs or devpts bear it (SELinux's "context"). The kernel's
 * own file systems label themselves. */
static int add_label(struct mount_planner *p, struct mount_step *step)
{
    const char *label = p->spec->linux_->mount_label;
    char **words;

    if (!label || !*label || !lsm_selinux_enabled() ||
        (!streq(step->type, "tmpfs") && !streq(step->type, "devpts")))
        return 0;
    words = arena_array(p->arena, step->words.count + 1, sizeof(*words));
    if (!words)
        return -ENOMEM;
    for (size_t i = 0; i < step->words.count; i++)
        words[i] = step->words.items[i];
    words[step->words.count++] = arena_format(p->arena, "context=%s", label);
    step->words.items = words;
    /* a label holds commas: mount(2) wants it in quotes, fsconfig(2) takes it as it is */
    step->data = arena_format(p->arena, "%s%scontext=\"%s\"", step->data ? step->data : "",
                              step->data ? "," : "", label);
    return step->data && words[step->words.count - 1] ? 0 : -ENOMEM;
}

struct mount_step *mount_plan_new(struct mount_planner *p, const char *destination,
                                  const char *source, const char *type,
                                  const struct mount_options *options)
{
    struct mount_step *step = arena_alloc(p->arena, sizeof(*step));
    const unsigned long rare = MS_SHARED | MS_UNBINDABLE;

    if (!step)
        return NULL;
    *step = (struct mount_step){
        .kind = MOUNT_KIND_NEW,
        .destination = destination,
        .source = source ? source : type,
        .type = type,
        .words = options->data,
        .flags = options->super_set,
        /* on a mount that has nothing below it, the recursive forms mean the same */
        .attributes = options->one.set | options->tree.set,
        .tree = -1,
        .directory = true,
        .plain = streq(destination, "/proc") || streq(destination, "/sys"),
        .nofollow = options->dest_nofollow,
        .copy_up = options->tmpcopyup,
        .by_context = options->tmpcopyup || (options->propagation & rare) != 0,
    };
    for (size_t i = 0; i < ARRAY_SIZE(flag_of); i++) {
        if (step->attributes & flag_of[i].attribute)
            step->flags |= flag_of[i].flag;
    }
    if (options->data.count > 0) {
        step->data = join(p->arena, &options->data);
        if (!step->data)
            return NULL;
    }
    if (add_label(p, step) < 0)
        return NULL;
    step->by_context |= step->data && strlen(step->data) > MOUNT_DATA_MAX;
    /* a new mount is private already; only these two are something else */
    if (options->propagation & rare)
        step->changes[step->change_count++].attr.propagation = options->propagation;
    return step;
}

/* ---- binds ---- */

/* What is to be set on a bound tree, in at most three calls: everything below it with the
 * propagation to begin with, everything below it made shared, the mount itself. */
static void plan_changes(const struct mount_planner *p, const struct mount_options *o, int userns,
                         struct mount_step *step)
{
    const unsigned long shared = MS_SHARED;
    struct mount_change tree = { .flags = AT_RECURSIVE }, share = { .flags = AT_RECURSIVE };
    struct mount_change one = { 0 };
    const struct mount_attr none = { 0 };
    struct mount_change *const order[] = { &tree, &share, &one };

    tree.attr.attr_set = o->tree.set;
    tree.attr.attr_clr = o->tree.clr;
    one.attr.attr_set = o->one.set;
    one.attr.attr_clr = o->one.clr;
    /* A clone made here is a peer of the host's mount. It stays one only if the configuration says
     * that the root shares its mounts; otherwise the host's mounts come in, none go out. */
    if (!(p->root_propagation & MS_SHARED))
        tree.attr.propagation = MS_SLAVE;
    if (o->propagation && o->propagation_tree && o->propagation != shared)
        tree.attr.propagation = o->propagation;
    else if (o->propagation && o->propagation_tree)
        share.attr.propagation = shared;
    else
        one.attr.propagation = o->propagation;
    if (o->idmap != MOUNT_IDMAP_NONE || userns >= 0) {
        struct mount_attr *attr = o->idmap == MOUNT_IDMAP_TREE ? &tree.attr : &one.attr;

        attr->attr_set |= MOUNT_ATTR_IDMAP;
        attr->userns_fd = (uint64_t)userns;
    }
    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        if (memcmp(&order[i]->attr, &none, sizeof(none)) != 0)
            step->changes[step->change_count++] = *order[i];
    }
}

static const char *bundle_path(struct mount_planner *p)
{
    char link[64], path[PATH_MAX];
    ssize_t n;

    if (p->bundle)
        return p->bundle;
    if (p->options->bundle_fd >= 0)
        snprintf(link, sizeof(link), "/proc/self/fd/%d", p->options->bundle_fd);
    else
        snprintf(link, sizeof(link), "/proc/self/cwd");
    n = readlink(link, path, sizeof(path));
    if (n > 0 && n < (ssize_t)sizeof(path))
        p->bundle = arena_strn(p->arena, path, (size_t)n);
    return p->bundle;
}

const char *mount_plan_host_path(struct mount_planner *p, const char *path)
{
    const char *bundle, *whole;

    if (*path == '/')
        return path;
    bundle = bundle_path(p);
    if (!bundle) {
        err_set(p->e, -ENOENT, WHARF_ERROR_INTERNAL, "cannot find the path of the bundle");
        return NULL;
    }
    whole = arena_format(p->arena, "%s/%s", bundle, path);
    if (!whole)
        err_nomem(p->e);
    return whole;
}

/* Opens the source as a detached mount. Without the right to do so: leaves step->tree at -1. */
static int open_source(struct mount_planner *p, struct mount_step *step)
{
    int dir = p->options->bundle_fd >= 0 ? p->options->bundle_fd : AT_FDCWD;
    unsigned nofollow = step->clone_flags & AT_SYMLINK_NOFOLLOW;
    struct stat st;

    if (fstatat(dir, step->source, &st, (int)nofollow) < 0)
        return err_sys(p->e, "cannot open source '%s' of mount '%s'", step->source,
                       step->destination);
    step->directory = S_ISDIR(st.st_mode);
    if (p->options->rootless)
        return 0;
    step->tree = mount_clone(dir, step->source, step->clone_flags);
    if (step->tree == -EPERM) {
        step->tree = -1;
        return 0;
    }
    if (step->tree < 0)
        return err_code(p->e, step->tree, "cannot bind source '%s' of mount '%s'", step->source,
                        step->destination);
    /* the clone cannot be exchanged any more: what counts is what it is */
    if (fstat(step->tree, &st) < 0)
        return err_sys(p->e, "cannot examine source '%s'", step->source);
    step->directory = S_ISDIR(st.st_mode);
    return 0;
}

/* Sets the attributes now if the tree is here, otherwise leaves them to the child. */
static int settle_source(struct mount_planner *p, struct mount_step *step, int userns)
{
    if (step->tree < 0 && userns >= 0)
        return err_unsupported(p->e, "mount '%s': an id-mapped mount needs root on the host",
                               step->destination);
    if (step->tree < 0) {
        step->source = mount_plan_host_path(p, step->source);
        return step->source ? 0 : -ENOENT;
    }
    for (unsigned i = 0; i < step->change_count; i++) {
        int r = mount_change(step->tree, &step->changes[i]);

        if (r < 0 && (step->changes[i].attr.attr_set & MOUNT_ATTR_IDMAP))
            return err_code(
                p->e, r, "mount '%s': the file system of '%s' cannot be id-mapped, or is already",
                step->destination, step->source);
        if (r < 0)
            return err_code(p->e, r, "cannot set the attributes of mount '%s'", step->destination);
    }
    step->change_count = 0;
    return 0;
}

int mount_plan_bind(struct mount_planner *p, const char *destination, const char *source,
                    const struct mount_options *options, int userns, struct mount_step **ret)
{
    struct mount_step *step = arena_alloc(p->arena, sizeof(*step));
    int r;

    if (!step)
        return err_nomem(p->e);
    *step = (struct mount_step){
        .kind = MOUNT_KIND_BIND,
        .destination = destination,
        .source = source,
        .tree = -1,
        .clone_flags = (options->bind_tree ? AT_RECURSIVE : 0) |
                       (options->src_nofollow ? AT_SYMLINK_NOFOLLOW : 0),
        .nofollow = options->dest_nofollow,
    };
    plan_changes(p, options, userns, step);
    r = open_source(p, step);
    if (r == 0)
        r = settle_source(p, step, userns);
    if (r < 0) {
        fd_close(step->tree);
        return r;
    }
    *ret = step;
    return 0;
}

/* The user namespace that a mount's ids are mapped by, or -1 where they are not. */
static int plan_idmap(struct mount_planner *p, const struct spec_mount *m,
                      const struct mount_options *options, int *ret)
{
    const struct spec_namespace *user = spec_namespace_find(p->spec, CLONE_NEWUSER);
    const struct spec_linux *l = p->spec->linux_;
    bool own = m->uid_mappings.count > 0 || m->gid_mappings.count > 0;

    *ret = -1;
    if (!own && options->idmap == MOUNT_IDMAP_NONE)
        return 0;
    if (own)
        return idmap_namespace(&m->uid_mappings, &m->gid_mappings, ret, p->e);
    if (!user)
        return err_invalid(p->e, "mount '%s': 'idmap' without uidMappings needs a user namespace",
                           m->destination);
    if (!user->path)
        return idmap_namespace(&l->uid_mappings, &l->gid_mappings, ret, p->e);
    *ret = open(user->path, O_RDONLY | O_CLOEXEC);
    return *ret < 0 ? err_sys(p->e, "cannot open user namespace '%s'", user->path) : 0;
}

/* crun's copy-symlink: a source that is a symbolic link becomes the same link. 1: it was so. */
static int plan_symlink(struct mount_planner *p, const struct spec_mount *m,
                        const char *destination)
{
    int dir = p->options->bundle_fd >= 0 ? p->options->bundle_fd : AT_FDCWD;
    struct mount_step *step;
    char text[PATH_MAX];
    ssize_t n = readlinkat(dir, m->source, text, sizeof(text));

    if (n < 0)
        return 0;
    step = arena_alloc(p->arena, sizeof(*step));
    if (!step || n == sizeof(text))
        return err_nomem(p->e);
    *step = (struct mount_step){ .kind = MOUNT_KIND_SYMLINK, .destination = destination };
    step->tree = -1;
    step->source = arena_strn(p->arena, text, (size_t)n);
    mount_plan_add(p, step);
    return step->source ? 1 : err_nomem(p->e);
}

static int plan_bind(struct mount_planner *p, const struct spec_mount *m, const char *destination,
                     const struct mount_options *options)
{
    autoclose int userns = -1;
    struct mount_step *step;
    int r;

    if (!m->source || !*m->source)
        return err_invalid(p->e, "mount '%s': a bind mount needs a source", m->destination);
    if (options->copy_symlink) {
        r = plan_symlink(p, m, destination);
        if (r != 0)
            return r < 0 ? r : 0;
    }
    r = plan_idmap(p, m, options, &userns);
    if (r < 0)
        return r;
    r = mount_plan_bind(p, destination, m->source, options, userns, &step);
    if (r < 0)
        return r;
    mount_plan_add(p, step);
    return 0;
}

/* ---- the whole entry ---- */

static bool source_is_proc(const struct spec_mount *m)
{
    struct statfs fs;

    return m->source && statfs(m->source, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

/* Nothing is mounted at or below /proc but procfs itself and a few files (CVE-2015-3631: a mount on
 * /proc/self/attr would swallow the label). */
static int check_proc(const struct mount_planner *p, const struct spec_mount *m,
                      const char *destination, const struct mount_options *o)
{
    const char *below = str_after(destination, "/proc");

    if (!below || (*below && *below != '/'))
        return 0;
    if (*below == 0 && (o->bind ? source_is_proc(m) : streq_null(m->type, "proc")))
        return 0;
    for (size_t i = 0; o->bind && i < ARRAY_SIZE(proc_files); i++) {
        if (streq(destination, proc_files[i]))
            return 0;
    }
    return err_set(p->e, -EPERM, WHARF_ERROR_FORBIDDEN,
                   "mount '%s': nothing may be mounted at or below /proc but procfs",
                   m->destination);
}

static char *clean_destination(struct mount_planner *p, const struct spec_mount *m)
{
    autofree char *rooted = str_format("/%s", m->destination);
    autofree char *clean = rooted ? path_clean(rooted) : NULL;

    return clean ? arena_str(p->arena, clean) : NULL;
}

/* What stands in for a file system that the kernel refuses to a nested user namespace. */
static int plan_fallback(struct mount_planner *p, struct mount_step *step,
                         const struct mount_options *options)
{
    static char subset[] = "subset=pid";
    static char *subset_words[] = { subset };
    struct mount_options other = *options;

    if (streq(step->type, "proc") && step->data == NULL) {
        /* "mount too revealing": the /proc outside has masks. Only the processes are shown then. */
        other.data.items = subset_words;
        other.data.count = 1;
        step->fallback = mount_plan_new(p, step->destination, step->source, "proc", &other);
        return step->fallback ? 0 : err_nomem(p->e);
    }
    if (streq(step->type, "sysfs")) {
        /* the network namespace is the host's: its sysfs is not ours to mount, but to show */
        other.bind = other.bind_tree = true;
        other.data.count = 0;
        other.tree.set |= other.one.set;
        return mount_plan_bind(p, step->destination, "/sys", &other, -1, &step->fallback);
    }
    return 0;
}

static int plan_new(struct mount_planner *p, const struct spec_mount *m, const char *destination,
                    const struct mount_options *options)
{
    struct mount_step *step;

    if (!m->type || !*m->type)
        return err_invalid(p->e, "mount '%s' has no type, and is no bind mount", m->destination);
    if (streq(m->type, "cgroup") || streq(m->type, "cgroup2"))
        return mount_plan_cgroup(p, destination, options);
    if (options->idmap != MOUNT_IDMAP_NONE || m->uid_mappings.count > 0)
        return err_invalid(p->e, "mount '%s': only bind mounts can be id-mapped", m->destination);
    step = mount_plan_new(p, destination, m->source, m->type, options);
    if (!step)
        return err_nomem(p->e);
    mount_plan_add(p, step);
    return spec_namespace_find(p->spec, CLONE_NEWUSER) ? plan_fallback(p, step, options) : 0;
}

/* "remount": the attributes of what is mounted there by now. */
static int plan_remount(struct mount_planner *p, const char *destination,
                        const struct mount_options *o)
{
    struct mount_step *step = arena_alloc(p->arena, sizeof(*step));
    struct mount_planner shared = *p;

    if (!step)
        return err_nomem(p->e);
    *step = (struct mount_step){ .kind = MOUNT_KIND_CHANGE, .destination = destination };
    step->tree = -1;
    step->directory = true;
    shared.root_propagation = MS_SHARED; /* leaves the propagation as it is */
    plan_changes(&shared, o, -1, step);
    mount_plan_add(p, step);
    return 0;
}

int mount_plan(struct mount_planner *p, size_t index)
{
    const struct spec_mount *m = &p->spec->mounts.items[index];
    struct mount_options *options = arena_alloc(p->arena, sizeof(*options));
    const char *destination = clean_destination(p, m);
    int r;

    if (!options || !destination)
        return err_nomem(p->e);
    r = mount_options_parse(&m->options, streq_null(m->type, "bind"), p->arena, options, p->e);
    if (r < 0)
        return err_wrap(p->e, r, "mount '%s'", m->destination);
    if (streq(destination, "/"))
        return err_invalid(p->e, "mount '%s' would hide the root", m->destination);
    r = check_proc(p, m, destination, options);
    if (r < 0)
        return r;
    if (options->remount)
        return plan_remount(p, destination, options);
    return options->bind ? plan_bind(p, m, destination, options)
                         : plan_new(p, m, destination, options);
}
