/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which devices a container may use: linux.resources.devices, in order, the last rule that matches
 * wins; what none matches is denied. The devices that every container has (runtime-spec, "Default
 * Devices") and mknod of any are appended, as runc does.
 */
#ifndef LIBCONTAINER_CGROUP_DEVICES_H
#define LIBCONTAINER_CGROUP_DEVICES_H

#include "libcontainer/cgroup/bpf.h"
#include "libcontainer/cgroup/group.h"

enum { DEVICE_RULES_MAX = 4096 };

enum {
    DEVICE_MKNOD = BPF_DEVCG_ACC_MKNOD,
    DEVICE_READ = BPF_DEVCG_ACC_READ,
    DEVICE_WRITE = BPF_DEVCG_ACC_WRITE,
    DEVICE_ALL = DEVICE_MKNOD | DEVICE_READ | DEVICE_WRITE,
};

struct device_rule {
    bool allow;
    char type;            /* 'a' 'b' 'c' */
    int64_t major, minor; /* -1: any */
    unsigned access;      /* DEVICE_* */
};

struct device_rules {
    struct device_rule *items;
    size_t count;
};

/* The spec's rules with the defaults behind them, checked. */
int device_rules_make(const struct spec_resources *resources, struct arena *arena,
                      struct device_rules *ret, struct wharf_error *e);

/* Applies them where devices are governed: the v1 controller, or a program on the v2 group.
 * `fresh`: no program of ours can be there. */
int devices_apply(struct cgroup *cg, const struct spec_resources *resources, bool fresh,
                  struct wharf_error *e);

int devices_v1_apply(struct group *g, const struct device_rules *rules, struct wharf_error *e);
int devices_ebpf_apply(struct group *g, const struct device_rules *rules, bool fresh,
                       struct wharf_error *e);

/* One rule as a line of devices.allow or devices.deny. */
void device_rule_format(const struct device_rule *rule, char *text, size_t size);

/* Assembles the filter: an array of instructions (free it), their count in *ret_count. */
struct bpf_insn *device_program(const struct device_rules *rules, size_t *ret_count);

#endif
