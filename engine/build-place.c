/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See build-place.h. Making a place and sweeping exclude each other by a lock on RUN/builds: a
 * place is never seen before it is locked.
 */
#include "engine/build-place.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "base/str.h"
#include "engine/network.h"

#define PLACES "builds"

/* RUN/builds, under its lock. */
static int open_places(struct engine *en, bool make)
{
    autofree char *path = str_format("%s/" PLACES, en->run);
    int r = !path ? -ENOMEM : make ? path_make_dirs(path, 0700) : 0;
    autoclose int fd = r < 0 ? r : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return r < 0 ? r : -errno;
    return flock(fd, LOCK_EX) < 0 ? -errno : take_fd(&fd);
}

int build_place_open(struct engine *en, const char *id, struct arena *arena,
                     struct build_place *ret, struct wharf_error *e)
{
    struct build_place p = { .engine = en, .id = id, .dir = -1, .sandbox = { -1, -1, NULL } };
    autoclose int places = open_places(en, true);

    p.path = arena_format(arena, "%s/" PLACES "/%s", en->run, id);
    if (!p.path)
        return err_nomem(e);
    if (places < 0)
        return err_code(e, places, "cannot make a directory for a build step");
    if (mkdirat(places, id, 0700) == 0)
        p.dir = openat(places, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p.dir < 0 || flock(p.dir, LOCK_EX | LOCK_NB) < 0) {
        err_sys(e, "cannot make '%s'", p.path);
        fd_close(p.dir);
        return -EIO;
    }
    *ret = p;
    return 0;
}

int build_place_connect(struct build_place *p, const struct settings *s, int64_t owner,
                        struct arena *arena, const char **ret_netns, struct wharf_error *e)
{
    const struct settings_host *h = s->host;
    struct network_files files = { s->domainname, &h->extra_hosts, &h->dns, &h->dns_search,
                                   &h->dns_options };
    struct network_member member = {
        .id = p->id, .name = p->id, .hostname = s->hostname, .owner = owner
    };
    struct network_request request = { .member = &member, .dns = &h->dns };
    struct networks *nw;
    int r;

    if (!settings_have_networks(s))
        return 0;
    r = engine_networks(p->engine, &nw, e);
    if (r == 0)
        r = network_join(nw, &member, h->network_mode, NULL, NULL, NULL, e);
    p->joined = r == 0;
    if (r == 0)
        r = network_start(nw, &request, &p->sandbox, e);
    if (r == 0)
        r = network_files(nw, &member, &files, p->dir, e);
    if (r == 0 && p->sandbox.keeper)
        r = keeper_open(&p->keeper, p->sandbox.keeper, p->sandbox.netns, e);
    if (r == 0)
        *ret_netns = arena_format(arena, "/proc/self/fd/%d", p->sandbox.netns);
    return r < 0 ? r : *ret_netns ? 0 : err_nomem(e);
}

static void leave_networks(struct engine *en, const char *id)
{
    struct networks *nw;

    if (engine_networks(en, &nw, NULL) == 0)
        network_leave(nw, id, NULL);
}

void build_place_close(struct build_place *p)
{
    autoclose int places = p->dir < 0 ? -1 : open_places(p->engine, false);

    keeper_close(p->keeper);
    if (p->joined)
        leave_networks(p->engine, p->id);
    network_sandbox_done(&p->sandbox);
    p->dir = fd_close(p->dir);
    if (places >= 0)
        path_remove_tree(places, p->id);
}

/* ---- what killed builds left ----------------------------------------------------------------- */

static bool is_id(const char *name)
{
    return strspn(name, "0123456789abcdef") == ID_LENGTH && !name[ID_LENGTH];
}

static void sweep(struct engine *en, int places, const char *id)
{
    autoclose int dir = openat(places, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0 || flock(dir, LOCK_EX | LOCK_NB) < 0)
        return;
    container_sweep(en, id);
    leave_networks(en, id);
    path_remove_tree(places, id);
}

void build_places_sweep(struct engine *en)
{
    autoclose int places = open_places(en, false);
    int listed = places < 0 ? -1 : openat(places, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = listed < 0 ? NULL : fdopendir(listed);
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        if (is_id(entry->d_name))
            sweep(en, places, entry->d_name);
    }
    if (dir)
        closedir(dir);
    else
        fd_close(listed);
}
