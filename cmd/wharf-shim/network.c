/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the shim holds of the container's network from its first start to its last end, restarts
 * included: the namespace, at SHIM_FD_NETNS, where the specification names it; the host's ports, in
 * a socket that only has to stay open; the name server (network/keeper.h), one source in the loop.
 */
#include "cmd/wharf-shim/shim.h"

#include <fcntl.h>
#include "network/keeper.h"

static void keeper_ready(struct shim *shim, struct source *source, uint32_t events)
{
    keeper_run(shim->keeper);
}

void network_reserve(void)
{
    dup3(SHIM_FD_DIR, SHIM_FD_NETNS, O_CLOEXEC);
}

int network_begin(struct shim *shim, int netns, int ports, struct wharf_error *e)
{
    if (netns < 0)
        return 0;
    if (dup3(netns, SHIM_FD_NETNS, O_CLOEXEC) < 0)
        return err_sys(e, "cannot keep the container's network namespace");
    if (ports >= 0)
        shim->ports = fcntl(ports, F_DUPFD_CLOEXEC, SHIM_FD_NETNS);
    int r = keeper_open(&shim->keeper, shim->config.network, SHIM_FD_NETNS, e);
    if (r < 0)
        return r;
    shim->names = (struct source){ .fd = keeper_fd(shim->keeper), .ready = keeper_ready };
    r = source_watch(shim, &shim->names, EPOLLIN);
    return r < 0 ? err_code(e, r, "cannot watch the container's name server") : 0;
}

void network_end(struct shim *shim)
{
    source_watch(shim, &shim->names, 0); /* the descriptor is the keeper's */
    shim->names.fd = -1;
    keeper_close(shim->keeper);
    shim->keeper = NULL;
    shim->ports = fd_close(shim->ports);
    close(SHIM_FD_NETNS);
}
