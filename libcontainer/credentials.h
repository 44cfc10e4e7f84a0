/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who the process is and what it may do: capabilities, ids, no_new_privs, LSM labels; and the
 * attributes of the process itself: rlimits, scheduler, io priority, affinity, memory policy,
 * personality, oom score. Parent side resolves and checks; child side (marked) makes raw calls
 * only.
 */
#ifndef LIBCONTAINER_CREDENTIALS_H
#define LIBCONTAINER_CREDENTIALS_H

#include "libcontainer/config/spec.h"

/* capabilities.c */
/* "CAP_CHOWN" -> bit 0 set ...; the values of struct spec_capabilities. */
extern const struct field_word capability_words[];
/* The sets to apply: the wish intersected with what the kernel knows and this process holds; what
 * had to go is reported in *ret_dropped. A NULL wish means no capability at all. */
int capabilities_resolve(const struct spec_capabilities *wish, struct spec_capabilities *ret,
                         uint64_t *ret_dropped, struct wharf_error *e);
/* Child. In this order around the change of ids: bounding set first, keep caps, setresuid, then the
 * other sets, then ambient. *ret_ambient_missed: ambient bits that could not be raised (a warning).
 */
int capabilities_drop_bounding(const struct spec_capabilities *caps, struct wharf_error *e);
int capabilities_apply(const struct spec_capabilities *caps, uint64_t *ret_ambient_missed,
                       struct wharf_error *e);

/* attributes.c: process attributes. Child unless said otherwise. */
struct process_attributes; /* everything below, resolved to numbers by the parent */
/* `first`: the container's first process, which execCPUAffinity does not concern. */
int attributes_prepare(const struct spec_process *process, const struct container_spec *spec,
                       bool first, struct arena *arena, struct process_attributes **ret,
                       struct wharf_error *e);
/* As privileged as the runtime: rlimits, scheduler, io priority, affinity (final), memory policy,
 * personality. */
int attributes_apply(const struct process_attributes *attributes, struct wharf_error *e);
/* Parent, on the child's pid while the child waits: execCPUAffinity.initial. */
bool attributes_have_initial_affinity(const struct process_attributes *attributes);
int attributes_apply_initial_affinity(const struct process_attributes *attributes, pid_t pid,
                                      struct wharf_error *e);

/* lsm.c */
bool lsm_selinux_enabled(void);
bool lsm_apparmor_enabled(void);
/* Parent: what to apply on this host. Asking for a label where the module is off: SELinux's is left
 * out (the pointer becomes NULL, as docker and runc do), AppArmor's is an error unless
 * "unconfined". */
int lsm_check(const char **selinux_label, const char **apparmor_profile, struct wharf_error *e);
/* Child: writes the exec label or profile below `proc`, a descriptor of a procfs that we made. */
int lsm_apply(int proc, const char *selinux_label, const char *apparmor_profile,
              struct wharf_error *e);

#endif
