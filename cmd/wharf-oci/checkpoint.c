/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint, and the options that it shares with restore. */
#include "base/str.h"
#include "options.h"

DEFINE_AUTO(struct container, container_close)

int checkpoint_options(const struct options *o, struct container_checkpoint_options *ret,
                       struct wharf_error *e)
{
    struct container_checkpoint_options c = {
        .size = sizeof(c),
        .image_path = o->image_path ? o->image_path : "checkpoint",
        .work_path = o->work_path,
        .parent_path = o->parent_path,
        .manage_cgroups = o->manage_cgroups,
        .network_lock = o->network_lock,
        .page_server = o->page_server,
        .lsm_profile = o->lsm_profile,
        .lsm_mount_context = o->lsm_mount_context,
        .status_fd = -1,
        .leave_running = o->leave_running,
        .tcp_established = o->tcp_established,
        .tcp_close = o->tcp_close,
        .tcp_skip_in_flight = o->tcp_skip_in_flight,
        .ext_unix_sockets = o->ext_unix_sk,
        .shell_job = o->shell_job,
        .file_locks = o->file_locks,
        .link_remap = o->link_remap,
        .lazy_pages = o->lazy_pages,
        .pre_dump = o->pre_dump,
        .auto_dedup = o->auto_dedup,
        .empty_network = o->empty_ns.count > 0,
    };
    unsigned fd;
    int r;

    for (size_t i = 0; i < o->empty_ns.count; i++) {
        if (!streq(o->empty_ns.items[i], "network"))
            return err_invalid(e, "--empty-ns: '%s' is not 'network'", o->empty_ns.items[i]);
    }
    if (o->status_fd) {
        r = option_number("status-fd", o->status_fd, INT32_MAX, &fd, e);
        if (r < 0)
            return r;
        c.status_fd = (int)fd;
    }
    *ret = c;
    return 0;
}

int command_checkpoint(struct container_engine *engine, const struct options *o,
                       struct wharf_error *e)
{
    auto_of(container_close) struct container *c = NULL;
    struct container_checkpoint_options options;
    int r = checkpoint_options(o, &options, e);

    if (r == 0)
        r = container_open(engine, o->args[0], &c, e);
    if (r == 0)
        r = container_checkpoint(c, &options, e);
    /* what was saved and stopped is over, unless it is to go on */
    if (r == 0 && !o->leave_running && !o->pre_dump)
        r = container_delete(c, 1, e);
    return r;
}
