/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device rules on v2: a BPF_PROG_TYPE_CGROUP_DEVICE program on the group's directory, assembled
 * here; it needs no compiler and no library.
 *
 * The program gets the kind of device, the wanted access (several bits at once for open O_RDWR) and
 * the numbers. Rules are tried from the last to the first. The bits that an allowing rule covers
 * are struck from the wanted ones, and when none is left access is given; a denying rule that
 * matches any bit left refuses; at the end what is left is refused. So each bit is decided by the
 * last rule that names it.
 *
 * Replacing on update: the new program is attached beside the old (BPF_F_ALLOW_MULTI: all must say
 * yes) or in its place, and only programs of our name are taken off; systemd's stay.
 */
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include "base/str.h"
#include "libcontainer/cgroup/devices.h"

#define PROGRAM_NAME "wharf_devices"
#define LICENSE      "Apache-2.0"

enum {
    INSNS_PER_RULE = 8,
    INSNS_AROUND = 8,  /* the loads before and the answer behind */
    PROGRAMS_MAX = 64, /* BPF_CGROUP_MAX_PROGS */
    LOG_SIZE = 8192,
};

/* Register use, from r0 on: the context arrives in r1, the answer is given in r0. */
enum { ANSWER, CONTEXT, TYPE, WANTED, MAJOR, MINOR, SCRATCH };

#define LOAD(reg, field)                                                                           \
    ((struct bpf_insn){ .code = BPF_LDX | BPF_MEM | BPF_W,                                         \
                        .dst_reg = (reg),                                                          \
                        .src_reg = CONTEXT,                                                        \
                        .off = offsetof(struct bpf_cgroup_dev_ctx, field) })
#define ALU(op, reg, number)                                                                       \
    ((struct bpf_insn){ .code = BPF_ALU | (op) | BPF_K, .dst_reg = (reg), .imm = (int)(number) })
#define COPY(to, from)                                                                             \
    ((struct bpf_insn){ .code = BPF_ALU | BPF_MOV | BPF_X, .dst_reg = (to), .src_reg = (from) })
/* 32-bit compares (BPF_JMP32, Linux 5.1): device numbers are unsigned. */
#define JUMP(op, reg, number, skip)                                                                \
    ((struct bpf_insn){                                                                            \
        .code = BPF_JMP32 | (op) | BPF_K, .dst_reg = (reg), .off = (skip), .imm = (int)(number) })
#define EXIT ((struct bpf_insn){ .code = BPF_JMP | BPF_EXIT })

static bool matches_all(const struct device_rule *rule)
{
    return rule->type == 'a' && rule->major < 0 && rule->minor < 0 && rule->access == DEVICE_ALL;
}

/* The rule at `to`: comparisons that skip over its end, then what it does. */
static struct bpf_insn *emit_rule(struct bpf_insn *to, const struct device_rule *rule)
{
    struct bpf_insn *start = to;

    if (rule->type != 'a')
        *to++ =
            JUMP(BPF_JNE, TYPE, rule->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR, 0);
    if (rule->major >= 0)
        *to++ = JUMP(BPF_JNE, MAJOR, rule->major, 0);
    if (rule->minor >= 0)
        *to++ = JUMP(BPF_JNE, MINOR, rule->minor, 0);
    if (rule->allow) {
        *to++ = ALU(BPF_AND, WANTED, ~rule->access);
        *to++ = JUMP(BPF_JNE, WANTED, 0, 0);
        *to++ = ALU(BPF_MOV, ANSWER, 1);
    } else {
        *to++ = COPY(SCRATCH, WANTED);
        *to++ = ALU(BPF_AND, SCRATCH, rule->access);
        *to++ = JUMP(BPF_JEQ, SCRATCH, 0, 0);
        *to++ = ALU(BPF_MOV, ANSWER, 0);
    }
    *to++ = EXIT;
    for (struct bpf_insn *at = start; at < to; at++)
        if (BPF_CLASS(at->code) == BPF_JMP32)
            at->off = (short)(to - at - 1);
    return to;
}

struct bpf_insn *device_program(const struct device_rules *rules, size_t *ret_count)
{
    struct bpf_insn *code = calloc(INSNS_AROUND + rules->count * INSNS_PER_RULE, sizeof(*code));
    struct bpf_insn *to = code;
    bool rest_allowed = false;

    if (!code)
        return NULL;
    *to++ = LOAD(TYPE, access_type);
    *to++ = COPY(WANTED, TYPE);
    *to++ = ALU(BPF_RSH, WANTED, 16);
    *to++ = ALU(BPF_AND, TYPE, 0xffff);
    *to++ = LOAD(MAJOR, major);
    *to++ = LOAD(MINOR, minor);
    for (size_t i = rules->count; i-- > 0;) {
        if (matches_all(&rules->items[i])) { /* nothing before it counts */
            rest_allowed = rules->items[i].allow;
            break;
        }
        to = emit_rule(to, &rules->items[i]);
    }
    *to++ = ALU(BPF_MOV, ANSWER, rest_allowed);
    *to++ = EXIT;
    *ret_count = (size_t)(to - code);
    return code;
}

static int bpf(int command, const union bpf_request *request)
{
    int r = (int)syscall(SYS_bpf, command, request, sizeof(*request));

    return r < 0 ? -errno : r;
}

static int load(const struct bpf_insn *code, size_t count, char *log, size_t log_size)
{
    union bpf_request request = { .load = {
                                      .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
                                      .insns = (uintptr_t)code,
                                      .insn_cnt = (uint32_t)count,
                                      .license = (uintptr_t)LICENSE,
                                      .log_buf = (uintptr_t)log,
                                      .log_size = (uint32_t)log_size,
                                      .log_level = log ? 1 : 0,
                                      .prog_name = PROGRAM_NAME,
                                  } };

    return bpf(BPF_PROG_LOAD, &request);
}

static bool is_ours(int program)
{
    struct bpf_program_info info = { 0 };
    union bpf_request about = { .info = { (uint32_t)program, sizeof(info), (uintptr_t)&info } };

    return bpf(BPF_OBJ_GET_INFO_BY_FD, &about) >= 0 && streq(info.name, PROGRAM_NAME);
}

/* Our own programs among those attached here: descriptors in fds, their count returned. */
static int find_ours(int dir, int fds[static PROGRAMS_MAX])
{
    uint32_t ids[PROGRAMS_MAX] = { 0 };
    union bpf_request query = { .query = { .target_fd = (uint32_t)dir,
                                           .attach_type = BPF_CGROUP_DEVICE,
                                           .prog_ids = (uintptr_t)ids,
                                           .prog_cnt = PROGRAMS_MAX } };
    int r = bpf(BPF_PROG_QUERY, &query), count = 0;

    if (r < 0)
        return r;
    for (uint32_t i = 0; i < query.query.prog_cnt; i++) {
        union bpf_request get = { .get.id = ids[i] };
        int fd = bpf(BPF_PROG_GET_FD_BY_ID, &get);

        if (fd >= 0 && is_ours(fd)) /* it may be gone meanwhile */
            fds[count++] = fd;
        else
            fd_close(fd);
    }
    return count;
}

/* old < 0: beside what is there. */
static int attach(int dir, int program, int old)
{
    union bpf_request request = { .attach = {
                                      .target_fd = (uint32_t)dir,
                                      .attach_bpf_fd = (uint32_t)program,
                                      .attach_type = BPF_CGROUP_DEVICE,
                                      .attach_flags =
                                          BPF_F_ALLOW_MULTI | (old >= 0 ? BPF_F_REPLACE : 0),
                                      .replace_bpf_fd = old >= 0 ? (uint32_t)old : 0,
                                  } };

    return bpf(BPF_PROG_ATTACH, &request);
}

static void detach(int dir, int program)
{
    union bpf_request request = { .attach = {
                                      .target_fd = (uint32_t)dir,
                                      .attach_bpf_fd = (uint32_t)program,
                                      .attach_type = BPF_CGROUP_DEVICE,
                                  } };

    bpf(BPF_PROG_DETACH, &request);
}

/* The new one takes the place of our first in one step (there is no moment without a filter), more
 * of ours are taken off. */
static int replace(int dir, int program)
{
    int old[PROGRAMS_MAX], count = find_ours(dir, old), r;

    if (count < 0)
        return count;
    r = attach(dir, program, count > 0 ? old[0] : -1);
    for (int i = 0; i < count; i++) {
        if (r == 0 && i > 0)
            detach(dir, old[i]);
        fd_close(old[i]);
    }
    return r;
}

static int load_error(int r, const struct bpf_insn *code, size_t count, struct wharf_error *e)
{
    char log[LOG_SIZE] = "";

    if (r == -EPERM)
        return err_code(e, r,
                        "cannot load the device filter: CAP_BPF and CAP_NET_ADMIN, or "
                        "CAP_SYS_ADMIN, are needed, and before Linux 5.11 RLIMIT_MEMLOCK");
    if (r == -EINVAL || r == -EACCES)
        fd_close(load(code, count, log, sizeof(log)));
    return err_code(e, r, "cannot load the device filter (%zu instructions) %.200s", count, log);
}

int devices_ebpf_apply(struct group *g, const struct device_rules *rules, bool fresh,
                       struct wharf_error *e)
{
    autofree struct bpf_insn *code = NULL;
    autoclose int program = -1;
    int dir = group_dir(g), r;
    size_t count;

    if (dir < 0)
        return group_error(g, dir, "open", ".", e);
    code = device_program(rules, &count);
    if (!code)
        return err_nomem(e);
    program = load(code, count, NULL, 0);
    if (program < 0)
        return load_error(program, code, count, e);
    r = fresh ? attach(dir, program, -1) : replace(dir, program);
    return r < 0 ? err_code(e, r, "cannot attach the device filter to '%s'", g->path) : 0;
}
