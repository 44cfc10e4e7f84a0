/* SPDX-License-Identifier: Apache-2.0 */
/* The object "process" of config.json and of an exec: command, environment, user, capabilities,
 * limits. */
#include "engine/oci-internal.h"

#include <inttypes.h>
#include <linux/capability.h>
#include <stdio.h>
#include "base/str.h"
#include "libcontainer/credentials.h"

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define BIT(n)       (UINT64_C(1) << (n))
#define ALL_CAPS     (BIT(CAP_LAST_CAP + 1) - 1)

/* ---- capabilities ---------------------------------------------------------------------------- */

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

/* ---- command and environment ------------------------------------------------------------------ */

int oci_command(const struct settings *settings, struct arena *arena, field_strings *ret,
                struct wharf_error *e)
{
    const field_strings *first = &settings->entrypoint, *rest = &settings->cmd;
    size_t count = first->count + rest->count;

    if (count == 0)
        return err_invalid(e, "No command specified");
    char **items = arena_array(arena, count, sizeof(*items));
    if (!items)
        return err_nomem(e);
    for (size_t i = 0; i < count; i++) /* not memcpy: of an empty list there are no items */
        items[i] = i < first->count ? first->items[i] : rest->items[i - first->count];
    *ret = (field_strings){ items, count };
    return 0;
}

static int under_init(field_strings *args, struct arena *arena, struct wharf_error *e)
{
    char **items = arena_array(arena, args->count + 2, sizeof(*items));

    if (!items)
        return err_nomem(e);
    items[0] = (char *)(uintptr_t)OCI_INIT;
    items[1] = (char *)(uintptr_t) "--";
    memcpy(items + 2, args->items, args->count * sizeof(*items));
    *args = (field_strings){ items, args->count + 2 };
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
    struct environment env = {
        .room = 4 + in->channels.count + in->settings->env.count + (exec ? exec->env.count : 0),
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

int put_process(const struct oci_input *in, const struct oci_exec *exec,
                const struct security *security, struct arena *arena, struct buf *b,
                struct wharf_error *e)
{
    const struct settings *s = in->settings;
    bool tty = exec ? exec->tty : s->tty;
    uint64_t rows = exec ? exec->rows : in->rows, columns = exec ? exec->columns : in->columns;
    const char *cwd = exec && exec->working_dir           ? exec->working_dir
                      : s->working_dir && *s->working_dir ? s->working_dir
                                                          : "/";
    field_strings args = { 0 };
    int r = 0;

    if (exec)
        args = exec->args;
    else
        r = oci_command(s, arena, &args, e);
    if (r == 0 && !exec && in->init)
        r = under_init(&args, arena, e);
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
    put_capabilities(b, exec && exec->privileged ? ALL_CAPS : security->capabilities,
                     in->user->uid == 0);
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
