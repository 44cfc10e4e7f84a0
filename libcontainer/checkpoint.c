/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoint and restore through the criu program: not there yet, and refused with that reason
 * (container_has("checkpoint") says 0), so that nobody takes a container for saved that is not. */
#include "container.h"

#include "base/err.h"

int container_checkpoint(struct container *container,
                         const struct container_checkpoint_options *options,
                         struct wharf_error *error)
{
    return err_unsupported(error, "checkpoint is not supported by this version of libcontainer");
}

int container_restore(struct container_engine *engine, const char *id,
                      const struct container_spec *spec,
                      const struct container_start_options *start,
                      const struct container_checkpoint_options *options,
                      struct container **ret_container, struct wharf_error *error)
{
    return err_unsupported(error, "restore is not supported by this version of libcontainer");
}
