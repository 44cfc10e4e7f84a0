/* SPDX-License-Identifier: Apache-2.0 */
/* state, kill, delete, pause, resume: what is done to a container that exists. */
#include <regex.h>
#include <signal.h>
#include <strings.h>
#include "base/json.h"
#include "base/str.h"
#include "options.h"

DEFINE_AUTO(struct container, container_close)

typedef int container_action(struct container *c, const struct options *o, int signal,
                             struct wharf_error *e);

static int with_container(struct container_engine *engine, const char *id, const struct options *o,
                          int signal, container_action *action, struct wharf_error *e)
{
    auto_of(container_close) struct container *c = NULL;
    int r = container_open(engine, id, &c, e);

    return r < 0 ? r : action(c, o, signal, e);
}

/* ---- by regular expression ---- */

struct matches {
    regex_t regex;
    char **ids;
    int error;
};

static int add_match(void *user, const char *id)
{
    struct matches *m = user;

    if (regexec(&m->regex, id, 0, NULL, 0) == 0)
        m->error = strv_add(&m->ids, id);
    return m->error;
}

/* Every container whose id matches; the ids are collected first, since the action removes some. */
static int with_matching(struct container_engine *engine, const struct options *o, int signal,
                         container_action *action, struct wharf_error *e)
{
    struct matches m = { 0 };
    int r;

    if (regcomp(&m.regex, o->args[0], REG_EXTENDED | REG_NOSUB) != 0)
        return err_invalid(e, "'%s' is not a regular expression", o->args[0]);
    r = container_engine_list(engine, add_match, &m, e);
    for (size_t i = 0; r == 0 && m.ids && m.ids[i]; i++)
        r = with_container(engine, m.ids[i], o, signal, action, e);
    regfree(&m.regex);
    strv_free(m.ids);
    return r;
}

/* ---- kill ---- */

/* A number, "KILL" or "SIGKILL" in any case, "RTMIN+3". */
static int parse_signal(const char *text, int *ret, struct wharf_error *e)
{
    const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
    uint64_t number;

    if (parse_u64(text, 0, 64, &number) == 0) {
        *ret = (int)number;
        return 0;
    }
    if (strncasecmp(name, "RTMIN+", 6) == 0 && parse_u64(name + 6, 0, 30, &number) == 0) {
        *ret = SIGRTMIN + (int)number;
        return 0;
    }
    for (int s = 1; s < NSIG; s++) {
        const char *known = sigabbrev_np(s);

        if (known && strcasecmp(known, name) == 0) {
            *ret = s;
            return 0;
        }
    }
    return err_invalid(e, "unknown signal '%s'", text);
}

static int kill_one(struct container *c, const struct options *o, int signal, struct wharf_error *e)
{
    int r = container_kill(c, signal, o->all, e);

    /* runc: the hidden --all of a stopped container is no error */
    return r == -ESRCH && o->all ? 0 : r;
}

int command_kill(struct container_engine *engine, const struct options *o, struct wharf_error *e)
{
    int signal = SIGTERM, r = parse_signal(o->count > 1 ? o->args[1] : "TERM", &signal, e);

    if (r < 0)
        return r;
    if (o->regex)
        return with_matching(engine, o, signal, kill_one, e);
    return with_container(engine, o->args[0], o, signal, kill_one, e);
}

/* ---- delete ---- */

static int delete_one(struct container *c, const struct options *o, int signal,
                      struct wharf_error *e)
{
    return container_delete(c, o->force, e);
}

int command_delete(struct container_engine *engine, const struct options *o, struct wharf_error *e)
{
    int r;

    if (o->regex)
        return with_matching(engine, o, 0, delete_one, e);
    r = with_container(engine, o->args[0], o, 0, delete_one, e);
    /* never finished, or damaged */
    if (r < 0 && o->force)
        return container_engine_forget(engine, o->args[0], e);
    return r;
}

/* ---- state, pause, resume ---- */

static int print_state(struct container *c, const struct options *o, int signal,
                       struct wharf_error *e)
{
    autofree char *text = NULL, *pretty = NULL;
    autojson json_t *tree = NULL;
    int r = container_state_json(c, &text, e);

    if (r == 0)
        r = json_read(text, strlen(text), JSON_LIMITS, "state", &tree, e);
    if (r < 0)
        return r;
    pretty = json_write(tree, JSON_INDENT(2));
    if (!pretty)
        return err_nomem(e);
    puts(pretty);
    return 0;
}

int command_state(struct container_engine *engine, const struct options *o, struct wharf_error *e)
{
    return with_container(engine, o->args[0], o, 0, print_state, e);
}

static int pause_one(struct container *c, const struct options *o, int signal,
                     struct wharf_error *e)
{
    return container_pause(c, e);
}

int command_pause(struct container_engine *engine, const struct options *o, struct wharf_error *e)
{
    return with_container(engine, o->args[0], o, 0, pause_one, e);
}

static int resume_one(struct container *c, const struct options *o, int signal,
                      struct wharf_error *e)
{
    return container_resume(c, e);
}

int command_resume(struct container_engine *engine, const struct options *o, struct wharf_error *e)
{
    return with_container(engine, o->args[0], o, 0, resume_one, e);
}
