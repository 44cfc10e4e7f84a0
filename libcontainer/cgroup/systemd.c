/* SPDX-License-Identifier: Apache-2.0 */
/* The systemd driver; see systemd.h. */
#include "libcontainer/cgroup/systemd.h"

int systemd_unit_new(struct systemd_unit **ret, const struct cgroup_options *options,
                     struct wharf_error *e)
{
    return err_unsupported(e, "this build has no systemd cgroup driver");
}

int systemd_unit_load(struct systemd_unit **ret, json_t *saved, struct wharf_error *e)
{
    return err_unsupported(e, "this build has no systemd cgroup driver");
}

json_t *systemd_unit_save(const struct systemd_unit *unit)
{
    return NULL;
}

void systemd_unit_free(struct systemd_unit *unit)
{
}

int systemd_unit_start(struct systemd_unit *unit, pid_t pid, struct arena *arena, char **ret_group,
                       struct wharf_error *e)
{
    return err_unsupported(e, "this build has no systemd cgroup driver");
}

int systemd_unit_set(struct systemd_unit *unit, const struct spec_resources *resources,
                     struct wharf_error *e)
{
    return err_unsupported(e, "this build has no systemd cgroup driver");
}

int systemd_unit_stop(struct systemd_unit *unit, struct wharf_error *e)
{
    return err_unsupported(e, "this build has no systemd cgroup driver");
}
