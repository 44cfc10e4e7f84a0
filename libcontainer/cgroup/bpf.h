/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of bpf(2)'s ABI that a device filter needs. <linux/bpf.h> cannot be included here: it
 * spells out the kernel's helpers by name, strtol among them, which base/banned.h forbids. Classes
 * and operations come from <linux/bpf_common.h>.
 */
#ifndef LIBCONTAINER_CGROUP_BPF_H
#define LIBCONTAINER_CGROUP_BPF_H

#include <linux/bpf_common.h>
#include <stdint.h>

struct bpf_insn {
    uint8_t code;
    uint8_t dst_reg : 4, src_reg : 4;
    int16_t off;
    int32_t imm;
};

/* Beside those of classic BPF. */
enum { BPF_JMP32 = 0x06, BPF_MOV = 0xb0, BPF_JNE = 0x50, BPF_EXIT = 0x90 };

/* Commands of bpf(2). */
enum {
    BPF_PROG_LOAD = 5,
    BPF_PROG_ATTACH = 8,
    BPF_PROG_DETACH = 9,
    BPF_PROG_GET_FD_BY_ID = 13,
    BPF_OBJ_GET_INFO_BY_FD = 15,
    BPF_PROG_QUERY = 16,
};

enum { BPF_PROG_TYPE_CGROUP_DEVICE = 15, BPF_CGROUP_DEVICE = 6 };
enum { BPF_F_ALLOW_MULTI = 1 << 1, BPF_F_REPLACE = 1 << 2 };

/* What the program is given. */
enum { BPF_DEVCG_ACC_MKNOD = 1, BPF_DEVCG_ACC_READ = 2, BPF_DEVCG_ACC_WRITE = 4 };
enum { BPF_DEVCG_DEV_BLOCK = 1, BPF_DEVCG_DEV_CHAR = 2 };
struct bpf_cgroup_dev_ctx {
    uint32_t access_type; /* access << 16 | type */
    uint32_t major, minor;
};

union bpf_request {
    struct {
        uint32_t prog_type, insn_cnt;
        uint64_t insns, license;
        uint32_t log_level, log_size;
        uint64_t log_buf;
        uint32_t kern_version, prog_flags;
        char prog_name[16];
    } load;
    struct {
        uint32_t target_fd, attach_bpf_fd, attach_type, attach_flags, replace_bpf_fd;
    } attach;
    struct {
        uint32_t target_fd, attach_type, query_flags, attach_flags;
        uint64_t prog_ids;
        uint32_t prog_cnt;
    } query;
    struct {
        uint32_t id;
    } get;
    struct {
        uint32_t bpf_fd, info_len;
        uint64_t info;
    } info;
};

/* The beginning of struct bpf_prog_info; the kernel fills as much as is asked for. */
struct bpf_program_info {
    uint32_t type, id;
    uint8_t tag[8];
    uint32_t jited_len, xlated_len;
    uint64_t jited, xlated, load_time;
    uint32_t uid, map_count;
    uint64_t maps;
    char name[16];
};

#endif
