/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See oci.h. Docker's defaults are tables here; each object of config.json has one function that
 * writes it. The text goes straight into the shim's memfd: it is not parsed on this side, so every
 * value that comes from outside is written through buf_json or as a number.
 */
#include "engine/oci.h"

#include <inttypes.h>
#include <linux/capability.h>
#include <strings.h>
#include "base/str.h"
#include "engine/seccomp-default.h"
#include "libcontainer/credentials.h"

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define SHM_DEFAULT  (64 << 20)
#define CPU_PERIOD   100000 /* microseconds; sched-bwc */
#define BIT(n)       (UINT64_C(1) << (n))
#define ALL_CAPS     (BIT(CAP_LAST_CAP + 1) - 1)

static const uint64_t default_capabilities =
    BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FSETID) | BIT(CAP_FOWNER) | BIT(CAP_MKNOD) |
    BIT(CAP_NET_RAW) | BIT(CAP_SETGID) | BIT(CAP_SETUID) | BIT(CAP_SETFCAP) | BIT(CAP_SETPCAP) |
    BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_SYS_CHROOT) | BIT(CAP_KILL) | BIT(CAP_AUDIT_WRITE);

/* What `privileged` changes: these become writable. */
static const struct {
    const char *target, *type, *options;
    bool ro; /* unless privileged */
} default_mounts[] = {
    { "/proc", "proc", "nosuid,noexec,nodev", false },
    { "/dev", "tmpfs", "nosuid,strictatime,mode=755,size=65536k", false },
    { "/dev/pts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5", false },
    { "/sys", "sysfs", "nosuid,noexec,nodev", true },
    { "/sys/fs/cgroup", "cgroup", "nosuid,noexec,nodev", true },
    { "/dev/mqueue", "mqueue", "nosuid,noexec,nodev", false },
};

static const char *const masked_paths[] = {
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
};

static const char *const readonly_paths[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                              "/proc/sysrq-trigger" };

/* The device filter: deny all, then these (devices.rst of the kernel's cgroup-v1 documents). */
static const char device_rules[] =
    "{\"allow\":false,\"access\":\"rwm\"}"
    ",{\"allow\":true,\"type\":\"c\",\"access\":\"m\"}" /* making nodes is CAP_MKNOD's matter */
    ",{\"allow\":true,\"type\":\"b\",\"access\":\"m\"}"
    ",{\"allow\":true,\"type\":\"c\",\"major\":1,\"minor\":3,\"access\":\"rwm\"}" /* null */
    ",{\"allow\":true,\"type\":\"c\",\"major\":1,\"minor\":5,\"access\":\"rwm\"}" /* zero */
    ",{\"allow\":true,\"type\":\"c\",\"major\":1,\"minor\":7,\"access\":\"rwm\"}" /* full */
    ",{\"allow\":true,\"type\":\"c\",\"major\":1,\"minor\":8,\"access\":\"rwm\"}" /* random */
    ",{\"allow\":true,\"type\":\"c\",\"major\":1,\"minor\":9,\"access\":\"rwm\"}" /* urandom */
    ",{\"allow\":true,\"type\":\"c\",\"major\":5,\"minor\":0,\"access\":\"rwm\"}" /* tty */
    ",{\"allow\":true,\"type\":\"c\",\"major\":5,\"minor\":1,\"access\":\"rwm\"}" /* console */
    ",{\"allow\":true,\"type\":\"c\",\"major\":5,\"minor\":2,\"access\":\"rwm\"}" /* ptmx */
    ",{\"allow\":true,\"type\":\"c\",\"major\":136,\"access\":\"rwm\"}";          /* pts/N */

static const char any_device[] = "{\"allow\":true,\"access\":\"rwm\"}";

/* ---- writing JSON ---------------------------------------------------------------------------- */

static void put_string(struct buf *b, const char *s)
{
    buf_json(b, s, strlen(s));
}

/* `,"key":"value"` */
static void put_member(struct buf *b, const char *key, const char *value)
{
    buf_printf(b, ",\"%s\":", key);
    put_string(b, value);
}

static void put_list(struct buf *b, const char *key, const char *const *items, size_t count)
{
    buf_printf(b, ",\"%s\":[", key);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_char(b, ',');
        put_string(b, items[i]);
    }
    buf_char(b, ']');
}

static void put_pairs(struct buf *b, const char *key, const field_pairs *pairs)
{
    buf_printf(b, ",\"%s\":{", key);
    for (size_t i = 0; i < pairs->count; i++) {
        if (i > 0)
            buf_char(b, ',');
        put_string(b, pairs->items[i].key);
        buf_char(b, ':');
        put_string(b, pairs->items[i].value);
    }
    buf_char(b, '}');
}

/* ---- capabilities ---------------------------------------------------------------------------- */

/* "NET_ADMIN", "cap_net_admin" or "ALL" as a mask. */
static int capability_mask(const char *name, uint64_t *ret, struct wharf_error *e)
{
    const char *bare = strncasecmp(name, "CAP_", 4) == 0 ? name + 4 : name;

    if (strcasecmp(bare, "ALL") == 0) {
        *ret = ALL_CAPS;
        return 0;
    }
    for (unsigned n = 0; n <= CAP_LAST_CAP; n++) {
        const char *known = field_word_name(capability_words, (int64_t)BIT(n));

        if (known && strcasecmp(bare, known + 4) == 0) {
            *ret = BIT(n);
            return 0;
        }
    }
    return err_invalid(e, "invalid capability: '%s'", name);
}

/* Docker's rule: ALL in either list sets the ground, then the named ones of add win over drop's. */
static int capabilities(const struct settings_host *host, uint64_t *ret, struct wharf_error *e)
{
    uint64_t mask, add = 0, drop = 0;
    bool add_all = false, drop_all = false;

    for (size_t i = 0; i < host->cap_add.count; i++) {
        if (capability_mask(host->cap_add.items[i], &mask, e) < 0)
            return -EINVAL;
        add_all |= mask == ALL_CAPS;
        add |= mask == ALL_CAPS ? 0 : mask;
    }
    for (size_t i = 0; i < host->cap_drop.count; i++) {
        if (capability_mask(host->cap_drop.items[i], &mask, e) < 0)
            return -EINVAL;
        drop_all |= mask == ALL_CAPS;
        drop |= mask == ALL_CAPS ? 0 : mask;
    }
    if (host->privileged)
        *ret = ALL_CAPS;
    else if (add_all)
        *ret = ALL_CAPS & ~drop;
    else
        *ret = ((drop_all ? 0 : default_capabilities) & ~drop) | add;
    return 0;
}

static void put_capability_set(struct buf *b, const char *key, uint64_t mask, bool first)
{
    bool comma = false;

    buf_printf(b, "%s\"%s\":[", first ? "" : ",", key);
    for (unsigned n = 0; n <= CAP_LAST_CAP; n++) {
        const char *name =
            mask & BIT(n) ? field_word_name(capability_words, (int64_t)BIT(n)) : NULL;

        if (name) {
            buf_printf(b, "%s\"%s\"", comma ? "," : "", name);
            comma = true;
        }
    }
    buf_char(b, ']');
}

/* A user other than root starts with the bounding set alone; set-uid programs may use the rest. */
static void put_capabilities(struct buf *b, uint64_t mask, bool root)
{
    uint64_t held = root ? mask : 0;

    buf_str(b, ",\"capabilities\":{");
    put_capability_set(b, "bounding", mask, true);
    put_capability_set(b, "effective", held, false);
    put_capability_set(b, "permitted", held, false);
    put_capability_set(b, "inheritable", 0, false);
    buf_char(b, '}');
}

/* ---- --security-opt -------------------------------------------------------------------------- */

struct security {
    bool no_new_privileges, system_paths;
    const char *seccomp;  /* NULL: the default; "": none; else a profile in JSON */
    const char *apparmor; /* NULL: none */
    const char *label;    /* SELinux's, NULL: none */
};

static int parse_security(const struct settings_host *host, struct security *ret,
                          struct wharf_error *e)
{
    struct security s = { .system_paths = true };

    for (size_t i = 0; i < host->security_opt.count; i++) {
        const char *option = host->security_opt.items[i];
        size_t key = strcspn(option, "=:");
        const char *value = option[key] ? option + key + 1 : "";
        char name[32];

        snprintf(name, sizeof(name), "%.*s", (int)key, option);
        if (streq(name, "no-new-privileges") && (streq(value, "") || streq(value, "true")))
            s.no_new_privileges = true;
        else if (streq(name, "no-new-privileges") && streq(value, "false"))
            s.no_new_privileges = false;
        else if (streq(name, "seccomp"))
            s.seccomp = streq(value, "unconfined") ? "" : streq(value, "builtin") ? NULL : value;
        else if (streq(name, "apparmor"))
            s.apparmor = streq(value, "unconfined") ? NULL : value;
        else if (streq(name, "label") && streq(value, "disable"))
            s.label = NULL;
        else if (streq(name, "systempaths") && streq(value, "unconfined"))
            s.system_paths = false;
        else if (streq(name, "label"))
            return err_unsupported(e, "security option '%s': only label=disable is supported yet",
                                   option);
        else
            return err_invalid(e, "invalid --security-opt 1: \"%s\"", option);
    }
    if (host->privileged)
        s = (struct security){ .seccomp = s.seccomp && *s.seccomp ? s.seccomp : "" };
    *ret = s;
    return 0;
}

/* A profile given by the user, in OCI's form; docker's conditional form needs a translation that is
 * not there yet. */
static int put_profile(struct buf *b, const char *text, struct wharf_error *e)
{
    autojson json_t *profile = NULL;
    int r = json_read(text, strlen(text), JSON_LIMITS, "seccomp profile", &profile, e);

    if (r < 0)
        return r;
    if (!json_is_object(profile) || !json_object_get(profile, "defaultAction"))
        return err_invalid(e, "seccomp profile: there is no \"defaultAction\"");
    if (json_object_get(profile, "archMap"))
        return err_unsupported(e, "seccomp profile: \"archMap\" is not supported yet, list "
                                  "\"architectures\"");
    autofree char *out = json_dumps(profile, JSON_COMPACT);
    buf_printf(b, ",\"seccomp\":%s", out ? out : "");
    return out ? 0 : err_nomem(e);
}

/* ---- process --------------------------------------------------------------------------------- */

int oci_command(const struct settings *settings, const struct oci_image *image, struct arena *arena,
                field_strings *ret, struct wharf_error *e)
{
    bool own = settings->entrypoint.count > 0;
    const field_strings *first = &settings->entrypoint;
    field_strings from_image = { image->entrypoint,
                                 strv_count((const char *const *)image->entrypoint) };
    field_strings image_cmd = { image->cmd, strv_count((const char *const *)image->cmd) };
    /* an entrypoint of one's own puts the image's arguments away */
    const field_strings *rest = settings->cmd.count > 0 || own ? &settings->cmd : &image_cmd;

    if (!own)
        first = &from_image;
    bool cleared = own && first->count == 1 && !first->items[0][0]; /* --entrypoint "" */
    size_t skip = cleared ? 1 : 0, count = first->count - skip + rest->count;
    if (count == 0)
        return err_invalid(e, "No command specified");
    char **items = arena_array(arena, count, sizeof(*items));
    if (!items)
        return err_nomem(e);
    for (size_t i = skip; i < first->count; i++)
        items[i - skip] = first->items[i];
    for (size_t i = 0; i < rest->count; i++)
        items[first->count - skip + i] = rest->items[i];
    *ret = (field_strings){ items, count };
    return 0;
}

struct environment {
    const char **items;
    size_t count, room;
};

/* "KEY=VALUE" replaces or appends; "KEY" alone removes. */
static void set_env(struct environment *env, const char *entry)
{
    size_t key = strcspn(entry, "="), i = 0;

    while (i < env->count &&
           !(strncmp(env->items[i], entry, key) == 0 && env->items[i][key] == '='))
        i++;
    if (entry[key] == '=') {
        if (i == env->count && env->count < env->room)
            env->count++;
        env->items[i] = entry;
    } else if (i < env->count) {
        memmove(&env->items[i], &env->items[i + 1], (--env->count - i) * sizeof(*env->items));
    }
}

static int put_env(const struct oci_input *in, const struct oci_exec *exec, bool tty,
                   struct arena *arena, struct buf *b, struct wharf_error *e)
{
    size_t image_count = strv_count((const char *const *)in->image->env);
    struct environment env = {
        .room = 4 + image_count + in->channels.count + in->settings->env.count +
                (exec ? exec->env.count : 0),
    };

    env.items = arena_array(arena, env.room, sizeof(*env.items));
    char *hostname = arena_format(arena, "HOSTNAME=%s", in->hostname);
    char *home = arena_format(arena, "HOME=%s", in->user->home);
    if (!env.items || !hostname || !home)
        return err_nomem(e);
    set_env(&env, "PATH=" PATH_DEFAULT);
    set_env(&env, hostname);
    if (tty)
        set_env(&env, "TERM=xterm");
    set_env(&env, home);
    for (size_t i = 0; i < image_count; i++)
        set_env(&env, in->image->env[i]);
    for (size_t i = 0; i < in->channels.count; i++)
        set_env(&env, in->channels.items[i].env);
    for (size_t i = 0; i < in->settings->env.count; i++)
        set_env(&env, in->settings->env.items[i]);
    for (size_t i = 0; exec && i < exec->env.count; i++)
        set_env(&env, exec->env.items[i]);
    put_list(b, "env", env.items, env.count);
    return 0;
}

static void put_user(const struct user *user, struct buf *b)
{
    buf_printf(b, ",\"user\":{\"uid\":%u,\"gid\":%u,\"additionalGids\":[", user->uid, user->gid);
    for (size_t i = 0; i < user->group_count; i++)
        buf_printf(b, "%s%u", i ? "," : "", user->groups[i]);
    buf_str(b, "]}");
}

static void put_rlimits(const struct settings_host *host, struct buf *b)
{
    buf_str(b, ",\"rlimits\":[");
    for (size_t i = 0; i < host->ulimits.count; i++) {
        const struct settings_ulimit *u = &host->ulimits.items[i];

        buf_printf(b, "%s{\"type\":\"RLIMIT_", i ? "," : "");
        for (const char *p = u->name; *p; p++)
            buf_char(b, *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p == '"' ? '?' : *p);
        buf_printf(b, "\",\"soft\":%" PRIu64 ",\"hard\":%" PRIu64 "}", (uint64_t)u->soft,
                   (uint64_t)u->hard);
    }
    buf_char(b, ']');
}

static int put_process(const struct oci_input *in, const struct oci_exec *exec,
                       const struct security *security, uint64_t caps, struct arena *arena,
                       struct buf *b, struct wharf_error *e)
{
    const struct settings *s = in->settings;
    bool tty = exec ? exec->tty : s->tty;
    uint64_t rows = exec ? exec->rows : in->rows, columns = exec ? exec->columns : in->columns;
    const char *cwd = exec && exec->working_dir           ? exec->working_dir
                      : s->working_dir && *s->working_dir ? s->working_dir
                      : *in->image->working_dir           ? in->image->working_dir
                                                          : "/";
    field_strings args = { 0 };
    int r = 0;

    if (exec)
        args = exec->args;
    else
        r = oci_command(s, in->image, arena, &args, e);
    if (r < 0)
        return r;
    buf_printf(b, "{\"terminal\":%s", tty ? "true" : "false");
    if (tty && rows && columns)
        buf_printf(b, ",\"consoleSize\":{\"height\":%" PRIu64 ",\"width\":%" PRIu64 "}", rows,
                   columns);
    put_member(b, "cwd", cwd);
    put_list(b, "args", (const char *const *)args.items, args.count);
    r = put_env(in, exec, tty, arena, b, e);
    put_user(in->user, b);
    put_capabilities(b, caps, in->user->uid == 0);
    put_rlimits(s->host, b);
    if (security->no_new_privileges)
        buf_str(b, ",\"noNewPrivileges\":true");
    if (security->apparmor)
        put_member(b, "apparmorProfile", security->apparmor);
    if (s->host->oom_score_adj)
        buf_printf(b, ",\"oomScoreAdj\":%" PRId64, s->host->oom_score_adj);
    buf_char(b, '}');
    return r;
}

/* ---- mounts ---------------------------------------------------------------------------------- */

/* `options` is comma-separated; "" is none. */
static void put_mount(struct buf *b, const char *target, const char *type, const char *source,
                      const char *options)
{
    char last = b->len > 0 ? b->data[b->len - 1] : '[';

    buf_str(b, last == '[' ? "{\"destination\":" : ",{\"destination\":");
    put_string(b, target);
    put_member(b, "type", type);
    put_member(b, "source", source);
    buf_str(b, ",\"options\":[");
    for (const char *p = options; *p;) {
        size_t n = strcspn(p, ",");

        if (p != options)
            buf_char(b, ',');
        buf_json(b, p, n);
        p += n + (p[n] == ',');
    }
    buf_str(b, "]}");
}

/* The options that -v knows. `keep` false: for other platforms or file systems, means nothing here.
 */
static const struct {
    const char *name;
    bool keep;
} bind_options[] = {
    { "ro", true },          { "rw", true },         { "shared", true },   { "rshared", true },
    { "slave", true },       { "rslave", true },     { "private", true },  { "rprivate", true },
    { "z", false },          { "Z", false },         { "nocopy", false },  { "cached", false },
    { "consistent", false }, { "delegated", false }, { "default", false },
};

static int put_bind(struct buf *b, const char *text, struct arena *arena, struct wharf_error *e)
{
    autobuf struct buf options = BUF(512);
    struct settings_bind bind;
    bool propagation = false;
    int r = settings_bind_parse(text, arena, &bind, e);

    if (r < 0)
        return r;
    buf_str(&options, "rbind");
    for (const char *p = bind.options; *p;) {
        size_t n = strcspn(p, ","), i = 0;

        while (i < ARRAY_SIZE(bind_options) &&
               !(strlen(bind_options[i].name) == n && strncmp(bind_options[i].name, p, n) == 0))
            i++;
        if (i == ARRAY_SIZE(bind_options))
            return err_invalid(e, "invalid mode: %s", bind.options);
        propagation |= bind_options[i].keep && n > 2;
        if (bind_options[i].keep)
            buf_printf(&options, ",%s", bind_options[i].name);
        p += n + (p[n] == ',');
    }
    if (!propagation)
        buf_str(&options, ",rprivate");
    if (options.error)
        return err_invalid(e, "invalid mode: %s", bind.options);
    put_mount(b, bind.target, "bind", bind.source, options.data);
    return 0;
}

static bool has_mount(const struct settings_host *host, const char *target)
{
    size_t len = strlen(target);

    for (size_t i = 0; i < host->tmpfs.count; i++) {
        if (streq(host->tmpfs.items[i].key, target))
            return true;
    }
    for (size_t i = 0; i < host->binds.count; i++) {
        const char *at = strchr(host->binds.items[i], ':');

        if (at && strncmp(at + 1, target, len) == 0 && (at[1 + len] == '\0' || at[1 + len] == ':'))
            return true;
    }
    return false;
}

static void put_default_mounts(const struct settings_host *host, struct arena *arena, struct buf *b)
{
    char shm[96];

    for (size_t i = 0; i < ARRAY_SIZE(default_mounts); i++) {
        const char *mode = !default_mounts[i].ro ? "" : host->privileged ? ",rw" : ",ro";
        char *options = arena_format(arena, "%s%s", default_mounts[i].options, mode);

        if (has_mount(host, default_mounts[i].target))
            continue;
        put_mount(b, default_mounts[i].target, default_mounts[i].type, default_mounts[i].type,
                  options ? options : "");
    }
    snprintf(shm, sizeof(shm), "nosuid,noexec,nodev,mode=1777,size=%" PRId64,
             host->shm_size ? host->shm_size : SHM_DEFAULT);
    if (host->ipc_mode && streq(host->ipc_mode, "host"))
        put_mount(b, "/dev/shm", "bind", "/dev/shm", "rbind,rprivate");
    else if (!has_mount(host, "/dev/shm"))
        put_mount(b, "/dev/shm", "tmpfs", "shm", shm);
}

static int put_mounts(const struct oci_input *in, struct arena *arena, struct buf *b,
                      struct wharf_error *e)
{
    static const char *const files[] = { "hosts", "hostname", "resolv.conf" };
    const struct settings_host *host = in->settings->host;
    int r = 0;

    buf_str(b, ",\"mounts\":[");
    put_default_mounts(host, arena, b);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        char *source = arena_format(arena, "%s/%s", in->directory, files[i]);
        char *target = arena_format(arena, "/etc/%s", files[i]);

        if (!source || !target)
            return err_nomem(e);
        if (!has_mount(host, target))
            put_mount(b, target, "bind", source, "rbind,rprivate");
    }
    for (size_t i = 0; i < host->tmpfs.count; i++) {
        const struct field_pair *t = &host->tmpfs.items[i];
        char *options =
            arena_format(arena, "nosuid,nodev,noexec%s%s", *t->value ? "," : "", t->value);

        put_mount(b, t->key, "tmpfs", "tmpfs", options ? options : "");
    }
    for (size_t i = 0; i < in->channels.count; i++) {
        const struct oci_channel *c = &in->channels.items[i];

        put_mount(b, c->target, "bind", c->source,
                  c->read_only ? "rbind,rprivate,nosuid,nodev,noexec,ro"
                               : "rbind,rprivate,nosuid,nodev,noexec");
    }
    for (size_t i = 0; r == 0 && i < host->binds.count; i++)
        r = put_bind(b, host->binds.items[i], arena, e);
    buf_char(b, ']');
    return r;
}

/* ---- linux ----------------------------------------------------------------------------------- */

static bool is_host(const char *mode)
{
    return mode && streq(mode, "host");
}

static void put_namespaces(const struct settings_host *host, struct buf *b)
{
    const struct {
        const char *type;
        bool shared;
    } spaces[] = {
        { "mount", false },
        { "network", is_host(host->network_mode) },
        { "uts", is_host(host->uts_mode) },
        { "pid", is_host(host->pid_mode) },
        { "ipc", is_host(host->ipc_mode) },
        { "cgroup", host->privileged },
    };
    bool comma = false;

    buf_str(b, "\"namespaces\":[");
    for (size_t i = 0; i < ARRAY_SIZE(spaces); i++) {
        if (!spaces[i].shared) {
            buf_printf(b, "%s{\"type\":\"%s\"}", comma ? "," : "", spaces[i].type);
            comma = true;
        }
    }
    buf_char(b, ']');
}

/* `"key":{"a":1,...}` of the numbers that are not 0, behind a comma. */
struct number {
    const char *key;
    int64_t value;
};
static void put_numbers(struct buf *b, const char *key, const struct number *numbers, size_t count,
                        const char *cpus, const char *mems)
{
    bool comma = false;

    buf_printf(b, ",\"%s\":{", key);
    for (size_t i = 0; i < count; i++) {
        if (numbers[i].value != 0) {
            buf_printf(b, "%s\"%s\":%" PRId64, comma ? "," : "", numbers[i].key, numbers[i].value);
            comma = true;
        }
    }
    for (int i = 0; i < 2; i++) {
        const char *text = i == 0 ? cpus : mems;

        if (text && *text) {
            buf_printf(b, "%s\"%s\":", comma ? "," : "", i == 0 ? "cpus" : "mems");
            put_string(b, text);
            comma = true;
        }
    }
    buf_char(b, '}');
}

static void put_devices(const struct oci_devices *devices, struct buf *b)
{
    buf_str(b, ",\"devices\":[");
    for (size_t i = 0; i < devices->count; i++) {
        const struct oci_device *d = &devices->items[i];

        buf_str(b, i > 0 ? ",{\"path\":" : "{\"path\":");
        put_string(b, d->path);
        buf_printf(b,
                   ",\"type\":\"%c\",\"major\":%u,\"minor\":%u,\"fileMode\":%u,\"uid\":%u,"
                   "\"gid\":%u}",
                   d->type, d->major, d->minor, d->mode, d->uid, d->gid);
    }
    buf_char(b, ']');
}

static void put_device_rules(const struct oci_input *in, struct buf *b)
{
    buf_str(b, in->settings->host->privileged ? any_device : device_rules);
    for (size_t i = 0; i < in->devices.count; i++) {
        const struct oci_device *d = &in->devices.items[i];

        if (d->access)
            buf_printf(b,
                       ",{\"allow\":true,\"type\":\"%c\",\"major\":%u,\"minor\":%u,"
                       "\"access\":\"%s\"}",
                       d->type, d->major, d->minor, d->access);
    }
}

static void put_resources(const struct oci_input *in, struct buf *b)
{
    const struct settings_host *host = in->settings->host;
    int64_t quota = host->nano_cpus ? host->nano_cpus / (1000000000 / CPU_PERIOD) : host->cpu_quota;
    const struct number memory[] = {
        { "limit", host->memory },
        { "swap", host->memory_swap },
        { "reservation", host->memory_reservation },
    };
    const struct number cpu[] = {
        { "shares", host->cpu_shares },
        { "quota", quota },
        { "period", host->nano_cpus ? CPU_PERIOD : host->cpu_period },
    };

    buf_str(b, ",\"resources\":{\"devices\":[");
    put_device_rules(in, b);
    buf_char(b, ']');
    put_numbers(b, "memory", memory, ARRAY_SIZE(memory), NULL, NULL);
    put_numbers(b, "cpu", cpu, ARRAY_SIZE(cpu), host->cpuset_cpus, host->cpuset_mems);
    if (host->pids_limit.set && host->pids_limit.value != 0)
        buf_printf(b, ",\"pids\":{\"limit\":%" PRId64 "}", host->pids_limit.value);
    buf_char(b, '}');
}

static int put_linux(const struct oci_input *in, const struct security *security, uint64_t caps,
                     struct buf *b, struct wharf_error *e)
{
    const struct settings_host *host = in->settings->host;
    bool has_parent = host->cgroup_parent && *host->cgroup_parent;
    int r = 0;

    buf_str(b, ",\"linux\":{");
    put_namespaces(host, b);
    put_devices(&in->devices, b);
    put_resources(in, b);
    buf_str(b, ",\"cgroupsPath\":\"");
    for (const char *p = has_parent ? host->cgroup_parent : ""; *p; p++) {
        if (*p == '"' || *p == '\\' || (unsigned char)*p < 0x20)
            return err_invalid(e, "invalid cgroup parent: '%s'", host->cgroup_parent);
        buf_char(b, *p);
    }
    buf_printf(b, has_parent ? "/%s\"" : "/wharf-%s\"", in->id);
    put_pairs(b, "sysctl", &host->sysctls);
    if (security->system_paths) {
        put_list(b, "maskedPaths", masked_paths, ARRAY_SIZE(masked_paths));
        put_list(b, "readonlyPaths", readonly_paths, ARRAY_SIZE(readonly_paths));
    }
    if (!security->seccomp) {
        buf_str(b, ",\"seccomp\":");
        seccomp_default(b, caps);
    } else if (*security->seccomp) {
        r = put_profile(b, security->seccomp, e);
    }
    buf_char(b, '}');
    return r;
}

int oci_config(const struct oci_input *in, struct arena *arena, struct buf *b,
               struct wharf_error *e)
{
    const struct settings *s = in->settings;
    struct security security;
    uint64_t caps;
    int r = parse_security(s->host, &security, e);

    if (r == 0)
        r = capabilities(s->host, &caps, e);
    if (r < 0)
        return r;
    buf_str(b, "{\"ociVersion\":\"1.2.0\",\"process\":");
    r = put_process(in, NULL, &security, caps, arena, b, e);
    /* the root is the detached mount that the shim holds; this path only fills the required member
     */
    buf_printf(b, ",\"root\":{\"path\":\"/\",\"readonly\":%s}",
               s->host->readonly_rootfs ? "true" : "false");
    if (!is_host(s->host->uts_mode))
        put_member(b, "hostname", in->hostname);
    if (!is_host(s->host->uts_mode) && s->domainname && *s->domainname)
        put_member(b, "domainname", s->domainname);
    if (r == 0)
        r = put_mounts(in, arena, b, e);
    if (r == 0)
        r = put_linux(in, &security, caps, b, e);
    buf_char(b, '}');
    if (r == 0 && b->error)
        r = err_set(e, b->error, WHARF_ERROR_LIMIT, "the container's configuration is too large");
    return r;
}

int oci_process(const struct oci_input *in, const struct oci_exec *exec, struct arena *arena,
                struct buf *b, struct wharf_error *e)
{
    struct security security;
    uint64_t caps;
    int r = parse_security(in->settings->host, &security, e);

    if (r == 0)
        r = capabilities(in->settings->host, &caps, e);
    if (r < 0)
        return r;
    if (exec->privileged)
        caps = ALL_CAPS;
    r = put_process(in, exec, &security, caps, arena, b, e);
    return r == 0 && b->error ? err_code(e, b->error, "the command line is too long") : r;
}
