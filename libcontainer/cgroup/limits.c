/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.resources to files. One row says for one field where it goes on either side of the fence
 * and how its number is written; the loop below does the rest. What is a list in the specification
 * (huge pages, block devices, interfaces) follows in limits-lists.c.
 *
 * Some limits bound one another (memory.limit <= memsw, quota >= burst, quota / period within the
 * parent's), and which may be written first depends on the old values. So a row that the kernel
 * refuses with EINVAL or EBUSY gets a second try when the other rows have been written.
 */
#include "libcontainer/cgroup/limits.h"

#include <stdio.h>
#include "base/str.h"
#include "libcontainer/cgroup/limits-lists.h"

enum { VALUE_MAX = 64 };

enum kind { KIND_I64, KIND_U64, KIND_BOOL, KIND_TEXT };

enum {
    ZERO_UNSET = 1u << 0,  /* 0 has always meant "not given" (docker writes it) */
    OBSOLETE_V2 = 1u << 1, /* runtime-spec: obsolete; accepted where the kernel has no such thing */
    FALSE_DEFAULT = 1u << 2, /* false is what v2 does anyway */
};

/* What a row's writer may look at beside its own value. */
struct request {
    struct group *group;
    struct spec_memory memory; /* with what follows from it filled in */
    struct spec_cpu cpu;
    struct spec_pids pids;
};

/* Formats a value: 0, 1: nothing to write, -errno. */
typedef int format_fn(const struct request *q, int64_t value, char *text);

static int as_number(const struct request *q, int64_t value, char *text)
{
    snprintf(text, VALUE_MAX, "%lld", (long long)value);
    return 0;
}

static int as_unsigned(const struct request *q, int64_t value, char *text)
{
    snprintf(text, VALUE_MAX, "%llu", (unsigned long long)value);
    return 0;
}

static int max_if_negative(const struct request *q, int64_t value, char *text)
{
    if (value >= 0)
        return as_number(q, value, text);
    snprintf(text, VALUE_MAX, "max");
    return 0;
}

/* v1 takes -1 for no limit, and nothing below. */
static int minus_one_if_negative(const struct request *q, int64_t value, char *text)
{
    return as_number(q, MAX(value, -1), text);
}

/* 0 is a real limit since runtime-spec 1.3, but systemd cannot take it, and a container that may
 * have no process cannot start: 1, as runc does. */
static int pids_limit(const struct request *q, int64_t value, char *text)
{
    return max_if_negative(q, value == 0 ? 1 : value, text);
}

static int weight_of_shares(const struct request *q, int64_t value, char *text)
{
    return as_unsigned(q, (int64_t)cpu_weight((uint64_t)value), text);
}

static int swap_of_both(const struct request *q, int64_t value, char *text)
{
    int64_t swap;
    int r = swap_alone(&q->memory.limit, value, &swap);

    return r < 0 ? r : max_if_negative(q, swap, text);
}

/* cpu.max is "QUOTA PERIOD"; one number alone leaves the period as it is. */
static int quota_and_period(const struct request *q, int64_t quota, char *text)
{
    char number[24] = "max";

    if (quota > 0)
        snprintf(number, sizeof(number), "%lld", (long long)quota);
    if (q->cpu.period.set && q->cpu.period.value > 0)
        snprintf(text, VALUE_MAX, "%s %llu", number, (unsigned long long)q->cpu.period.value);
    else
        snprintf(text, VALUE_MAX, "%s", number);
    return 0;
}

/* The period alone: the quota that is there stays. With a quota, its row writes both. */
static int period_alone(const struct request *q, int64_t period, char *text)
{
    char now[VALUE_MAX];
    ssize_t n;

    if (q->cpu.quota.set && q->cpu.quota.value != 0)
        return 1;
    n = group_read(q->group, "cpu.max", now, sizeof(now));
    if (n < 0)
        return (int)n;
    snprintf(text, VALUE_MAX, "%.*s %lld", (int)strcspn(now, " \n"), now, (long long)period);
    return 0;
}

struct limit {
    const char *name; /* the field, for messages: below linux.resources */
    enum controller controller;
    const char *v1, *v2; /* files; NULL: this side has no such limit */
    size_t offset;       /* in struct request */
    enum kind kind;
    format_fn *format_v1, *format_v2;
    unsigned flags;
};

#define MEMORY(field) "memory." field, CONTROLLER_MEMORY
#define CPU(field)    "cpu." field, CONTROLLER_CPU
#define AT(member)    offsetof(struct request, member)

/* clang-format off */
static const struct limit limits[] = {
    { MEMORY("limit"), "memory.limit_in_bytes", "memory.max", AT(memory.limit), KIND_I64,
      minus_one_if_negative, max_if_negative, ZERO_UNSET },
    { MEMORY("swap"), "memory.memsw.limit_in_bytes", "memory.swap.max", AT(memory.swap), KIND_I64,
      minus_one_if_negative, swap_of_both, ZERO_UNSET },
    { MEMORY("reservation"), "memory.soft_limit_in_bytes", "memory.low", AT(memory.reservation), KIND_I64,
      minus_one_if_negative, max_if_negative, ZERO_UNSET },
    { MEMORY("kernelTCP"), "memory.kmem.tcp.limit_in_bytes", NULL, AT(memory.kernel_tcp), KIND_I64,
      minus_one_if_negative, NULL, ZERO_UNSET | OBSOLETE_V2 },
    { MEMORY("swappiness"), "memory.swappiness", NULL, AT(memory.swappiness), KIND_U64,
      as_unsigned, NULL, 0 },
    { MEMORY("disableOOMKiller"), "memory.oom_control", NULL, AT(memory.disable_oom_killer), KIND_BOOL,
      as_number, NULL, FALSE_DEFAULT },
    /* true is the only behaviour of both sides since Linux 5.11 */
    { MEMORY("useHierarchy"), "memory.use_hierarchy", NULL, AT(memory.use_hierarchy), KIND_BOOL,
      as_number, NULL, OBSOLETE_V2 },

    { CPU("shares"), "cpu.shares", "cpu.weight", AT(cpu.shares), KIND_U64,
      as_unsigned, weight_of_shares, ZERO_UNSET },
    { CPU("period"), "cpu.cfs_period_us", "cpu.max", AT(cpu.period), KIND_U64,
      as_unsigned, period_alone, ZERO_UNSET },
    { CPU("quota"), "cpu.cfs_quota_us", "cpu.max", AT(cpu.quota), KIND_I64,
      minus_one_if_negative, quota_and_period, ZERO_UNSET },
    { CPU("burst"), "cpu.cfs_burst_us", "cpu.max.burst", AT(cpu.burst), KIND_U64,
      as_unsigned, as_unsigned, 0 },
    { CPU("realtimePeriod"), "cpu.rt_period_us", NULL, AT(cpu.realtime_period), KIND_U64,
      as_unsigned, NULL, ZERO_UNSET },
    { CPU("realtimeRuntime"), "cpu.rt_runtime_us", NULL, AT(cpu.realtime_runtime), KIND_I64,
      as_number, NULL, ZERO_UNSET },
    { CPU("idle"), "cpu.idle", "cpu.idle", AT(cpu.idle), KIND_I64,
      as_number, as_number, 0 },
    { "cpu.cpus", CONTROLLER_CPUSET, "cpuset.cpus", "cpuset.cpus", AT(cpu.cpus), KIND_TEXT,
      NULL, NULL, 0 },
    { "cpu.mems", CONTROLLER_CPUSET, "cpuset.mems", "cpuset.mems", AT(cpu.mems), KIND_TEXT,
      NULL, NULL, 0 },

    { "pids.limit", CONTROLLER_PIDS, "pids.max", "pids.max", AT(pids.limit), KIND_I64,
      pids_limit, pids_limit, 0 },
};
/* clang-format on */

/* The row's number; false: not given. Text is told by is_given alone. */
static bool number_of(const struct limit *l, const struct request *q, int64_t *ret)
{
    const void *at = (const char *)q + l->offset;
    const struct opt_i64 *number = at; /* opt_u64 has the same layout */
    const struct opt_bool *truth = at;

    *ret = l->kind == KIND_BOOL ? truth->value : number->value;
    return l->kind == KIND_BOOL ? truth->set : number->set;
}

static const char *text_of(const struct limit *l, const struct request *q)
{
    const char *text = *(char *const *)((const char *)q + l->offset);

    return text && *text ? text : NULL;
}

static bool is_given(const struct limit *l, const struct request *q)
{
    int64_t value;

    if (l->kind == KIND_TEXT)
        return text_of(l, q) != NULL;
    return number_of(l, q, &value) && !((l->flags & ZERO_UNSET) && value == 0);
}

static struct request request_of(const struct spec_resources *r)
{
    struct request q = { 0 };

    if (r && r->memory)
        q.memory = *r->memory;
    if (r && r->cpu)
        q.cpu = *r->cpu;
    if (r && r->pids)
        q.pids = *r->pids;
    /* no limit on memory with one on memory and swap together would be no sense, and v1 refuses it
     */
    if (q.memory.limit.set && q.memory.limit.value < 0 && !q.memory.swap.set)
        q.memory.swap = (struct opt_i64){ true, -1 };
    return q;
}

int limits_check(const struct spec_resources *resources, uint32_t available, struct wharf_error *e)
{
    struct request q = request_of(resources);

    for (size_t i = 0; resources && i < ARRAY_SIZE(limits); i++)
        if (is_given(&limits[i], &q) && !(available & CONTROLLER_BIT(limits[i].controller)))
            return limit_no_controller(limits[i].name, limits[i].controller, e);
    return resources ? limit_lists_check(resources, available, e) : 0;
}

/* This side of the fence has no such limit. */
static int no_equivalent(const struct limit *l, const struct request *q, struct wharf_error *e)
{
    int64_t value;

    number_of(l, q, &value);
    if ((l->flags & OBSOLETE_V2) || ((l->flags & FALSE_DEFAULT) && !value))
        return 0;
    return err_unsupported(e, "linux.resources.%s has no equivalent in cgroup v2", l->name);
}

static int format(const struct limit *l, const struct request *q, char *text, struct wharf_error *e)
{
    int64_t value;
    int r;

    number_of(l, q, &value);
    r = (q->group->v2 ? l->format_v2 : l->format_v1)(q, value, text);
    if (r == -EINVAL)
        return err_invalid(e,
                           "linux.resources.%s: %lld does not go with the other limits "
                           "(swap is memory and swap together)",
                           l->name, (long long)value);
    return r < 0 ? group_error(q->group, r, "read", l->v2, e) : r;
}

/* A kernel without swap accounting has no file for swap: fine where nothing is limited by it. */
static bool harmless(const struct limit *l, const struct request *q, const char *text)
{
    return l->offset == AT(memory.swap) &&
           (streq(text, "max") || streq(text, "0") || streq(text, "-1") ||
            (q->memory.limit.set && q->memory.limit.value == q->memory.swap.value));
}

/* 0, or -errno with err set. */
static int write_limit(const struct limit *l, const struct request *q, struct wharf_error *e)
{
    const char *file = q->group->v2 ? l->v2 : l->v1, *text;
    char number[VALUE_MAX];
    int r;

    if (!file)
        return no_equivalent(l, q, e);
    text = l->kind == KIND_TEXT ? text_of(l, q) : number;
    if (l->kind != KIND_TEXT) {
        r = format(l, q, number, e);
        if (r != 0)
            return MIN(r, 0);
    }
    r = group_write(q->group, file, text);
    if (r == 0 || (r == -ENOENT && harmless(l, q, text)))
        return 0;
    group_error(q->group, r, "write", file, e);
    return err_wrap(e, r, "linux.resources.%s: '%s'", l->name, text);
}

/* The group to write to, its controller enabled (an update may be the first to need it). */
static int find_group(struct cgroup *cg, const struct limit *l, struct group **ret,
                      struct wharf_error *e)
{
    struct group *g = cgroup_owner(cg, l->controller);

    if (!g)
        return limit_no_controller(l->name, l->controller, e);
    if (g->v2 && group_enable(g, CONTROLLER_BIT(l->controller)) != 0)
        return limit_not_enabled(g, l->name, l->controller, e);
    *ret = g;
    return 0;
}

/* checkBeforeUpdate: a limit below what is used now would kill. v1 refuses by itself. */
static int check_usage(struct cgroup *cg, const struct request *q, struct wharf_error *e)
{
    struct group *g = cgroup_owner(cg, CONTROLLER_MEMORY);
    uint64_t used;

    if (!q->memory.check_before_update.value || !g || !g->v2 || q->memory.limit.value <= 0)
        return 0;
    if (group_read_u64(g, "memory.current", &used) == 0 && used > (uint64_t)q->memory.limit.value)
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT,
                       "linux.resources.memory.limit: %lld is below the %llu bytes in use",
                       (long long)q->memory.limit.value, (unsigned long long)used);
    return 0;
}

int limits_apply(struct cgroup *cg, const struct spec_resources *resources, struct wharf_error *e)
{
    bool pending[ARRAY_SIZE(limits)] = { false };
    struct request q = request_of(resources);
    int r = check_usage(cg, &q, e);

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(limits); i++)
        pending[i] = is_given(&limits[i], &q);
    for (int pass = 0; r == 0 && pass < 2; pass++) {
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(limits); i++) {
            if (!pending[i])
                continue;
            r = find_group(cg, &limits[i], &q.group, e);
            if (r == 0)
                r = write_limit(&limits[i], &q, e);
            if (pass == 0 && (r == -EINVAL || r == -EBUSY))
                r = 0;
            else
                pending[i] = false;
        }
    }
    return r < 0 ? r : limit_lists_apply(cg, resources, e);
}
