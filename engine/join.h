/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces of other containers: "container:NAME" for network, pid and ipc, and the /dev/shm that
 * a container with IpcMode "shareable" offers to those that join its ipc. */
#ifndef ENGINE_JOIN_H
#define ENGINE_JOIN_H

#include "engine/internal.h"

#define SHM_DIR "shm" /* below run: ID, a tmpfs, from the first start to the removal */

/* At create: names become ids. -ENOENT, -EINVAL */
int join_resolve(struct engine *en, struct principal who, struct settings_host *host,
                 struct arena *arena, struct wharf_error *e);

/* At start: paths of the namespaces and of /dev/shm, files in /etc and host name of the container
 * whose network it is. -ESRCH: one of them does not run. */
int join_open(struct engine *en, const struct settings *s, const char *id, struct arena *arena,
              struct oci_input *ret, struct wharf_error *e);

/* Unmounts and removes the shared /dev/shm; nothing is fine. */
void join_forget(struct engine *en, const char *id);

#endif
