/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec: one more process. It is the container's own process object with what the command line says
 * put over it, or a whole one from --process.
 */
#include <fcntl.h>
#include "base/buf.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"
#include "handover.h"

enum { PROCESS_TEXT_MAX = 4 << 20 };

DEFINE_AUTO(struct container, container_close)
DEFINE_AUTO(struct container_process, container_process_close)

/* ids are decimal numbers; 2^32-1 means "no change" to the kernel */
static int parse_id(const char *text, size_t len, uint64_t *ret)
{
    autofree char *copy = strndup(text, len);

    return copy ? parse_u64(copy, 0, UINT32_MAX - 1, ret) : -ENOMEM;
}

static int set_user(json_t *process, const char *text, struct wharf_error *e)
{
    size_t len = strcspn(text, ":");
    json_t *user = json_object_get(process, "user");
    uint64_t uid, gid;

    if (parse_id(text, len, &uid) < 0 ||
        (text[len] && parse_id(text + len + 1, strlen(text + len + 1), &gid) < 0))
        return err_invalid(e, "--user: '%s' is not UID or UID:GID in numbers", text);
    if (!user && json_object_set_new(process, "user", user = json_pack("{s:i}", "gid", 0)) < 0)
        return err_nomem(e);
    json_object_set_new(user, "uid", json_new_u64(uid));
    if (text[len])
        json_object_set_new(user, "gid", json_new_u64(gid));
    return 0;
}

static int add_gids(json_t *process, const struct option_list *gids, struct wharf_error *e)
{
    json_t *user = json_object_get(process, "user"),
           *list = json_object_get(user, "additionalGids");

    if (gids->count > 0 && !list)
        json_object_set_new(user, "additionalGids", list = json_array());
    for (size_t i = 0; i < gids->count; i++) {
        uint64_t gid;

        if (parse_id(gids->items[i], strlen(gids->items[i]), &gid) < 0)
            return err_invalid(e, "--additional-gids: '%s' is not a number", gids->items[i]);
        json_array_append_new(list, json_new_u64(gid));
    }
    return 0;
}

/* Not inheritable, hence not ambient: CVE-2022-29162. */
static void add_caps(json_t *process, const struct option_list *caps)
{
    static const char *const sets[] = { "bounding", "effective", "permitted" };
    json_t *all = json_object_get(process, "capabilities");

    if (caps->count > 0 && !json_is_object(all))
        json_object_set_new(process, "capabilities", all = json_object());
    for (size_t s = 0; caps->count > 0 && s < ARRAY_SIZE(sets); s++) {
        json_t *set = json_object_get(all, sets[s]);

        if (!set)
            json_object_set_new(all, sets[s], set = json_array());
        for (size_t i = 0; i < caps->count; i++)
            json_array_append_new(set, json_string(caps->items[i]));
    }
}

static void set_text(json_t *process, const char *key, const char *value)
{
    if (value)
        json_object_set_new(process, key, json_string(value));
}

static int put_over(json_t *process, const struct options *o, struct wharf_error *e)
{
    json_t *args = json_array(), *env = json_object_get(process, "env");
    int r = o->user ? set_user(process, o->user, e) : 0;

    for (size_t i = 1; i < o->count; i++)
        json_array_append_new(args, json_string(o->args[i]));
    json_object_set_new(process, "args", args);
    if (!env)
        json_object_set_new(process, "env", env = json_array());
    for (size_t i = 0; i < o->env.count; i++)
        json_array_append_new(env, json_string(o->env.items[i]));
    if (json_array_size(args) != o->count - 1)
        return err_invalid(e, "an argument is not UTF-8");
    json_object_set_new(process, "terminal", json_boolean(o->tty));
    json_object_del(process, "consoleSize");
    set_text(process, "cwd", o->cwd);
    set_text(process, "selinuxLabel", o->process_label);
    set_text(process, "apparmorProfile", o->apparmor);
    if (o->no_new_privs)
        json_object_set_new(process, "noNewPrivileges", json_true());
    add_caps(process, &o->caps);
    return r < 0 ? r : add_gids(process, &o->additional_gids, e);
}

static const struct json_limits limits = { .size = PROCESS_TEXT_MAX, .depth = 64, .wide = true };

static int process_from_file(const struct options *o, json_t **ret, struct wharf_error *e)
{
    autofree char *text = NULL;
    ssize_t len = file_read(AT_FDCWD, o->process, PROCESS_TEXT_MAX, &text);

    if (len < 0)
        return err_code(e, (int)len, "cannot read '%s'", o->process);
    return json_read(text, (size_t)len, limits, o->process, ret, e);
}

static int process_from_container(struct container *c, const struct options *o, json_t **ret,
                                  struct wharf_error *e)
{
    autofree char *text = NULL;
    autojson json_t *config = NULL;
    json_t *process;
    int r;

    if (o->count < 2)
        return err_invalid(e, "no command, and no --process");
    r = container_config_json(c, &text, e);
    if (r == 0)
        r = json_read(text, strlen(text), limits, "config.json", &config, e);
    if (r < 0)
        return r;
    process = json_object_get(config, "process");
    if (!process)
        return err_invalid(e, "the container has no process in its config.json");
    r = put_over(process, o, e);
    if (r == 0)
        *ret = json_incref(process);
    return r;
}

/* Each --cgroup is a line of the library's option. */
static int choose_cgroup(const struct options *o, char **ret, struct wharf_error *e)
{
    autobuf struct buf lines = BUF(PROCESS_TEXT_MAX);

    if (o->cgroups.count == 0)
        return 0;
    for (size_t i = 0; i < o->cgroups.count; i++) {
        if (strchr(o->cgroups.items[i], '\n'))
            return err_invalid(e, "--cgroup: a path holds no line end");
        buf_printf(&lines, "%s%s", i > 0 ? "\n" : "", o->cgroups.items[i]);
    }
    *ret = lines.error ? NULL : strdup(lines.data);
    return *ret ? 0 : err_nomem(e);
}

static int start(struct container *c, json_t *process, const struct options *o,
                 struct container_process **ret, struct wharf_error *e)
{
    autofree char *text = json_write(process, JSON_COMPACT), *cgroup = NULL;
    bool terminal = json_is_true(json_object_get(process, "terminal"));
    struct handover h;
    int r = text ? handover_prepare(&h, o, e) : err_nomem(e);

    if (r < 0)
        return r;
    if (o->detach)
        h.start.flags |= CONTAINER_DETACH;
    r = handover_check_terminal(o, terminal, o->detach, e);
    if (r == 0)
        r = choose_cgroup(o, &cgroup, e);
    h.start.cgroup = cgroup;
    if (r == 0)
        r = container_exec(c, text, &h.start, ret, e);
    handover_done(&h);
    return r;
}

static int exec_in(struct container *c, const struct options *o, struct wharf_error *e)
{
    auto_of(container_process_close) struct container_process *process = NULL;
    autojson json_t *wanted = NULL;
    int r =
        o->process ? process_from_file(o, &wanted, e) : process_from_container(c, o, &wanted, e);

    if (r == 0)
        r = start(c, wanted, o, &process, e);
    if (r == 0)
        r = handover_write_pid(o, container_process_pid(process), e);
    if (r < 0 || o->detach)
        return r;
    return foreground(process, e);
}

int command_exec(struct container_engine *engine, const struct options *o, struct wharf_error *e)
{
    auto_of(container_close) struct container *c = NULL;
    int r = container_open(engine, o->args[0], &c, e);

    if (r == 0)
        r = exec_in(c, o, e);
    return r < 0 ? err_wrap(e, r, "exec failed") : r;
}
