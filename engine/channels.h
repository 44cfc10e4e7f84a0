/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --chan NAME: containers that name the same channel meet in one directory of the host,
 * RUN/chan/NAME, which each of them finds at /run/chan/NAME. Whoever serves listens on the unix
 * socket "socket" in it, whoever dials connects there: the kernel joins the two, without a network
 * between them and without this engine in the path, and descriptors pass. The address is in the
 * environment.
 *
 * "NAME:ro" may dial and not serve: the directory is read-only there, which does not keep anybody
 * from connecting (unix(7): connecting needs write permission on the socket, not on its mount).
 */
#ifndef ENGINE_CHANNELS_H
#define ENGINE_CHANNELS_H

#include "engine/oci.h"

#define CHANNELS_DIR     "chan" /* below run; kept until the machine ends: others may still dial */
#define CHANNEL_NAME_MAX 63

/* "NAME[:ro]"; the name is the arena's. -EINVAL */
struct channel {
    const char *name;
    bool read_only;
};
int channel_parse(const char *text, struct arena *arena, struct channel *ret,
                  struct wharf_error *e);

/* Makes the directories of host->channels below `run`, and tells what the container needs of them.
 */
int channels_collect(const struct settings_host *host, const char *run, struct arena *arena,
                     struct oci_channels *ret, struct wharf_error *e);

#endif
