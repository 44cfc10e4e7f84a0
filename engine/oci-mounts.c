/* SPDX-License-Identifier: Apache-2.0 */
/* The list "mounts" of config.json: docker's default ones, the files in /etc, tmpfs, channels, and
 * what mounts.c has resolved; shallow targets first, so that none hides another. */
#include "engine/oci-internal.h"

#include <inttypes.h>
#include <stdio.h>
#include "base/str.h"

#define SHM_DEFAULT (64 << 20)

/* What is read-only unless the container is privileged, or may write its cgroups. */
static const struct {
    const char *target, *type, *options;
    enum { WRITABLE, PRIVILEGED, CGROUPS } when;
} default_mounts[] = {
    { "/proc", "proc", "nosuid,noexec,nodev", WRITABLE },
    { "/dev", "tmpfs", "nosuid,strictatime,mode=755,size=65536k", WRITABLE },
    { "/dev/pts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5", WRITABLE },
    { "/sys", "sysfs", "nosuid,noexec,nodev", PRIVILEGED },
    { "/sys/fs/cgroup", "cgroup", "nosuid,noexec,nodev", CGROUPS },
    { "/dev/mqueue", "mqueue", "nosuid,noexec,nodev", WRITABLE },
};

/* `options` is comma-separated; "" is none. */
static void put_mount(struct buf *b, const char *target, const char *type, const char *source,
                      const char *options)
{
    char last = b->len > 0 ? b->data[b->len - 1] : '[';

    buf_str(b, last == '[' ? "{\"destination\":" : ",{\"destination\":");
    put_string(b, target);
    put_member(b, "type", type);
    put_member(b, "source", source);
    buf_str(b, ",\"options\":[");
    for (const char *p = options; *p;) {
        size_t n = strcspn(p, ",");

        if (p != options)
            buf_char(b, ',');
        buf_json(b, p, n);
        p += n + (p[n] == ',');
    }
    buf_str(b, "]}");
}

static bool has_mount(const struct oci_input *in, const char *target)
{
    const field_pairs *tmpfs = &in->settings->host->tmpfs;

    for (size_t i = 0; i < tmpfs->count; i++) {
        if (streq(tmpfs->items[i].key, target))
            return true;
    }
    for (size_t i = 0; i < in->mounts.count; i++) {
        if (streq(in->mounts.items[i].target, target))
            return true;
    }
    return false;
}

static void put_shm(const struct oci_input *in, struct buf *b)
{
    const struct settings_host *host = in->settings->host;
    char options[96];

    if (has_mount(in, "/dev/shm") || mode_is(host->ipc_mode, "none"))
        return;
    if (mode_is(host->ipc_mode, "host")) {
        put_mount(b, "/dev/shm", "bind", "/dev/shm", "rbind,rprivate");
    } else if (in->shm) {
        put_mount(b, "/dev/shm", "bind", in->shm, "bind,rprivate,nosuid,noexec,nodev");
    } else {
        snprintf(options, sizeof(options), "nosuid,noexec,nodev,mode=1777,size=%" PRId64,
                 host->shm_size ? host->shm_size : SHM_DEFAULT);
        put_mount(b, "/dev/shm", "tmpfs", "shm", options);
    }
}

static int put_default_mounts(const struct oci_input *in, const struct security *security,
                              struct arena *arena, struct buf *b, struct wharf_error *e)
{
    for (size_t i = 0; i < ARRAY_SIZE(default_mounts); i++) {
        bool privileged = in->settings->host->privileged;
        bool rw = default_mounts[i].when == CGROUPS ? security->writable_cgroups : privileged;
        const char *mode = default_mounts[i].when == WRITABLE ? "" : rw ? ",rw" : ",ro";
        char *options = arena_format(arena, "%s%s", default_mounts[i].options, mode);

        if (!options)
            return err_nomem(e);
        if (!has_mount(in, default_mounts[i].target))
            put_mount(b, default_mounts[i].target, default_mounts[i].type, default_mounts[i].type,
                      options);
    }
    put_shm(in, b);
    return 0;
}

static int put_etc(const struct oci_input *in, struct arena *arena, struct buf *b,
                   struct wharf_error *e)
{
    static const char *const files[] = { "hosts", "hostname", "resolv.conf" };

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        char *source = arena_format(arena, "%s/%s", in->etc, files[i]);
        char *target = arena_format(arena, "/etc/%s", files[i]);

        if (!source || !target)
            return err_nomem(e);
        if (!has_mount(in, target))
            put_mount(b, target, "bind", source, "rbind,rprivate");
    }
    if (in->init)
        put_mount(b, OCI_INIT, "bind", in->init, "bind,ro,rprivate,nosuid,nodev");
    return 0;
}

static size_t depth_of(const char *path)
{
    size_t depth = 0;

    for (; *path; path++)
        depth += *path == '/';
    return depth;
}

static int compare_depth(const void *a, const void *b)
{
    const struct oci_mount *x = a, *y = b;
    size_t dx = depth_of(x->target), dy = depth_of(y->target);

    return dx != dy ? (dx > dy) - (dx < dy) : strcmp(x->target, y->target);
}

/* All that was asked for, sorted. */
static int put_asked(const struct oci_input *in, struct arena *arena, struct buf *b,
                     struct wharf_error *e)
{
    const field_pairs *tmpfs = &in->settings->host->tmpfs;
    size_t count = 0;
    struct oci_mount *all =
        arena_array(arena, 1 + tmpfs->count + in->channels.count + in->mounts.count, sizeof(*all));

    if (!all)
        return err_nomem(e);
    for (size_t i = 0; i < tmpfs->count; i++) {
        const struct field_pair *t = &tmpfs->items[i];
        char *options =
            arena_format(arena, "nosuid,nodev,noexec%s%s", *t->value ? "," : "", t->value);

        if (!options)
            return err_nomem(e);
        all[count++] = (struct oci_mount){ t->key, "tmpfs", "tmpfs", options };
    }
    for (size_t i = 0; i < in->channels.count; i++) {
        const struct oci_channel *c = &in->channels.items[i];

        all[count++] = (struct oci_mount){ c->target, "bind", c->source,
                                           c->read_only ? "rbind,rprivate,nosuid,nodev,noexec,ro"
                                                        : "rbind,rprivate,nosuid,nodev,noexec" };
    }
    for (size_t i = 0; i < in->mounts.count; i++)
        all[count++] = in->mounts.items[i];
    qsort(all, count, sizeof(*all), compare_depth);
    for (size_t i = 0; i < count; i++)
        put_mount(b, all[i].target, all[i].type, all[i].source, all[i].options);
    return 0;
}

int put_mounts(const struct oci_input *in, const struct security *security, struct arena *arena,
               struct buf *b, struct wharf_error *e)
{
    buf_str(b, ",\"mounts\":[");
    int r = put_default_mounts(in, security, arena, b, e);
    if (r == 0)
        r = put_etc(in, arena, b, e);
    if (r == 0)
        r = put_asked(in, arena, b, e);
    buf_char(b, ']');
    return r;
}
