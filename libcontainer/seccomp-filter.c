/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seccomp: config-linux.md "seccomp" compiled by libseccomp, loaded by one raw call in the child.
 *
 * Two things are added to what libseccomp makes:
 * - The stub for young system calls, as runc has it: a call whose number lies above every call that
 * the profile names did not exist for its author; it answers ENOSYS, so that libc falls back,
 * rather than the profile's EPERM, which looks like a refusal.
 * - A cache of compiled programs, because docker's default profile takes longer to compile than the
 * whole rest of a start. A slot holds the complete rules beside the program and is used only if
 * they are equal byte for byte: a hash alone decides nothing.
 */
#include "libcontainer/seccomp-filter.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

enum {
    RULES_TEXT_MAX = 4 << 20,   /* of the cache key: a spec is 16 MiB at most, its rules far less */
    PROGRAM_MAX = BPF_MAXINSNS, /* 4096 instructions, the kernel's limit */
    CACHE_SLOTS = 64, /* files; a slot is overwritten by the next profile that falls on it */
    ARCHITECTURES_MAX = 24,
    X32_BIT = 0x40000000,
};

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

/* ---- the rules, into libseccomp ---- */

struct compiler {
    const struct spec_seccomp *spec;
    scmp_filter_ctx ctx;
    void (*skipped)(void *user, const char *name);
    void *user;
    struct wharf_error *e;
};

/* The action with its data: ERRNO and TRACE carry an errno, EPERM unless the profile says. */
static uint32_t full_action(uint32_t action, struct opt_u64 errno_ret)
{
    uint32_t data = errno_ret.set ? (uint32_t)errno_ret.value & SECCOMP_RET_DATA : EPERM;

    return action == SECCOMP_RET_ERRNO || action == SECCOMP_RET_TRACE ? action | data : action;
}

static int fault(struct compiler *c, int code, const char *what)
{
    return err_code(c->e, code, "linux.seccomp: %s", what);
}

static int add_architectures(struct compiler *c)
{
    for (size_t i = 0; i < c->spec->architectures.count; i++) {
        uint32_t arch = (uint32_t)c->spec->architectures.items[i];
        int r = seccomp_arch_add(c->ctx, arch);

        if (r < 0 && r != -EEXIST)
            return err_code(c->e, r, "linux.seccomp.architectures[%zu]: cannot add", i);
    }
    return 0;
}

/* libseccomp takes one comparison per argument; several on one argument become a rule each, any of
 * which matches: what runc does and docker's old profiles rely on. */
static bool repeats_argument(const struct spec_seccomp_rule *rule)
{
    unsigned seen = 0;

    for (size_t i = 0; i < rule->args.count; i++) {
        unsigned bit = 1u << rule->args.items[i].index;

        if (seen & bit)
            return true;
        seen |= bit;
    }
    return false;
}

static int add_call(struct compiler *c, const struct spec_seccomp_rule *rule, uint32_t action,
                    int nr)
{
    struct scmp_arg_cmp compare[6];
    unsigned n = 0;

    for (size_t i = 0; i < rule->args.count && n < ARRAY_SIZE(compare); i++) {
        const struct spec_seccomp_arg *arg = &rule->args.items[i];

        compare[n++] = (struct scmp_arg_cmp){
            .arg = (unsigned)arg->index,
            .op = (enum scmp_compare)arg->op,
            .datum_a = arg->value,
            .datum_b = arg->value_two,
        };
    }
    if (!repeats_argument(rule))
        return seccomp_rule_add_array(c->ctx, action, nr, n, compare);
    for (unsigned i = 0; i < n; i++) {
        int r = seccomp_rule_add_array(c->ctx, action, nr, 1, &compare[i]);

        if (r < 0)
            return r;
    }
    return 0;
}

static int add_rule(struct compiler *c, size_t index)
{
    const struct spec_seccomp_rule *rule = &c->spec->syscalls.items[index];
    uint32_t action = full_action((uint32_t)rule->action, rule->errno_ret);

    if (action == full_action((uint32_t)c->spec->default_action, c->spec->default_errno))
        return 0; /* libseccomp refuses rules that change nothing */
    for (size_t i = 0; i < rule->names.count; i++) {
        const char *name = rule->names.items[i];
        int nr = seccomp_syscall_resolve_name(name), r;

        if (nr == __NR_SCMP_ERROR) {
            if (c->skipped)
                c->skipped(c->user, name);
            continue;
        }
        if (rule->action == SECCOMP_RET_USER_NOTIF &&
            (streq(name, "write") || streq(name, "sendmsg")))
            return err_invalid(c->e,
                               "linux.seccomp.syscalls[%zu]: SCMP_ACT_NOTIFY may not be used on "
                               "'%s': the listener itself is handed over with it",
                               index, name);
        r = add_call(c, rule, action, nr);
        if (r < 0 && r != -EEXIST)
            return err_code(c->e, r, "linux.seccomp.syscalls[%zu]: cannot add a rule for '%s'",
                            index, name);
    }
    return 0;
}

static int add_rules(struct compiler *c)
{
    int r;

    /* the kernel's no_new_privs is process.noNewPrivileges's business, not the filter's */
    r = seccomp_attr_set(c->ctx, SCMP_FLTATR_CTL_NNP, 0);
    if (r < 0)
        return fault(c, r, "cannot set up the filter");
    /* a binary search over system call numbers instead of a linear one: fewer steps per call */
    seccomp_attr_set(c->ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    r = add_architectures(c);
    for (size_t i = 0; r == 0 && i < c->spec->syscalls.count; i++)
        r = add_rule(c, i);
    return r;
}

/* ---- the stub for system calls younger than the profile ---- */

struct youngest {
    uint32_t arch;   /* AUDIT_ARCH_* */
    uint32_t number; /* the highest that the profile names */
};

static bool permissive(const struct spec_seccomp *spec)
{
    switch (spec->default_action) {
    case SECCOMP_RET_ALLOW:
    case SECCOMP_RET_LOG:
    case SECCOMP_RET_TRACE:
    case SECCOMP_RET_USER_NOTIF:
        return true;
    case SECCOMP_RET_ERRNO:
        return spec->default_errno.set && spec->default_errno.value == ENOSYS;
    default:
        return false;
    }
}

static uint32_t youngest_call(const struct spec_seccomp *spec, uint32_t arch)
{
    uint32_t most = 0;

    for (size_t i = 0; i < spec->syscalls.count; i++) {
        const field_strings *names = &spec->syscalls.items[i].names;

        for (size_t n = 0; n < names->count; n++) {
            int nr = seccomp_syscall_resolve_name_arch(arch, names->items[n]);

            if (nr >= 0 && ((uint32_t)nr & ~(uint32_t)X32_BIT) > most)
                most = (uint32_t)nr & ~(uint32_t)X32_BIT;
        }
    }
    return most;
}

/* x86-64 and x32 have one audit architecture: the stub skips x32 numbers, which have bit 30 set. */
static unsigned list_youngest(const struct spec_seccomp *spec, struct youngest *list)
{
    uint32_t native = seccomp_arch_native();
    unsigned n = 0;

    for (size_t i = 0; i <= spec->architectures.count && n < ARCHITECTURES_MAX; i++) {
        uint32_t arch = i == 0 ? native : (uint32_t)spec->architectures.items[i - 1];

        if ((i > 0 && arch == native) || arch == SCMP_ARCH_X32)
            continue;
        list[n] = (struct youngest){ arch, youngest_call(spec, arch) };
        n += list[n].number > 0;
    }
    return n;
}

#define STATEMENT(code, k) ((struct sock_filter)BPF_STMT(code, k))

/*      ld arch;  for each: jeq arch, +0, +3; ld nr; jgt youngest: jge x32 bit?; ret ENOSYS; ... */
static unsigned write_stub(const struct youngest *list, unsigned n, struct sock_filter *out)
{
    struct sock_filter *p = out;

    *p++ = STATEMENT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    for (unsigned i = 0; i < n; i++) {
        unsigned char left = (unsigned char)((n - 1 - i) * 5);

        /* not this architecture: on to the next test; all ends fall through to the filter proper */
        *p++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, list[i].arch, 0, 4);
        *p++ = STATEMENT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
        *p++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT,
                                            (unsigned char)(left + 2), 0);
        *p++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, list[i].number, 0,
                                            (unsigned char)(left + 1));
        *p++ = STATEMENT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
    }
    return (unsigned)(p - out);
}

/* ---- out of libseccomp, into memory ---- */

static int export_code(struct compiler *c, struct sock_filter *code, unsigned room, unsigned *ret)
{
    autoclose int fd = memfd_create("seccomp", MFD_CLOEXEC);
    off_t size;
    int r;

    if (fd < 0)
        return err_sys(c->e, "linux.seccomp: cannot make a memory file");
    r = seccomp_export_bpf(c->ctx, fd);
    if (r < 0)
        return fault(c, r, "cannot compile the filter");
    size = lseek(fd, 0, SEEK_END);
    if (size < 0 || (size_t)size > room * sizeof(*code))
        return err_set(c->e, -E2BIG, WHARF_ERROR_LIMIT,
                       "linux.seccomp: the compiled filter is longer than %u instructions", room);
    if (pread(fd, code, (size_t)size, 0) != size)
        return err_sys(c->e, "linux.seccomp: cannot read the compiled filter");
    *ret = (unsigned)((size_t)size / sizeof(*code));
    return 0;
}

static int compile(struct compiler *c, struct sock_filter *code, unsigned *ret_count)
{
    const struct spec_seccomp *spec = c->spec;
    struct youngest list[ARCHITECTURES_MAX];
    unsigned stub = 0, count = 0;
    int r;

    c->ctx = seccomp_init(full_action((uint32_t)spec->default_action, spec->default_errno));
    if (!c->ctx)
        return err_invalid(c->e, "linux.seccomp.defaultAction: this libseccomp or kernel cannot");
    r = add_rules(c);
    if (r == 0 && !permissive(spec)) {
        unsigned n = list_youngest(spec, list);

        stub = n > 0 ? write_stub(list, n, code) : 0;
    }
    if (r == 0)
        r = export_code(c, code + stub, PROGRAM_MAX - stub, &count);
    seccomp_release(c->ctx);
    if (r == 0)
        *ret_count = stub + count;
    return r;
}

/* ---- the cache ---- */

/* The rules as one byte string: equal strings compile to equal programs with this libseccomp. */
static void write_key(const struct spec_seccomp *spec, struct buf *key)
{
    const struct scmp_version *version = seccomp_version();

    buf_printf(key, "wharf-seccomp 1 %u.%u.%u api %u native %x default %x/%llu/%d\n",
               version->major, version->minor, version->micro, seccomp_api_get(),
               seccomp_arch_native(), (unsigned)spec->default_action,
               (unsigned long long)spec->default_errno.value, spec->default_errno.set);
    for (size_t i = 0; i < spec->architectures.count; i++)
        buf_printf(key, "arch %x\n", (unsigned)spec->architectures.items[i]);
    for (size_t i = 0; i < spec->syscalls.count; i++) {
        const struct spec_seccomp_rule *rule = &spec->syscalls.items[i];

        buf_printf(key, "rule %x/%llu/%d", (unsigned)rule->action,
                   (unsigned long long)rule->errno_ret.value, rule->errno_ret.set);
        for (size_t a = 0; a < rule->args.count; a++)
            buf_printf(key, " %llu:%d:%llu:%llu", (unsigned long long)rule->args.items[a].index,
                       rule->args.items[a].op, (unsigned long long)rule->args.items[a].value,
                       (unsigned long long)rule->args.items[a].value_two);
        for (size_t n = 0; n < rule->names.count; n++) {
            buf_char(key, ' ');
            /* names are words; one with a line end in it must not look like two rules */
            buf_json(key, rule->names.items[n], strlen(rule->names.items[n]));
        }
        buf_char(key, '\n');
    }
}

int seccomp_open_cache(int state_root)
{
    static const char name[] = ".seccomp";
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    autoclose int dir = openat(state_root, name, flags);
    struct stat st;

    if (dir < 0 && errno == ENOENT && (mkdirat(state_root, name, 0700) == 0 || errno == EEXIST))
        dir = openat(state_root, name, flags);
    if (dir < 0 || fstat(dir, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 022))
        return -1;
    return take_fd(&dir);
}

static uint64_t hash(const char *data, size_t len)
{
    uint64_t h = 0xcbf29ce484222325; /* FNV-1a */

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)data[i]) * 0x100000001b3;
    return h;
}

static void slot_name(const struct buf *key, char name[32])
{
    snprintf(name, 32, "seccomp-%02u", (unsigned)(hash(key->data, key->len) % CACHE_SLOTS));
}

/* A slot is the key, a NUL, the program, and the hash of all that: the host may have lost power
 * between the rename and the writing of the data. */
static bool cache_get(int cache, const char *name, const struct buf *key,
                      struct seccomp_program *ret)
{
    size_t head = key->len + 1, size;
    autofree char *slot = NULL;
    ssize_t len = file_read(cache, name, RULES_TEXT_MAX + PROGRAM_MAX * sizeof(*ret->code), &slot);
    uint64_t sum;

    if (len < 0 || (size_t)len <= head + sizeof(sum) || memcmp(slot, key->data, head) != 0)
        return false;
    memcpy(&sum, slot + len - sizeof(sum), sizeof(sum));
    if (sum != hash(slot, (size_t)len - sizeof(sum)))
        return false;
    size = (size_t)len - sizeof(sum) - head;
    if (size % sizeof(*ret->code) || size > PROGRAM_MAX * sizeof(*ret->code))
        return false;
    ret->code = malloc(size);
    if (!ret->code)
        return false;
    memcpy(ret->code, slot + head, size);
    ret->count = (unsigned short)(size / sizeof(*ret->code));
    return true;
}

static void cache_put(int cache, const char *name, struct buf *key,
                      const struct seccomp_program *program)
{
    uint64_t sum;

    buf_add(key, "", 1);
    buf_add(key, program->code, program->count * sizeof(*program->code));
    if (key->error)
        return;
    sum = hash(key->data, key->len);
    buf_add(key, &sum, sizeof(sum));
    if (!key->error)
        file_replace(cache, name, key->data, key->len, 0600, false); /* only a cache: may fail */
}

/* ---- public ---- */

static bool uses_notify(const struct spec_seccomp *spec)
{
    for (size_t i = 0; i < spec->syscalls.count; i++) {
        if (spec->syscalls.items[i].action == SECCOMP_RET_USER_NOTIF)
            return true;
    }
    return false;
}

static unsigned load_flags(const struct spec_seccomp *spec, bool notify)
{
    /* no "flags" at all means SPEC_ALLOW, as in runc and docker: since Linux 5.16 speculation is no
     * longer a filter's business, and before it only cost time */
    unsigned flags = spec->flags_set ? (unsigned)spec->flags : SECCOMP_FILTER_FLAG_SPEC_ALLOW;

    /* the process that loads is single-threaded: TSYNC has nothing to do, and excludes a listener
     */
    flags &= ~(unsigned)SECCOMP_FILTER_FLAG_TSYNC;
    if (notify)
        return flags | SECCOMP_FILTER_FLAG_NEW_LISTENER;
    return flags & ~(unsigned)SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
}

int seccomp_compile(const struct spec_seccomp *spec, int cache, struct seccomp_program *ret,
                    void (*skipped)(void *, const char *name), void *user, struct wharf_error *e)
{
    struct compiler c = { .spec = spec, .skipped = skipped, .user = user, .e = e };
    struct seccomp_program program = { .notify = uses_notify(spec) };
    autobuf struct buf key = BUF(RULES_TEXT_MAX);
    unsigned count = 0;
    char name[32];
    int r;

    if (spec->default_action == SECCOMP_RET_USER_NOTIF)
        return err_invalid(e, "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY is not possible");
    if (program.notify && !spec->listener_path)
        return err_invalid(e, "linux.seccomp: SCMP_ACT_NOTIFY needs listenerPath");
    program.flags = load_flags(spec, program.notify);
    if (cache >= 0) {
        write_key(spec, &key);
        slot_name(&key, name);
        if (!key.error && cache_get(cache, name, &key, &program)) {
            *ret = program;
            return 0;
        }
    }
    program.code = calloc(PROGRAM_MAX, sizeof(*program.code));
    if (!program.code)
        return err_nomem(e);
    r = compile(&c, program.code, &count);
    if (r < 0) {
        free(program.code);
        return r;
    }
    program.count = (unsigned short)count;
    if (cache >= 0 && !key.error)
        cache_put(cache, name, &key, &program);
    *ret = program;
    return 0;
}

int seccomp_load_program(const struct seccomp_program *program, int *ret_listener)
{
    struct sock_fprog prog = { .len = program->count, .filter = program->code };
    long r;

    *ret_listener = -1;
    if (!program->code)
        return 0;
    r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, program->flags, &prog);
    if (r < 0)
        return -errno;
    if (program->notify)
        *ret_listener = (int)r;
    return 0;
}

void seccomp_done(struct seccomp_program *program)
{
    free(program->code);
    *program = (struct seccomp_program){ 0 };
}

static int listener_address(const char *path, struct sockaddr_un *ret, struct wharf_error *e)
{
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof(ret->sun_path))
        return err_invalid(e, "linux.seccomp.listenerPath: longer than %zu bytes",
                           sizeof(ret->sun_path) - 1);
    memcpy(ret->sun_path, path, strlen(path) + 1);
    return 0;
}

int seccomp_check_listener(const char *path, struct wharf_error *e)
{
    autoclose int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address;
    int r = listener_address(path, &address, e);

    if (r < 0)
        return r;
    if (fd < 0)
        return err_sys(e, "cannot make a socket");
    /* the wrong type on purpose: unix(7) tells EPROTOTYPE where a stream socket is bound */
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        errno = EPROTOTYPE;
    else if (errno == EPROTOTYPE)
        return 0;
    return err_sys(e, "linux.seccomp.listenerPath: cannot connect to '%s'", path);
}

int seccomp_send_listener(const char *path, int listener, const char *state_json,
                          struct wharf_error *e)
{
    autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address;
    struct iovec text = { .iov_base = (void *)(uintptr_t)state_json,
                          .iov_len = strlen(state_json) };
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr message = { .msg_iov = &text,
                              .msg_iovlen = 1,
                              .msg_control = &control,
                              .msg_controllen = sizeof(control) };
    int r = listener_address(path, &address, e);
    ssize_t n;

    if (r < 0)
        return r;
    if (fd < 0)
        return err_sys(e, "cannot make a socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return err_sys(e, "linux.seccomp.listenerPath: cannot connect to '%s'", path);
    control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
                                       .cmsg_level = SOL_SOCKET,
                                       .cmsg_type = SCM_RIGHTS };
    memcpy(CMSG_DATA(&control.header), &listener, sizeof(int));
    n = sendmsg(fd, &message, MSG_NOSIGNAL);
    if (n < 0)
        return err_sys(e, "linux.seccomp.listenerPath: cannot send to '%s'", path);
    /* the descriptor travelled with the first byte; the rest of a long text follows alone */
    if ((size_t)n < text.iov_len) {
        r = fd_write_all(fd, state_json + n, text.iov_len - (size_t)n);
        if (r < 0)
            return err_code(e, r, "linux.seccomp.listenerPath: cannot send to '%s'", path);
    }
    return 0;
}
