/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The systemd driver (org.freedesktop.systemd1(5), "Control Group Interface"). A unit is made with
 * Delegate=yes, so that what is below its group is left alone, and starts with the container's
 * first process in it. Starting and stopping are jobs: their end is told by the signal JobRemoved,
 * which is subscribed to before the job is queued.
 *
 * Each operation opens its own connection: a container handle that lives for weeks holds none.
 */
#include "libcontainer/cgroup/systemd.h"

#include <ctype.h>
#include <signal.h>
#include "base/str.h"
#include "libcontainer/cgroup/dbus.h"
#include "libcontainer/cgroup/limits.h"

#define ANNOTATION     "org.systemd.property."
#define UNIT_NAME_MAX  256 /* UNIT_NAME_MAX of systemd */
#define PROPERTIES_MAX (256u << 10)

enum { PERIOD_DEFAULT_US = 100000, QUOTA_STEP_US = 10000, CPUS_MAX = 8192 };

struct systemd_unit {
    char name[UNIT_NAME_MAX], slice[UNIT_NAME_MAX];
    bool user;
    struct buf extra; /* properties from annotations, as they go over the wire */
};

#define MANAGER(member)                                                                            \
    {                                                                                              \
        "org.freedesktop.systemd1", "/org/freedesktop/systemd1",                                   \
            "org.freedesktop.systemd1.Manager", (member)                                           \
    }

/* ---- names ---- */

static bool unit_name_valid(const char *name)
{
    if (!*name || *name == '.' || strlen(name) >= UNIT_NAME_MAX)
        return false;
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr(":-_.\\@", *c))
            return false;
    return true;
}

/* "slice:prefix:name"; without a path the slice of the manager's default and "wharf". */
static int parse_path(struct systemd_unit *u, const struct cgroup_options *o, struct wharf_error *e)
{
    const char *path = o->path && *o->path ? o->path : NULL;
    const char *first = path ? strchr(path, ':') : NULL;
    const char *second = first ? strchr(first + 1, ':') : NULL;
    const char *prefix = "wharf", *name = o->id;
    int prefix_len = 5, slice_len = 0;

    if (path && (!second || strchr(second + 1, ':')))
        return err_invalid(e,
                           "linux.cgroupsPath '%s' is not of the form slice:prefix:name, which the "
                           "systemd driver needs",
                           path);
    if (path) {
        prefix = first + 1;
        prefix_len = (int)(second - prefix);
        name = second + 1;
        slice_len = (int)(first - path);
    }
    if (!name || !*name)
        return err_invalid(e, "a systemd unit needs a name in linux.cgroupsPath or a container id");
    snprintf(u->slice, sizeof(u->slice), "%.*s", slice_len, path ? path : "");
    if (slice_len == 0)
        snprintf(u->slice, sizeof(u->slice), u->user ? "user.slice" : "system.slice");
    snprintf(u->name, sizeof(u->name), "%.*s%s%s.scope", MIN(prefix_len, UNIT_NAME_MAX), prefix,
             prefix_len ? "-" : "", name);
    if (!unit_name_valid(u->name) || !str_ends(u->name, ".scope"))
        return err_invalid(e, "'%.*s%s%s.scope' is no name of a systemd unit", prefix_len, prefix,
                           prefix_len ? "-" : "", name);
    if (!unit_name_valid(u->slice) || !str_ends(u->slice, ".slice"))
        return err_invalid(e, "'%s' is no name of a systemd slice", u->slice);
    return 0;
}

const char *systemd_unit_name(const struct systemd_unit *unit)
{
    return unit->name;
}

const char *systemd_unit_slice(const struct systemd_unit *unit)
{
    return unit->slice;
}

/* ---- properties: (sv) ---- */

static void property(struct buf *b, const char *name, const char *signature)
{
    dbus_align(b, 8);
    dbus_string(b, name);
    dbus_signature(b, signature);
}

static void property_bool(struct buf *b, const char *name, bool value)
{
    property(b, name, "b");
    dbus_u32(b, value);
}

static void property_string(struct buf *b, const char *name, const char *value)
{
    property(b, name, "s");
    dbus_string(b, value);
}

static void property_u64(struct buf *b, const char *name, uint64_t value)
{
    property(b, name, "t");
    dbus_u64(b, value);
}

static int parse_text(struct buf *b, const char *name, const char *value)
{
    size_t n = strlen(value);
    autofree char *text = n >= 2 ? strndup(value + 1, n - 2) : NULL;

    /* escapes would need GVariant's whole grammar */
    if (n < 2 || value[n - 1] != *value || !text || strchr(text, *value) || strchr(text, '\\'))
        return -EINVAL;
    property_string(b, name, text);
    return 0;
}

static int parse_number(struct buf *b, const char *name, const char *value)
{
    static const struct {
        const char *word, *signature;
        int64_t min;
        uint64_t max;
    } types[] = {
        { "uint64 ", "t", 0, UINT64_MAX }, { "int64 ", "x", INT64_MIN, INT64_MAX },
        { "uint32 ", "u", 0, UINT32_MAX }, { "int32 ", "i", INT32_MIN, INT32_MAX },
        { "", "i", INT32_MIN, INT32_MAX },
    };
    uint64_t plain = 0;
    int64_t negative = 0;
    size_t i = 0;
    int r;

    while (!str_after(value, types[i].word))
        i++;
    value = str_after(value, types[i].word);
    r = *value == '-' ? parse_i64(value, types[i].min, 0, &negative)
                      : parse_u64(value, 0, types[i].max, &plain);
    if (r < 0)
        return r;
    if (*value == '-')
        plain = (uint64_t)negative;
    property(b, name, types[i].signature);
    if (strchr("tx", types[i].signature[0]))
        dbus_u64(b, plain);
    else
        dbus_u32(b, (uint32_t)plain);
    return 0;
}

/* "TimeoutStopSec" with seconds is for people; the bus has "TimeoutStopUSec" with microseconds. */
static int parse_seconds(struct buf *b, const char *name, const char *value)
{
    autofree char *usec = str_format("%.*sUSec", (int)strlen(name) - 3, name);
    uint64_t seconds;

    if (!usec)
        return -ENOMEM;
    if (parse_u64(value, 0, UINT32_MAX, &seconds) < 0)
        return -EINVAL;
    property_u64(b, usec, seconds * 1000000);
    return 0;
}

int systemd_property_parse(struct buf *b, const char *name, const char *value,
                           struct wharf_error *e)
{
    int r = -EINVAL;

    if (!*name ||
        name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")])
        return err_invalid(e, "annotation '" ANNOTATION "%.64s': no name of a systemd property",
                           name);
    if (streq(value, "true") || streq(value, "false")) {
        property_bool(b, name, streq(value, "true"));
        r = 0;
    } else if (*value == '\'' || *value == '"') {
        r = parse_text(b, name, value);
    } else if (str_ends(name, "Sec") && !str_ends(name, "USec")) {
        r = parse_seconds(b, name, value);
    } else {
        r = parse_number(b, name, value);
    }
    if (r < 0)
        return err_invalid(e,
                           "annotation '" ANNOTATION "%s': '%.64s' is none of true, false, 'text', "
                           "a number, or a number behind int32, uint32, int64, uint64",
                           name, value);
    return 0;
}

static int parse_annotations(struct systemd_unit *u, const field_pairs *annotations,
                             struct wharf_error *e)
{
    int r = 0;

    for (size_t i = 0; annotations && r == 0 && i < annotations->count; i++) {
        const char *name = str_after(annotations->items[i].key, ANNOTATION);

        if (name)
            r = systemd_property_parse(&u->extra, name, annotations->items[i].value, e);
    }
    return r < 0 ? r : u->extra.error ? err_code(e, u->extra.error, "too many annotations") : 0;
}

/* ---- limits as properties ---- */

static void limit_i64(struct buf *b, const char *name, struct opt_i64 value)
{
    if (value.set && value.value != 0)
        property_u64(b, name, value.value < 0 ? UINT64_MAX : (uint64_t)value.value);
}

static void memory_limits(struct buf *b, const struct spec_memory *m, bool v2)
{
    int64_t swap;

    limit_i64(b, v2 ? "MemoryMax" : "MemoryLimit", m->limit);
    if (!v2)
        return;
    limit_i64(b, "MemoryLow", m->reservation);
    if (m->swap.set && m->swap.value != 0 && swap_alone(&m->limit, m->swap.value, &swap) == 0)
        property_u64(b, "MemorySwapMax", swap < 0 ? UINT64_MAX : (uint64_t)swap);
}

/* systemd keeps CPUQuota as time per second, in steps of 10 ms; the exact value is written to the
 * file afterwards. */
static void cpu_quota(struct buf *b, const struct spec_cpu *cpu)
{
    uint64_t period = cpu->period.value ? cpu->period.value : PERIOD_DEFAULT_US, share = UINT64_MAX;

    if (cpu->quota.value > 0 && (uint64_t)cpu->quota.value < UINT64_MAX / 1000000) {
        share = (uint64_t)cpu->quota.value * 1000000 / period;
        share = (share + QUOTA_STEP_US - 1) / QUOTA_STEP_US * QUOTA_STEP_US;
    }
    if (cpu->quota.set && cpu->quota.value != 0)
        property_u64(b, "CPUQuotaPerSecUSec", share);
    if (cpu->period.value)
        property_u64(b, "CPUQuotaPeriodUSec", cpu->period.value);
}

/* "0-2,7" as the bit mask that AllowedCPUs takes. */
static void cpu_mask(struct buf *b, const char *name, const char *list)
{
    unsigned char mask[CPUS_MAX / 8] = { 0 };
    unsigned first, last, highest = 0;
    struct dbus_array bytes;
    int used;

    if (!list || !*list)
        return;
    for (; sscanf(list, "%u%n", &first, &used) == 1; list += *list == ',') {
        list += used;
        last = first;
        if (*list == '-' && sscanf(list, "-%u%n", &last, &used) == 1)
            list += used;
        for (; first <= last && first < CPUS_MAX; first++) {
            mask[first / 8] |= (unsigned char)(1u << first % 8);
            highest = MAX(highest, first);
        }
    }
    property(b, name, "ay");
    bytes = dbus_array_begin(b, 1);
    buf_add(b, mask, highest / 8 + 1);
    dbus_array_end(b, bytes);
}

static void cpu_limits(struct buf *b, const struct spec_cpu *cpu, bool v2)
{
    if (cpu->shares.value)
        property_u64(b, v2 ? "CPUWeight" : "CPUShares",
                     v2 ? cpu_weight(cpu->shares.value) : cpu->shares.value);
    cpu_quota(b, cpu);
    if (!v2)
        return;
    cpu_mask(b, "AllowedCPUs", cpu->cpus);
    cpu_mask(b, "AllowedMemoryNodes", cpu->mems);
}

static void add_limits(struct buf *b, const struct spec_resources *r, bool v2)
{
    if (r->memory)
        memory_limits(b, r->memory, v2);
    if (r->cpu)
        cpu_limits(b, r->cpu, v2);
    if (r->pids && r->pids->limit.set)
        property_u64(b, "TasksMax",
                     r->pids->limit.value < 0 ? UINT64_MAX
                                              : MAX((uint64_t)r->pids->limit.value, 1));
    if (r->block_io && r->block_io->weight.value)
        property_u64(b, v2 ? "IOWeight" : "BlockIOWeight",
                     v2 ? io_weight(r->block_io->weight.value) : r->block_io->weight.value);
}

/* ---- jobs ---- */

struct job {
    char path[UNIT_NAME_MAX], result[32];
};

/* JobRemoved(u id, o job, s unit, s result) */
static int is_removed(void *user, struct dbus_message *m)
{
    struct job *job = user;

    if (!streq(m->member, "JobRemoved"))
        return 0;
    dbus_read_u32(&m->body);
    if (!streq(dbus_read_string(&m->body), job->path))
        return 0;
    dbus_read_string(&m->body);
    snprintf(job->result, sizeof(job->result), "%s", dbus_read_string(&m->body));
    return !m->body.bad;
}

static int subscribe(struct dbus *bus, struct wharf_error *e)
{
    static const struct dbus_target match = { "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                              "org.freedesktop.DBus", "AddMatch" };
    static const struct dbus_target manager = MANAGER("Subscribe");
    autobuf struct buf body = BUF(PROPERTIES_MAX);
    struct dbus_message answer;
    int r;

    dbus_string(&body, "type='signal',interface='org.freedesktop.systemd1.Manager',"
                       "member='JobRemoved'");
    r = dbus_has_daemon(bus) ? dbus_call(bus, &match, "s", &body, &answer, e) : 0;
    return r < 0 ? r : dbus_call(bus, &manager, NULL, NULL, &answer, e);
}

/* Queues a job and waits for its end. *ret_answer tells the error's name on -EREMOTEIO. */
static int run_job(struct dbus *bus, const struct dbus_target *to, const char *signature,
                   const struct buf *body, struct dbus_message *ret_answer, struct wharf_error *e)
{
    struct job job = { .path = "" };
    int r = dbus_call(bus, to, signature, body, ret_answer, e);

    if (r < 0)
        return r;
    snprintf(job.path, sizeof(job.path), "%s", dbus_read_string(&ret_answer->body));
    r = dbus_wait_signal(bus, is_removed, &job, e);
    if (r == 0 && !streq(job.result, "done"))
        r = err_set(e, -EIO, WHARF_ERROR_INTERNAL, "systemd's job for %s ended with '%s'",
                    to->member, job.result);
    return r;
}

/* A unit of the name that failed before stands in the way. */
static void reset_failed(struct dbus *bus, const struct systemd_unit *u)
{
    static const struct dbus_target to = MANAGER("ResetFailedUnit");
    autobuf struct buf body = BUF(PROPERTIES_MAX);
    struct dbus_message answer;

    dbus_string(&body, u->name);
    dbus_call(bus, &to, "s", &body, &answer, NULL);
}

static void add_start_properties(struct buf *b, const struct systemd_unit *u, pid_t pid)
{
    struct dbus_array pids;

    property_string(b, "Description", "wharf container");
    property_string(b, "Slice", u->slice);
    property(b, "PIDs", "au");
    pids = dbus_array_begin(b, 4);
    dbus_u32(b, (uint32_t)pid);
    dbus_array_end(b, pids);
    property_bool(b, "Delegate", true);
    property_bool(b, "DefaultDependencies", false);
    property_bool(b, "MemoryAccounting", true);
    property_bool(b, "CPUAccounting", true);
    property_bool(b, "IOAccounting", true);
    property_bool(b, "TasksAccounting", true);
    if (u->extra.len == 0)
        return; /* padding behind the last element would count as one */
    dbus_align(b, 8);
    buf_add(b, u->extra.data, u->extra.len); /* built from offset 0: the alignment is the same */
}

int systemd_unit_start(struct systemd_unit *u, pid_t pid, struct wharf_error *e)
{
    static const struct dbus_target to = MANAGER("StartTransientUnit");
    auto_of(dbus_close) struct dbus *bus = NULL;
    autobuf struct buf body = BUF(PROPERTIES_MAX);
    struct dbus_message answer;
    struct dbus_array array;
    int r = dbus_open(&bus, u->user, e);

    if (r == 0)
        r = subscribe(bus, e);
    if (r < 0)
        return r;
    dbus_string(&body, u->name);
    dbus_string(&body, "fail");
    array = dbus_array_begin(&body, 8);
    add_start_properties(&body, u, pid);
    dbus_array_end(&body, array);
    dbus_array_end(&body, dbus_array_begin(&body, 8)); /* no auxiliary units */
    r = run_job(bus, &to, "ssa(sv)a(sa(sv))", &body, &answer, e);
    if (r == -EREMOTEIO && str_ends(answer.error, ".UnitExists")) {
        reset_failed(bus, u); /* works on a dead one, not on one that runs */
        r = run_job(bus, &to, "ssa(sv)a(sa(sv))", &body, &answer, e);
    }
    if (r == -EREMOTEIO && str_ends(answer.error, ".UnitExists"))
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT, "systemd unit '%s' exists already",
                       u->name);
    return r < 0 ? err_wrap(e, r, "systemd unit '%s'", u->name) : 0;
}

int systemd_unit_set(struct systemd_unit *u, const struct spec_resources *resources,
                     struct wharf_error *e)
{
    static const struct dbus_target to = MANAGER("SetUnitProperties");
    auto_of(dbus_close) struct dbus *bus = NULL;
    autobuf struct buf body = BUF(PROPERTIES_MAX);
    struct dbus_message answer;
    struct dbus_array array;
    int r;

    dbus_string(&body, u->name);
    dbus_u32(&body, true); /* runtime: for this life of the unit */
    array = dbus_array_begin(&body, 8);
    add_limits(&body, resources, cgroup_host_is_v2());
    dbus_array_end(&body, array);
    if (body.len == array.start)
        return 0;
    r = dbus_open(&bus, u->user, e);
    if (r == 0)
        r = dbus_call(bus, &to, "sba(sv)", &body, &answer, e);
    return r < 0 ? err_wrap(e, r, "systemd unit '%s'", u->name) : 0;
}

int systemd_unit_stop(struct systemd_unit *u, struct wharf_error *e)
{
    static const struct dbus_target to = MANAGER("StopUnit");
    auto_of(dbus_close) struct dbus *bus = NULL;
    autobuf struct buf body = BUF(PROPERTIES_MAX);
    struct dbus_message answer = { .error = "" };
    int r = dbus_open(&bus, u->user, e);

    if (r == 0)
        r = subscribe(bus, e);
    if (r < 0)
        return r;
    dbus_string(&body, u->name);
    dbus_string(&body, "replace");
    r = run_job(bus, &to, "ss", &body, &answer, e);
    if (r == -EREMOTEIO && str_ends(answer.error, ".NoSuchUnit"))
        return 0;
    if (r == 0)
        reset_failed(bus, u);
    return r < 0 ? err_wrap(e, r, "systemd unit '%s'", u->name) : 0;
}

/* ---- life ---- */

static struct systemd_unit *unit_new(bool user)
{
    struct systemd_unit *u = calloc(1, sizeof(*u));

    if (u) {
        u->user = user;
        u->extra = BUF(PROPERTIES_MAX / 2);
    }
    return u;
}

DEFINE_AUTO(struct systemd_unit, systemd_unit_free)

int systemd_unit_new(struct systemd_unit **ret, const struct cgroup_options *options,
                     struct wharf_error *e)
{
    auto_of(systemd_unit_free) struct systemd_unit *u = unit_new(options->rootless);
    int r;

    if (!u)
        return err_nomem(e);
    r = parse_path(u, options, e);
    if (r == 0)
        r = parse_annotations(u, options->annotations, e);
    if (r < 0)
        return r;
    *ret = take_ptr(&u);
    return 0;
}

json_t *systemd_unit_save(const struct systemd_unit *u)
{
    return json_pack("{s:s, s:s, s:b}", "name", u->name, "slice", u->slice, "user", u->user);
}

int systemd_unit_load(struct systemd_unit **ret, json_t *saved, struct wharf_error *e)
{
    const char *name = json_string_value(json_object_get(saved, "name"));
    const char *slice = json_string_value(json_object_get(saved, "slice"));
    struct systemd_unit *u;

    if (!name || !slice || !unit_name_valid(name) || !unit_name_valid(slice))
        return err_set(e, -EINVAL, WHARF_ERROR_CORRUPT, "the saved systemd unit is damaged");
    u = unit_new(json_is_true(json_object_get(saved, "user")));
    if (!u)
        return err_nomem(e);
    snprintf(u->name, sizeof(u->name), "%s", name);
    snprintf(u->slice, sizeof(u->slice), "%s", slice);
    *ret = u;
    return 0;
}

void systemd_unit_free(struct systemd_unit *u)
{
    if (!u)
        return;
    buf_done(&u->extra);
    free(u);
}
