/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lists of linux.resources: every element is one line in one file, and each file takes one line
 * a write. The block I/O weight stands here too, because bfq's file (its own range, 1..1000) takes
 * precedence over the general one where that scheduler is built.
 *
 * `unified` is v2's own language: file name and contents as they are. The part before the first dot
 * is the controller.
 */
#include "libcontainer/cgroup/limits-lists.h"

#include <ctype.h>
#include <stdio.h>
#include "base/str.h"
#include "libcontainer/cgroup/limits.h"

enum { LINE_MAX_LEN = 256 };

int limit_no_controller(const char *field, enum controller controller, struct wharf_error *e)
{
    return err_unsupported(e,
                           "linux.resources.%s needs the cgroup controller '%s', which no mounted "
                           "hierarchy has (or the container may not use)",
                           field, controller_name(controller, false));
}

int limit_not_enabled(const struct group *g, const char *field, enum controller controller,
                      struct wharf_error *e)
{
    return err_unsupported(e,
                           "linux.resources.%s needs the cgroup controller '%s', which could not "
                           "be enabled for '%s': see cgroup.subtree_control of its ancestors, "
                           "which must hold no process themselves",
                           field, controller_name(controller, true), g->path);
}

static int group_for(struct cgroup *cg, enum controller controller, const char *field,
                     struct group **ret, struct wharf_error *e)
{
    struct group *g = cgroup_owner(cg, controller);

    if (!g)
        return limit_no_controller(field, controller, e);
    if (g->v2 && group_enable(g, CONTROLLER_BIT(controller)) != 0)
        return limit_not_enabled(g, field, controller, e);
    *ret = g;
    return 0;
}

static int write_line(struct group *g, const char *field, const char *file, const char *line,
                      struct wharf_error *e)
{
    int r = group_write(g, file, line);

    if (r == 0)
        return 0;
    group_error(g, r, "write", file, e);
    return err_wrap(e, r, "linux.resources.%s: '%s'", field, line);
}

/* ---- huge pages ---- */

/* The name becomes part of a file's: "2MB", "1GB", "64KB". */
static bool page_size_valid(const char *size)
{
    size_t digits = strspn(size, "0123456789");

    return digits > 0 && digits < 8 &&
           (streq(size + digits, "KB") || streq(size + digits, "MB") || streq(size + digits, "GB"));
}

static int apply_hugepages(struct cgroup *cg, const struct spec_resources *r, struct wharf_error *e)
{
    static const char field[] = "hugepageLimits";
    struct group *g = NULL;
    int result = 0;

    if (r->hugepage_limits.count > 0)
        result = group_for(cg, CONTROLLER_HUGETLB, field, &g, e);
    for (size_t i = 0; result == 0 && i < r->hugepage_limits.count; i++) {
        const struct spec_hugepage_limit *l = &r->hugepage_limits.items[i];
        char file[64], value[24];
        int reserved;

        if (!l->page_size || !page_size_valid(l->page_size))
            return err_invalid(e,
                               "linux.resources.hugepageLimits[%zu].pageSize: '%s' is no size such "
                               "as '2MB'",
                               i, l->page_size ? l->page_size : "");
        snprintf(value, sizeof(value), "%llu", (unsigned long long)l->limit);
        snprintf(file, sizeof(file), "hugetlb.%s.%s", l->page_size,
                 g->v2 ? "max" : "limit_in_bytes");
        result = write_line(g, field, file, value, e);
        if (result < 0)
            break;
        /* reserved pages are counted apart since Linux 5.7: without a limit on them a mapping could
         * be promised more than it may touch, and die by SIGBUS */
        snprintf(file, sizeof(file), "hugetlb.%s.rsvd.%s", l->page_size,
                 g->v2 ? "max" : "limit_in_bytes");
        reserved = group_write(g, file, value);
        if (reserved < 0 && reserved != -ENOENT)
            result = write_line(g, field, file, value, e);
    }
    return result;
}

/* ---- block I/O ---- */

/* Tries bfq's file first, then the general one, with its own range on v2. `device` is "8:0 ",
 * "default " or "" (v1 takes the bare number). */
static int write_weight(struct group *g, const char *field, bool device, const char *prefix,
                        uint64_t weight, struct wharf_error *e)
{
    const char *bfq = g->v2    ? "io.bfq.weight"
                      : device ? "blkio.bfq.weight_device"
                               : "blkio.bfq.weight";
    const char *general = g->v2 ? "io.weight" : device ? "blkio.weight_device" : "blkio.weight";
    char line[LINE_MAX_LEN];
    int r;

    snprintf(line, sizeof(line), "%s%llu", prefix, (unsigned long long)weight);
    r = group_write(g, bfq, line);
    if (r != -ENOENT)
        return r == 0 ? 0 : write_line(g, field, bfq, line, e);
    snprintf(line, sizeof(line), "%s%llu", g->v2 && !device ? "default " : prefix,
             (unsigned long long)(g->v2 ? io_weight(weight) : weight));
    return write_line(g, field, general, line, e);
}

/* CFQ's leaf weights went with Linux 5.0, and v2 never had them. */
static int write_leaf(struct group *g, const char *prefix, bool device, uint64_t weight,
                      struct wharf_error *e)
{
    char line[LINE_MAX_LEN];

    if (g->v2)
        return err_unsupported(e,
                               "linux.resources.blockIO.leafWeight has no equivalent in cgroup v2");
    snprintf(line, sizeof(line), "%s%llu", prefix, (unsigned long long)weight);
    return write_line(g, "blockIO.leafWeight",
                      device ? "blkio.leaf_weight_device" : "blkio.leaf_weight", line, e);
}

static int apply_weights(struct group *g, const struct spec_block_io *io, struct wharf_error *e)
{
    int r = 0;

    if (io->weight.set && io->weight.value != 0)
        r = write_weight(g, "blockIO.weight", false, "", io->weight.value, e);
    if (r == 0 && io->leaf_weight.set && io->leaf_weight.value != 0)
        r = write_leaf(g, "", false, io->leaf_weight.value, e);
    for (size_t i = 0; r == 0 && i < io->weight_device.count; i++) {
        const struct spec_weight_device *d = &io->weight_device.items[i];
        char prefix[64];

        snprintf(prefix, sizeof(prefix), "%lld:%lld ", (long long)d->major, (long long)d->minor);
        if (d->weight.set)
            r = write_weight(g, "blockIO.weightDevice", true, prefix, d->weight.value, e);
        if (r == 0 && d->leaf_weight.set)
            r = write_leaf(g, prefix, true, d->leaf_weight.value, e);
    }
    return r;
}

static const struct throttle {
    const char *name, *v1, *v2;
    size_t offset;
} throttles[] = {
    { "blockIO.throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps",
      offsetof(struct spec_block_io, read_bps) },
    { "blockIO.throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps",
      offsetof(struct spec_block_io, write_bps) },
    { "blockIO.throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops",
      offsetof(struct spec_block_io, read_iops) },
    { "blockIO.throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops",
      offsetof(struct spec_block_io, write_iops) },
};

static int apply_throttle(struct group *g, const struct spec_block_io *io, const struct throttle *t,
                          struct wharf_error *e)
{
    const spec_throttle_list *list = (const void *)((const char *)io + t->offset);
    int r = 0;

    for (size_t i = 0; r == 0 && i < list->count; i++) {
        const struct spec_throttle_device *d = &list->items[i];
        char line[LINE_MAX_LEN], rate[24];

        snprintf(rate, sizeof(rate), "%llu", (unsigned long long)d->rate);
        if (g->v2 && d->rate == 0)
            snprintf(rate, sizeof(rate), "max"); /* v1's 0 takes the limit away */
        snprintf(line, sizeof(line), "%lld:%lld %s%s%s", (long long)d->major, (long long)d->minor,
                 g->v2 ? t->v2 : "", g->v2 ? "=" : "", rate);
        r = write_line(g, t->name, g->v2 ? "io.max" : t->v1, line, e);
    }
    return r;
}

/* A weight of 0 and empty lists are what docker writes for "nothing". */
static bool block_io_given(const struct spec_block_io *io)
{
    return io && (io->weight.value || io->leaf_weight.value || io->weight_device.count ||
                  io->read_bps.count || io->write_bps.count || io->read_iops.count ||
                  io->write_iops.count);
}

static int apply_block_io(struct cgroup *cg, const struct spec_resources *r, struct wharf_error *e)
{
    struct group *g;
    int result;

    if (!block_io_given(r->block_io))
        return 0;
    result = group_for(cg, CONTROLLER_IO, "blockIO", &g, e);
    if (result == 0)
        result = apply_weights(g, r->block_io, e);
    for (size_t i = 0; result == 0 && i < ARRAY_SIZE(throttles); i++)
        result = apply_throttle(g, r->block_io, &throttles[i], e);
    return result;
}

/* ---- network, rdma ---- */

static bool class_given(const struct spec_resources *r)
{
    return r->network && r->network->class_id.set && r->network->class_id.value != 0;
}

static int apply_network(struct cgroup *cg, const struct spec_resources *r, struct wharf_error *e)
{
    char line[LINE_MAX_LEN];
    struct group *g;
    int result = 0;

    if (class_given(r)) {
        result = group_for(cg, CONTROLLER_NET_CLS, "network.classID", &g, e);
        snprintf(line, sizeof(line), "%llu", (unsigned long long)r->network->class_id.value);
        if (result == 0)
            result = write_line(g, "network.classID", "net_cls.classid", line, e);
    }
    for (size_t i = 0; r->network && result == 0 && i < r->network->priorities.count; i++) {
        const struct spec_network_priority *p = &r->network->priorities.items[i];

        result = group_for(cg, CONTROLLER_NET_PRIO, "network.priorities", &g, e);
        snprintf(line, sizeof(line), "%s %u", p->name, p->priority);
        if (result == 0)
            result = write_line(g, "network.priorities", "net_prio.ifpriomap", line, e);
    }
    return result;
}

static int apply_rdma(struct cgroup *cg, const struct spec_resources *r, struct wharf_error *e)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < r->rdma.count; i++) {
        const struct spec_rdma *d = &r->rdma.items[i];
        char line[LINE_MAX_LEN];
        struct group *g;
        size_t n;

        result = group_for(cg, CONTROLLER_RDMA, "rdma", &g, e);
        if (result < 0)
            break;
        n = (size_t)snprintf(line, sizeof(line), "%.128s", d->device);
        if (d->hca_handles.set)
            n += (size_t)snprintf(line + n, sizeof(line) - n, " hca_handle=%llu",
                                  (unsigned long long)d->hca_handles.value);
        if (d->hca_objects.set)
            snprintf(line + n, sizeof(line) - n, " hca_object=%llu",
                     (unsigned long long)d->hca_objects.value);
        result = write_line(g, "rdma", "rdma.max", line, e);
    }
    return result;
}

/* ---- unified ---- */

static bool file_name_valid(const char *name)
{
    if (!*name || *name == '.')
        return false;
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '.' && *c != '_' && *c != '-')
            return false;
    return true;
}

static int apply_unified_pair(struct group *g, const struct field_pair *pair, struct wharf_error *e)
{
    autofree char *word = strndup(pair->key, strcspn(pair->key, "."));
    autofree char *value = pair->value ? strdup(pair->value) : NULL;
    uint32_t bit;
    char *rest;
    int r = 0;

    if (!word || !value)
        return err_nomem(e);
    bit = controllers_parse(word) & g->controllers;
    if (!streq(word, "cgroup") && (bit == 0 || group_enable(g, bit) != 0))
        return err_unsupported(e,
                               "linux.resources.unified: '%s' needs the cgroup v2 controller "
                               "'%s', which '%s' does not have",
                               pair->key, word, g->path);
    rest = value;
    for (char *line; r == 0 && (line = strsep(&rest, "\n")) != NULL;)
        if (*line)
            r = write_line(g, "unified", pair->key, line, e);
    return r;
}

static int apply_unified(struct cgroup *cg, const struct spec_resources *r, struct wharf_error *e)
{
    struct group *g = cgroup_v2(cg);
    int result = 0;

    for (size_t i = 0; result == 0 && i < r->unified.count; i++) {
        if (!file_name_valid(r->unified.items[i].key))
            return err_invalid(e, "linux.resources.unified: '%s' is no file name of a cgroup",
                               r->unified.items[i].key);
        if (!g)
            return err_unsupported(e,
                                   "linux.resources.unified needs cgroup v2, which is not mounted");
        result = apply_unified_pair(g, &r->unified.items[i], e);
    }
    return result;
}

int limit_lists_check(const struct spec_resources *r, uint32_t available, struct wharf_error *e)
{
    const struct {
        const char *field;
        enum controller controller;
        bool given;
    } rows[] = {
        { "hugepageLimits", CONTROLLER_HUGETLB, r->hugepage_limits.count > 0 },
        { "blockIO", CONTROLLER_IO, block_io_given(r->block_io) },
        { "network.classID", CONTROLLER_NET_CLS, class_given(r) },
        { "network.priorities", CONTROLLER_NET_PRIO, r->network && r->network->priorities.count },
        { "rdma", CONTROLLER_RDMA, r->rdma.count > 0 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].given && !(available & CONTROLLER_BIT(rows[i].controller)))
            return limit_no_controller(rows[i].field, rows[i].controller, e);
    return 0;
}

int limit_lists_apply(struct cgroup *cg, const struct spec_resources *r, struct wharf_error *e)
{
    static int (*const each[])(struct cgroup *, const struct spec_resources *,
                               struct wharf_error *) = {
        apply_hugepages, apply_block_io, apply_network, apply_rdma, apply_unified,
    };
    int result = 0;

    for (size_t i = 0; result == 0 && i < ARRAY_SIZE(each); i++)
        result = each[i](cg, r, e);
    return result;
}
