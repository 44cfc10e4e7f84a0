/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes of the process that are neither identity nor privilege: resource limits, scheduling,
 * io priority, processor affinity, NUMA policy, personality (runtime-spec config.md "process",
 * config-linux.md "personality", "memoryPolicy").
 *
 * Texts become numbers in the parent, where a fault can still name its field; the child makes one
 * system call per attribute that is set, and none for the others.
 */
#include "libcontainer/credentials.h"
#include "base/str.h"

#include <sched.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/syscall.h>

enum {
    CPUS_MAX = 8192,  /* NR_CPUS of x86 MAXSMP */
    NODES_MAX = 1024, /* MAX_NUMNODES */
    WORD_BITS = 64,
    IOPRIO_WHO_PROCESS = 1,
    IOPRIO_CLASS_SHIFT = 13,
};

/* sched_setattr(2); glibc 2.36 has no declaration */
struct scheduler_attr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t util_min, util_max;
};

struct process_attributes {
    const struct spec_process *process;
    bool has_scheduler, has_io_priority, has_personality, has_memory_policy;
    bool has_initial, has_final;
    struct scheduler_attr scheduler;
    int io_priority;
    unsigned long personality;
    int memory_mode;
    uint64_t nodes[NODES_MAX / WORD_BITS];
    bool has_nodes;
    uint64_t initial[CPUS_MAX / WORD_BITS], final[CPUS_MAX / WORD_BITS];
};

/* One number of a list, up to `max`; moves *at behind it. */
static int list_number(const char **at, uint64_t max, uint64_t *ret)
{
    char digits[8];
    size_t n = strspn(*at, "0123456789");

    if (n == 0 || n >= sizeof(digits))
        return -EINVAL;
    memcpy(digits, *at, n);
    digits[n] = 0;
    *at += n;
    return parse_u64(digits, 0, max, ret);
}

/* Parses "0-3,7" (cpuset(7), list format) into a bit mask of `bits` bits. */
static int parse_list(const char *text, uint64_t *mask, unsigned bits)
{
    while (*text) {
        uint64_t from, to;
        int r = list_number(&text, bits - 1, &from);

        if (r < 0)
            return r;
        to = from;
        if (*text == '-') {
            text++;
            r = list_number(&text, bits - 1, &to);
            if (r < 0 || to < from)
                return -EINVAL;
        }
        for (uint64_t i = from; i <= to; i++)
            mask[i / WORD_BITS] |= UINT64_C(1) << i % WORD_BITS;
        if (*text == ',' && text[1])
            text++;
        else if (*text)
            return -EINVAL;
    }
    return 0;
}

static int prepare_affinity(const struct spec_cpu_affinity *spec, struct process_attributes *a,
                            struct wharf_error *e)
{
    if (spec->initial && *spec->initial) {
        if (parse_list(spec->initial, a->initial, CPUS_MAX) < 0)
            return err_invalid(e, "process.execCPUAffinity.initial: not a list of processors: '%s'",
                               spec->initial);
        a->has_initial = true;
    }
    if (spec->final && *spec->final) {
        if (parse_list(spec->final, a->final, CPUS_MAX) < 0)
            return err_invalid(e, "process.execCPUAffinity.final: not a list of processors: '%s'",
                               spec->final);
        a->has_final = true;
    }
    return 0;
}

static void prepare_scheduler(const struct spec_scheduler *s, struct process_attributes *a)
{
    a->has_scheduler = true;
    a->scheduler = (struct scheduler_attr){
        .size = sizeof(a->scheduler),
        .policy = (uint32_t)s->policy,
        .flags = s->flags,
        .nice = (int32_t)s->nice,
        .priority = (uint32_t)s->priority,
        .runtime = s->runtime,
        .deadline = s->deadline,
        .period = s->period,
    };
}

static int prepare_memory_policy(const struct spec_memory_policy *p, struct process_attributes *a,
                                 struct wharf_error *e)
{
    a->has_memory_policy = true;
    a->memory_mode = p->mode | (int)p->flags;
    a->has_nodes = p->nodes && *p->nodes;
    if (a->has_nodes && parse_list(p->nodes, a->nodes, NODES_MAX) < 0)
        return err_invalid(e, "linux.memoryPolicy.nodes: not a list of nodes: '%s'", p->nodes);
    return 0;
}

static int prepare_personality(const struct spec_personality *p, struct process_attributes *a,
                               struct wharf_error *e)
{
    if (p->flags.count > 0)
        return err_invalid(e, "linux.personality.flags[0]: unknown flag '%s'", p->flags.items[0]);
    a->has_personality = true;
    a->personality = (unsigned long)p->domain;
    return 0;
}

int attributes_prepare(const struct spec_process *process, const struct container_spec *spec,
                       bool first, struct arena *arena, struct process_attributes **ret,
                       struct wharf_error *e)
{
    struct process_attributes *a = arena_alloc(arena, sizeof(*a));
    const struct spec_linux *l = spec ? spec->linux_ : NULL;
    int r = 0;

    if (!a)
        return err_nomem(e);
    a->process = process;
    if (process->scheduler)
        prepare_scheduler(process->scheduler, a);
    if (process->io_priority) {
        a->has_io_priority = true;
        a->io_priority =
            process->io_priority->class << IOPRIO_CLASS_SHIFT | (int)process->io_priority->priority;
    }
    if (process->exec_cpu_affinity)
        r = prepare_affinity(process->exec_cpu_affinity, a, e);
    if (first) /* checked all the same: an exec will want it */
        a->has_initial = a->has_final = false;
    if (r == 0 && l && l->memory_policy)
        r = prepare_memory_policy(l->memory_policy, a, e);
    if (r == 0 && l && l->personality)
        r = prepare_personality(l->personality, a, e);
    if (r == 0)
        *ret = a;
    return r;
}

static int apply_rlimits(const struct spec_process *process, struct wharf_error *e)
{
    for (size_t i = 0; i < process->rlimits.count; i++) {
        const struct spec_rlimit *limit = &process->rlimits.items[i];
        struct rlimit value = { .rlim_cur = limit->soft, .rlim_max = limit->hard };

        if (setrlimit((__rlimit_resource_t)limit->type, &value) < 0)
            return err_sys(e, "process.rlimits[%zu]: cannot set the limit (soft %llu, hard %llu)",
                           i, (unsigned long long)limit->soft, (unsigned long long)limit->hard);
    }
    return 0;
}

static int set_affinity(pid_t pid, const uint64_t *mask, const char *field, struct wharf_error *e)
{
    if (syscall(SYS_sched_setaffinity, pid, CPUS_MAX / 8, mask) < 0)
        return err_sys(e, "process.execCPUAffinity.%s: cannot set", field);
    return 0;
}

/* Without a wish: every processor of the container's cpuset, not those that the runtime was bound
 * to. The kernel takes from the mask what there is. */
static int apply_final_affinity(const struct process_attributes *a, struct wharf_error *e)
{
    uint64_t all[CPUS_MAX / WORD_BITS];

    if (a->has_final)
        return set_affinity(0, a->final, "final", e);
    memset(all, 0xff, sizeof(all));
    set_affinity(0, all, "final", NULL);
    return 0;
}

int attributes_apply(const struct process_attributes *a, struct wharf_error *e)
{
    int r = apply_rlimits(a->process, e);

    /* before the scheduler: SCHED_DEADLINE wants all processors */
    if (r < 0 || (r = apply_final_affinity(a, e)) < 0)
        return r;
    if (a->has_scheduler && syscall(SYS_sched_setattr, 0, &a->scheduler, 0) < 0)
        return err_sys(e, "process.scheduler: cannot set policy %u", a->scheduler.policy);
    if (a->has_io_priority && syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, a->io_priority) < 0)
        return err_sys(e, "process.ioPriority: cannot set");
    if (a->has_memory_policy &&
        syscall(SYS_set_mempolicy, a->memory_mode, a->has_nodes ? a->nodes : NULL,
                a->has_nodes ? NODES_MAX + 1 : 0) < 0)
        return err_sys(e, "linux.memoryPolicy: cannot set");
    if (a->has_personality && personality(a->personality) < 0)
        return err_sys(e, "linux.personality: cannot set");
    return 0;
}

bool attributes_have_initial_affinity(const struct process_attributes *a)
{
    return a->has_initial;
}

int attributes_apply_initial_affinity(const struct process_attributes *a, pid_t pid,
                                      struct wharf_error *e)
{
    return a->has_initial ? set_affinity(pid, a->initial, "initial", e) : 0;
}
