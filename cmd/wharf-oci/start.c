/* SPDX-License-Identifier: Apache-2.0 */
/* create, run, start and restore: containers come into being. */
#include <fcntl.h>
#include "base/fd.h"
#include "base/str.h"
#include "handover.h"
#include "libcontainer/config/spec.h"

DEFINE_AUTO(struct container_spec, container_spec_free)
DEFINE_AUTO(struct container, container_close)

/* config.json of the bundle, or --config; that one is relative to the bundle, as crun has it. */
static int read_spec(const struct options *o, int bundle, struct container_spec **ret,
                     struct wharf_error *e)
{
    const char *name = o->config ? o->config : "config.json";
    autofree char *text = NULL;
    ssize_t len = file_read(bundle, name, SPEC_TEXT_MAX, &text);

    if (len < 0)
        return err_code(e, (int)len, "cannot read '%s/%s'", o->bundle ? o->bundle : ".", name);
    return container_spec_parse(ret, text, (size_t)len, e);
}

/* sd_listen_fds(3): the container's first process is the one that is listened for. */
static int add_listen_variables(struct container_spec *spec, struct wharf_error *e)
{
    const char *listen = getenv("LISTEN_FDS");
    autofree char *count = listen && *listen ? str_format("LISTEN_FDS=%s", listen) : NULL;
    int r = count ? container_spec_set(spec, "process.env[+]", count, e) : 0;

    if (r == 0 && count)
        r = container_spec_set(spec, "process.env[+]", "LISTEN_PID=1", e);
    return r;
}

typedef int make_container(struct container_engine *, const struct options *,
                           const struct container_spec *, const struct container_start_options *,
                           struct container **, struct wharf_error *);

/* Reads the spec, checks how its terminal will be held, makes the container, writes the pid file:
 * on failure nothing of it is left. */
static int make(struct container_engine *engine, const struct options *o, bool detach,
                make_container *maker, struct container **ret, struct wharf_error *e)
{
    auto_of(container_spec_free) struct container_spec *spec = NULL;
    struct container *c = NULL;
    struct handover h;
    int r = handover_prepare(&h, o, e);

    if (r < 0)
        return r;
    r = read_spec(o, h.start.bundle_fd, &spec, e);
    if (r == 0)
        r = handover_check_terminal(o, spec->process && spec->process->terminal, detach, e);
    if (r == 0)
        r = add_listen_variables(spec, e);
    if (detach)
        h.start.flags |= CONTAINER_DETACH;
    if (r == 0)
        r = maker(engine, o, spec, &h.start, &c, e);
    handover_done(&h);
    if (r < 0)
        return r;
    r = handover_write_pid(o, container_process_pid(container_init(c)), e);
    if (r < 0) {
        container_delete(c, 1, NULL);
        container_close(c);
        return r;
    }
    *ret = c;
    return 0;
}

static int create_one(struct container_engine *engine, const struct options *o,
                      const struct container_spec *spec,
                      const struct container_start_options *start, struct container **ret,
                      struct wharf_error *e)
{
    return container_create(engine, o->args[0], spec, start, ret, e);
}

static int run_one(struct container_engine *engine, const struct options *o,
                   const struct container_spec *spec, const struct container_start_options *start,
                   struct container **ret, struct wharf_error *e)
{
    return container_run(engine, o->args[0], spec, start, ret, e);
}

static int restore_one(struct container_engine *engine, const struct options *o,
                       const struct container_spec *spec,
                       const struct container_start_options *start, struct container **ret,
                       struct wharf_error *e)
{
    struct container_checkpoint_options criu;
    int r = checkpoint_options(o, &criu, e);

    return r < 0 ? r : container_restore(engine, o->args[0], spec, start, &criu, ret, e);
}

/* Waits for a container that was just begun and removes it, unless it shall be kept. */
static int stay(struct container *c, const struct options *o, struct wharf_error *e)
{
    int status = foreground(container_init(c), e), r = 0;

    if (!o->keep)
        r = container_delete(c, status < 0, status < 0 ? NULL : e);
    return status < 0 || r == 0 ? status : r;
}

static int begin(struct container_engine *engine, const struct options *o, make_container *maker,
                 struct wharf_error *e)
{
    auto_of(container_close) struct container *c = NULL;
    int r = make(engine, o, o->detach, maker, &c, e);

    return r < 0 || o->detach ? r : stay(c, o, e);
}

int command_create(struct container_engine *engine, const struct options *o, struct wharf_error *e)
{
    auto_of(container_close) struct container *c = NULL;

    return make(engine, o, true, create_one, &c, e);
}

int command_run_container(struct container_engine *engine, const struct options *o,
                          struct wharf_error *e)
{
    return begin(engine, o, run_one, e);
}

int command_restore(struct container_engine *engine, const struct options *o, struct wharf_error *e)
{
    return begin(engine, o, restore_one, e);
}

int command_start(struct container_engine *engine, const struct options *o, struct wharf_error *e)
{
    auto_of(container_close) struct container *c = NULL;
    int r = container_open(engine, o->args[0], &c, e);

    return r < 0 ? r : container_start(c, e);
}
