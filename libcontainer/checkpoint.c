/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saving a running container: what criu is told of the things that reach outside it.
 *
 * Outside are the sources of bind mounts, a joined network namespace, and what stdin, stdout and
 * stderr were given as. The last go into descriptors.json beside the images, in the words that a
 * restore gives back to criu with descriptors of its own.
 */
#include "container.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/str.h"
#include "libcontainer/criu.h"
#include "libcontainer/handle.h"

/* A joined network namespace: criu knows it by the inode, a restore by this name. */
#define OUTER_NETWORK "wharf-network"

/* mnt_id of an open file, from /proc/PID/fdinfo (proc(5)). */
static int mount_id(pid_t pid, int fd, uint64_t *ret)
{
    autofree char *text = NULL;
    char path[64], digits[16] = "";
    const char *at;
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)pid, fd);
    n = file_read(AT_FDCWD, path, 4096, &text);
    if (n < 0)
        return (int)n;
    at = strstr(text, "mnt_id:\t");
    if (!at)
        return -EINVAL;
    snprintf(digits, sizeof(digits), "%.*s", (int)strspn(at + 8, "0123456789"), at + 8);
    return parse_u64(digits, 0, UINT32_MAX, ret);
}

/* One of the three: pipes and terminals are criu's own to find again, other files are named as
 * outside by mount and inode. */
static int describe(struct criu *criu, pid_t pid, int fd, json_t *list)
{
    char path[64], target[4096];
    uint64_t mount;
    struct stat st;
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
    n = readlink(path, target, sizeof(target) - 1);
    if (n < 0)
        return json_array_append_new(list, json_string("")) < 0 ? -ENOMEM : 0; /* closed */
    target[n] = 0;
    if (!str_after(target, "pipe:") && !str_after(target, "/dev/pts/") &&
        !str_after(target, "socket:") && stat(path, &st) == 0 && mount_id(pid, fd, &mount) == 0) {
        snprintf(target, sizeof(target), "file[%llx:%llx]", (unsigned long long)mount,
                 (unsigned long long)st.st_ino);
        criu_add(criu, "--external");
        criu_add(criu, "%s", target);
    }
    return json_array_append_new(list, json_string(target)) < 0 ? -ENOMEM : 0;
}

static int save_descriptors(struct criu *criu, pid_t pid, struct wharf_error *e)
{
    autojson json_t *list = json_array();
    autofree char *text = NULL;
    int r = list ? 0 : -ENOMEM;

    for (int fd = 0; fd < 3 && r == 0; fd++)
        r = describe(criu, pid, fd, list);
    text = r == 0 ? json_dumps(list, JSON_COMPACT) : NULL;
    if (!text)
        return err_nomem(e);
    r = file_replace(criu->images, CRIU_DESCRIPTORS, text, strlen(text), 0600, true);
    return r < 0 ? err_code(e, r, "cannot write '%s'", CRIU_DESCRIPTORS) : 0;
}

static int add_network(struct criu *criu, const struct container_spec *spec, struct wharf_error *e)
{
    const struct spec_namespace *network = spec_namespace_find(spec, CLONE_NEWNET);
    struct stat st;

    if (!network || !network->path)
        return 0;
    if (stat(network->path, &st) < 0)
        return err_sys(e, "cannot look at network namespace '%s'", network->path);
    criu_add(criu, "--external");
    criu_add(criu, "net[%llu]:" OUTER_NETWORK, (unsigned long long)st.st_ino);
    return 0;
}

static int dump(struct container *c, struct criu *criu,
                const struct container_checkpoint_options *o, struct wharf_error *e)
{
    const struct container_spec *spec = NULL;
    const struct criu_run run = { .keep = &o->status_fd, .keep_count = o->status_fd >= 0 };
    int r = container_saved_spec(c, &spec, e);

    if (r < 0)
        return r;
    criu_add(criu, "--tree");
    criu_add(criu, "%d", (int)c->init.pid);
    criu_add(criu, "--root");
    criu_add(criu, "%s", c->state.rootfs);
    if (o->leave_running)
        criu_add(criu, "--leave-running");
    if (o->pre_dump)
        criu_add(criu, "--track-mem");
    if (o->page_server) {
        criu_add(criu, "--page-server");
        criu_add(criu, "--address=%.*s", (int)strcspn(o->page_server, ":"), o->page_server);
        criu_add(criu, "--port=%s",
                 strchr(o->page_server, ':') ? strchr(o->page_server, ':') + 1 : "0");
    }
    if (o->status_fd >= 0) {
        criu_add(criu, "--status-fd");
        criu_add(criu, "3");
    }
    criu_add_mounts(criu, spec, c->state.rootfs, false);
    r = add_network(criu, spec, e);
    if (r == 0)
        r = save_descriptors(criu, c->init.pid, e);
    return r < 0 ? r : criu_run(criu, &run, e);
}

EXPORT int container_checkpoint(struct container *c,
                                const struct container_checkpoint_options *options,
                                struct wharf_error *e)
{
    struct container_checkpoint_options o = { .status_fd = -1 };
    enum container_status status;
    struct arena *arena;
    struct criu criu;
    int r = container_status(c, &status, NULL, e);

    if (r < 0)
        return r;
    if (status != CONTAINER_RUNNING && status != CONTAINER_PAUSED)
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT,
                       "container '%s' is not running: only a running one can be saved", c->id);
    if (options)
        memcpy(&o, options, MIN(options->size, sizeof(o)));
    arena = arena_new(SPEC_ARENA_MAX);
    if (!arena)
        return err_nomem(e);
    r = criu_begin(&criu, o.pre_dump ? "pre-dump" : "dump", &o, arena, true, e);
    if (r == 0)
        r = dump(c, &criu, &o, e);
    criu_done(&criu);
    arena_free(arena);
    return r;
}
