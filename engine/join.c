/* SPDX-License-Identifier: Apache-2.0 */
/* See join.h. */
#include "engine/join.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "base/str.h"

/* What a mode "container:.." lends. */
struct lent {
    const char *what; /* docker's word */
    const char *ns;   /* its file in /proc/PID/ns */
    size_t mode;      /* where settings_host has it */
    size_t path;      /* where oci_joined takes it */
};
static const struct lent lents[] = {
    { "network", "net", offsetof(struct settings_host, network_mode),
      offsetof(struct oci_joined, network) },
    { "PID", "pid", offsetof(struct settings_host, pid_mode), offsetof(struct oci_joined, pid) },
    { "IPC", "ipc", offsetof(struct settings_host, ipc_mode), offsetof(struct oci_joined, ipc) },
};

static const char *lender(const struct settings_host *host, const struct lent *lent)
{
    const char *mode = *(char *const *)((const char *)host + lent->mode);

    return mode ? str_after(mode, "container:") : NULL;
}

int join_resolve(struct engine *en, struct principal who, struct settings_host *host,
                 struct arena *arena, struct wharf_error *e)
{
    for (size_t i = 0; i < ARRAY_SIZE(lents); i++) {
        const char *name = lender(host, &lents[i]);
        autorecord struct record r = { 0 };

        if (!name)
            continue;
        int code = container_find(en, who, name, &r, NULL, e);
        if (code < 0)
            return code;
        char *mode = arena_format(arena, "container:%s", r.id);
        if (!mode)
            return err_nomem(e);
        *(char **)((char *)host + lents[i].mode) = mode;
    }
    return 0;
}

/* ---- /dev/shm -------------------------------------------------------------------------------- */

static char *shm_path(struct engine *en, const char *id, struct arena *arena)
{
    return arena_format(arena, "%s/%s/%s", en->run, SHM_DIR, id);
}

static int make_shm(struct engine *en, const char *id, int64_t size, struct arena *arena,
                    const char **ret, struct wharf_error *e)
{
    char *path = shm_path(en, id, arena), options[64];
    struct statx sx;

    if (!path)
        return err_nomem(e);
    int r = path_make_dirs(path, 0711);
    if (r < 0)
        return err_code(e, r, "cannot make '%s'", path);
    snprintf(options, sizeof(options), "mode=1777,size=%" PRId64, size);
    bool mounted = statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, 0, &sx) == 0 &&
                   (sx.stx_attributes & STATX_ATTR_MOUNT_ROOT);
    if (!mounted && mount("shm", path, "tmpfs", MS_NOEXEC | MS_NOSUID | MS_NODEV, options) < 0)
        return err_sys(e, "cannot mount '%s'", path);
    *ret = path;
    return 0;
}

void join_forget(struct engine *en, const char *id)
{
    autofree char *path = str_format("%s/%s/%s", en->run, SHM_DIR, id);

    if (path && access(path, F_OK) == 0) {
        umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
        rmdir(path);
    }
}

/* ---- start ----------------------------------------------------------------------------------- */

/* Who joins an ipc namespace sees its /dev/shm too, so the lender must have offered it. */
static int join_shm(struct engine *en, const struct record *from, struct arena *arena,
                    struct oci_input *ret, struct wharf_error *e)
{
    struct settings s;
    int r = settings_read(from->settings, strlen(from->settings), arena, &s, e);

    if (r < 0)
        return r;
    if (s.host->ipc_mode && streq(s.host->ipc_mode, "host"))
        ret->shm = "/dev/shm";
    else if (s.host->ipc_mode && streq(s.host->ipc_mode, "shareable"))
        ret->shm = shm_path(en, from->id, arena);
    else
        return err_invalid(e,
                           "can't join IPC of container %s: non-shareable IPC (hint: use "
                           "IpcMode:shareable for the donor container)",
                           from->id);
    return ret->shm ? 0 : err_nomem(e);
}

/* Names and addresses belong to the network. */
static int join_names(struct engine *en, const struct record *from, struct arena *arena,
                      struct oci_input *ret, struct wharf_error *e)
{
    struct settings s;
    int r = settings_read(from->settings, strlen(from->settings), arena, &s, e);

    if (r < 0)
        return r;
    ret->etc = arena_format(arena, "%s/%s/%s", en->root, CONTAINERS_DIR, from->id);
    if (settings_text(s.hostname))
        ret->hostname = s.hostname;
    return ret->etc ? 0 : err_nomem(e);
}

static int join_one(struct engine *en, const struct lent *lent, const char *id, struct arena *arena,
                    struct oci_input *ret, struct wharf_error *e)
{
    autorecord struct record from = { 0 };
    int r = container_find(en, (struct principal){ 0 }, id, &from, NULL, e);

    if (r < 0)
        return r;
    if (!record_is_running(&from))
        return err_set(e, -ESRCH, WHARF_ERROR_CONFLICT,
                       "cannot join %s of a non running container: %s", lent->what, from.id);
    char *path = arena_format(arena, "/proc/%lld/ns/%s", (long long)from.pid, lent->ns);
    if (!path)
        return err_nomem(e);
    *(const char **)((char *)&ret->joined + lent->path) = path;
    if (streq(lent->ns, "ipc"))
        r = join_shm(en, &from, arena, ret, e);
    if (streq(lent->ns, "net"))
        r = join_names(en, &from, arena, ret, e);
    return r;
}

int join_open(struct engine *en, const struct settings *s, const char *id, struct arena *arena,
              struct oci_input *ret, struct wharf_error *e)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(lents); i++) {
        const char *from = lender(s->host, &lents[i]);

        if (from)
            r = join_one(en, &lents[i], from, arena, ret, e);
    }
    if (r == 0 && s->host->ipc_mode && streq(s->host->ipc_mode, "shareable"))
        r = make_shm(en, id, s->host->shm_size, arena, &ret->shm, e);
    return r;
}
