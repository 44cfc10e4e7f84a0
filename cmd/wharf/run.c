/* SPDX-License-Identifier: Apache-2.0 */
/* wharf run, create: flags become the settings of a container; run then starts it and stays with
 * it. */
#include <fcntl.h>
#include <stdio.h>
#include "base/fd.h"
#include "base/str.h"
#include "cmd/wharf/cli.h"
#include "cmd/wharf/mount.h"
#include "cmd/wharf/publish.h"
#include "cmd/wharf/terminal.h"
#include "cmd/wharf/transfer.h"

#define ENV_FILE_MAX (1u << 20)
#define PROFILE_MAX  (1u << 20)

extern char **environ;

static field_strings strings(char **list)
{
    return (field_strings){ list, list ? strv_count((const char *const *)list) : 0 };
}

/* "NAME" takes its value from this program's own environment, as docker does. */
static int add_env(char ***list, const char *entry)
{
    const char *value = strchr(entry, '=') ? NULL : getenv(entry);
    autofree char *both = value ? str_format("%s=%s", entry, value) : NULL;

    return strv_add(list, both ? both : entry);
}

static int read_env_file(const char *path, char ***list, struct wharf_error *e)
{
    autofree char *text = NULL;
    ssize_t n = file_read(AT_FDCWD, path, ENV_FILE_MAX, &text);

    if (n < 0)
        return err_code(e, (int)n, "open %s", path);
    for (char *line = text, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        line += strspn(line, " \t");
        if (*line && *line != '#' && add_env(list, line) < 0)
            return err_nomem(e);
    }
    return 0;
}

static int make_env(const struct run_options *o, char ***ret, struct wharf_error *e)
{
    int r = 0;

    for (char **f = o->env_file; r == 0 && f && *f; f++)
        r = read_env_file(*f, ret, e);
    for (char **v = o->env; r == 0 && v && *v; v++)
        r = add_env(ret, *v);
    return r;
}

static int ulimits(char **list, struct arena *arena, struct settings_host *host,
                   struct wharf_error *e)
{
    size_t count = list ? strv_count((const char *const *)list) : 0;

    host->ulimits.items = arena_array(arena, count ? count : 1, sizeof(*host->ulimits.items));
    for (size_t i = 0; i < count; i++) {
        struct settings_ulimit *u = &host->ulimits.items[i];
        char *copy = arena_str(arena, list[i]), *soft = copy ? strchr(copy, '=') : NULL;

        if (soft)
            *soft++ = '\0';
        char *hard = soft ? strchr(soft, ':') : NULL;
        if (hard)
            *hard++ = '\0';
        if (!soft || parse_i64(soft, -1, INT64_MAX, &u->soft) < 0 ||
            parse_i64(hard ? hard : soft, -1, INT64_MAX, &u->hard) < 0)
            return err_invalid(e, "invalid argument \"%s\" for \"--ulimit\" flag", list[i]);
        u->name = copy;
        host->ulimits.count++;
    }
    return 0;
}

static bool is_access(const char *text)
{
    return *text && !text[strspn(text, "rwm")];
}

/* HOST[:INSIDE][:ACCESS]; a second part of r, w and m alone is the access. */
static int devices(char **list, struct arena *arena, struct settings_host *host,
                   struct wharf_error *e)
{
    size_t count = list ? strv_count((const char *const *)list) : 0;

    host->devices.items = arena_array(arena, count ? count : 1, sizeof(*host->devices.items));
    if (!host->devices.items)
        return err_nomem(e);
    for (size_t i = 0; i < count; i++) {
        struct settings_device *d = &host->devices.items[i];
        char *part[3] = { arena_str(arena, list[i]), NULL, NULL };

        for (int n = 1; n < 3 && part[n - 1]; n++) {
            part[n] = strchr(part[n - 1], ':');
            if (part[n])
                *part[n]++ = '\0';
        }
        if (!part[0])
            return err_nomem(e);
        bool two = part[1] && !part[2] && is_access(part[1]);
        *d = (struct settings_device){ part[0], two ? NULL : part[1], two ? part[1] : part[2] };
        host->devices.count++;
    }
    return 0;
}

/* seccomp=FILE becomes seccomp=JSON: the engine may not see this program's files. */
static int security_options(char **list, char ***ret, struct wharf_error *e)
{
    for (; list && *list; list++) {
        const char *file = str_after(*list, "seccomp=");
        autofree char *text = NULL, *option = NULL;

        if (file && !streq(file, "unconfined") && !streq(file, "builtin") && file[0] != '{') {
            ssize_t n = file_read(AT_FDCWD, file, PROFILE_MAX, &text);
            if (n < 0)
                return err_code(e, (int)n, "opening seccomp profile (%s) failed", file);
            option = str_format("seccomp=%s", text);
        }
        if (strv_add(ret, option ? option : *list) < 0)
            return err_nomem(e);
    }
    return 0;
}

/* What the flags' lists become; freed when the command ends. */
struct lists {
    char **env, **binds, **volumes, **security;
};
static void lists_done(struct lists *l)
{
    strv_free(l->env);
    strv_free(l->binds);
    strv_free(l->volumes);
    strv_free(l->security);
}

static int make_lists(const struct run_options *o, struct lists *l, struct wharf_error *e)
{
    int r = make_env(o, &l->env, e);

    /* without a source it is the container's own volume */
    for (char **v = o->volumes; r == 0 && v && *v; v++)
        r = strv_add(strchr(*v, ':') ? &l->binds : &l->volumes, *v);
    return r == 0 ? security_options(o->security, &l->security, e) : r;
}

/* "on-failure:3" */
static int restart_flag(const char *text, struct arena *arena, struct settings_restart *ret,
                        struct wharf_error *e)
{
    char *name = arena_str(arena, text ? text : ""), *count = name ? strchr(name, ':') : NULL;

    if (!name)
        return err_nomem(e);
    if (count)
        *count++ = '\0';
    ret->name = name;
    return !count || parse_i64(count, 0, INT32_MAX, &ret->maximum_retries) == 0
               ? 0
               : err_invalid(e, "invalid restart policy: maximum retry count must be an integer");
}

/* "1.5s" is more than a flag of ours needs: a whole number and one unit. */
static int time_flag(const char *text, int64_t *ret_ns, struct wharf_error *e)
{
    static const struct {
        const char *unit;
        int64_t ns;
    } units[] = {
        { "ms", 1000000 }, { "s", 1000000000 }, { "m", 60000000000 }, { "h", 3600000000000 }
    };
    char digits[16];
    int64_t number;

    if (!text)
        return 0;
    size_t n = strspn(text, "0123456789");
    snprintf(digits, sizeof(digits), "%.*s", (int)n, text);
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (streq(text + n, units[i].unit) && parse_i64(digits, 0, 1000000, &number) == 0) {
            *ret_ns = number * units[i].ns;
            return 0;
        }
    }
    return err_invalid(e, "invalid time '%s': give a number and ms, s, m or h, such as 30s", text);
}

static int health_flags(const struct run_options *o, struct arena *arena, struct settings *s,
                        struct wharf_error *e)
{
    static char none[] = "NONE", shell[] = "CMD-SHELL";
    char **test = arena_array(arena, 2, sizeof(*test));
    struct settings_health *h = arena_alloc(arena, sizeof(*h));

    if (!test || !h)
        return err_nomem(e);
    if (!o->health_cmd && !o->no_health && !o->health_interval && !o->health_timeout &&
        !o->health_start_period && !o->health_start_interval && !o->health_retries)
        return 0;
    test[0] = o->no_health ? none : shell;
    test[1] = (char *)o->health_cmd;
    if (o->no_health || o->health_cmd)
        h->test = (field_strings){ test, o->no_health ? 1 : 2 };
    h->retries = o->health_retries;
    s->health = h;
    int r = time_flag(o->health_interval, &h->interval, e);
    if (r == 0)
        r = time_flag(o->health_timeout, &h->timeout, e);
    if (r == 0)
        r = time_flag(o->health_start_period, &h->start_period, e);
    return r == 0 ? time_flag(o->health_start_interval, &h->start_interval, e) : r;
}

static int host_settings(const struct run_options *o, const struct lists *l, struct arena *arena,
                         struct settings_host *h, struct wharf_error *e)
{
    *h = (struct settings_host){
        .memory = o->memory,
        .memory_swap = o->memory_swap,
        .nano_cpus = o->cpus,
        .memory_reservation = o->memory_reservation,
        .memory_swappiness = { o->memory_swappiness != 0, o->memory_swappiness },
        .oom_kill_disable = { o->oom_kill_disable, o->oom_kill_disable },
        .cpu_shares = o->cpu_shares,
        .cpu_period = o->cpu_period,
        .cpu_quota = o->cpu_quota,
        .cpuset_mems = (char *)o->cpuset_mems,
        .blkio_weight = o->blkio_weight,
        .device_cgroup_rules = strings(o->device_rules),
        .cpuset_cpus = (char *)o->cpuset,
        .pids_limit = { o->pids != 0, o->pids },
        .cgroup_parent = (char *)o->cgroup_parent,
        .oom_score_adj = o->oom_score_adj,
        .shm_size = o->shm_size,
        .privileged = o->privileged,
        .init = { o->init, o->init },
        .readonly_rootfs = o->read_only,
        .auto_remove = o->rm,
        .cap_add = strings(o->cap_add),
        .cap_drop = strings(o->cap_drop),
        .security_opt = strings(l->security),
        .group_add = strings(o->group_add),
        .dns = strings(o->dns),
        .extra_hosts = strings(o->add_hosts),
        .binds = strings(l->binds),
        .volumes_from = strings(o->volumes_from),
        .volume_driver = (char *)o->volume_driver,
        .channels = strings(o->channels),
        .userns_mode = (char *)o->userns,
        .pid_mode = (char *)o->pid,
        .ipc_mode = (char *)o->ipc,
        .uts_mode = (char *)o->uts,
        .cgroupns_mode = (char *)o->cgroupns,
        .dns_search = strings(o->dns_search),
        .dns_options = strings(o->dns_options),
    };
    h->log = arena_alloc(arena, sizeof(*h->log));
    if (!h->log || cli_pairs(o->log_options, '=', arena, &h->log->options) < 0 ||
        cli_pairs(o->tmpfs, ':', arena, &h->tmpfs) < 0 ||
        cli_pairs(o->sysctls, '=', arena, &h->sysctls) < 0 ||
        cli_pairs(o->annotations, '=', arena, &h->annotations) < 0)
        return err_nomem(e);
    h->log->type = (char *)(o->log_driver ? o->log_driver : "json-file");
    int r = restart_flag(o->restart, arena, &h->restart, e);
    if (r == 0)
        r = devices(o->devices, arena, h, e);
    if (r == 0)
        r = mount_flags(o->mounts, arena, h, e);
    return r < 0 ? r : ulimits(o->ulimits, arena, h, e);
}

/* Which streams are attached: those of -a, or output, and with -i input. */
static int attached(const struct run_options *o, bool ret[3], struct wharf_error *e)
{
    static const char *const names[] = { "stdin", "stdout", "stderr" };
    bool all = !o->attach && !o->detach;

    if (o->attach && o->detach)
        return err_invalid(e, "Conflicting options: -a and -d");
    ret[0] = all && o->interactive;
    ret[1] = ret[2] = all;
    for (char **a = o->attach; a && *a; a++) {
        size_t i = 0;

        while (i < ARRAY_SIZE(names) && strcasecmp(*a, names[i]) != 0)
            i++;
        if (i == ARRAY_SIZE(names))
            return err_invalid(e,
                               "invalid argument \"%s\" for \"-a, --attach\" flag: valid streams "
                               "are STDIN, STDOUT and STDERR",
                               *a);
        ret[i] = true;
    }
    if (ret[0] && !o->interactive)
        return err_invalid(e, "-a stdin needs -i: without it the container has no stdin");
    return 0;
}

static int make_settings(const struct run_options *o, int argc, char **argv, const struct lists *l,
                         struct arena *arena, struct settings *s, struct wharf_error *e)
{
    char **entry = arena_array(arena, 1, sizeof(*entry));
    bool streams[3];
    int r = attached(o, streams, e);

    if (r < 0)
        return r;

    *s = (struct settings){
        .hostname = (char *)o->hostname,
        .domainname = (char *)o->domainname,
        .user = (char *)o->user,
        .image = argv[0],
        .working_dir = (char *)o->workdir,
        .stop_signal = (char *)o->stop_signal,
        .attach_stdin = streams[0],
        .attach_stdout = streams[1],
        .attach_stderr = streams[2],
        .tty = o->tty,
        .open_stdin = o->interactive,
        .stdin_once = o->interactive && streams[0],
        .env = strings(l->env),
        .cmd = { argv + 1, (size_t)argc - 1 },
        .volumes = strings(l->volumes),
        .stop_timeout = { o->stop_timeout != 0, o->stop_timeout },
        .host = arena_alloc(arena, sizeof(*s->host)),
    };
    if (!entry || !s->host || cli_pairs(o->labels, '=', arena, &s->labels) < 0)
        return err_nomem(e);
    if (o->entrypoint) {
        entry[0] = (char *)o->entrypoint;
        s->entrypoint = (field_strings){ entry, 1 };
    }
    r = health_flags(o, arena, s, e);
    if (r == 0)
        r = host_settings(o, l, arena, s->host, e);
    return r < 0 ? r : network_flags(o, arena, s, e);
}

static int create_once(struct cli *cli, const struct run_options *o, int argc, char **argv,
                       char *ret_id)
{
    auto_of(arena_free) struct arena *arena = arena_new(SETTINGS_ARENA_MAX);
    __attribute__((cleanup(lists_done))) struct lists lists = { 0 };
    struct settings settings;

    if (!arena)
        return err_nomem(&cli->e);
    int r = make_lists(o, &lists, &cli->e);
    if (r == 0)
        r = make_settings(o, argc, argv, &lists, arena, &settings, &cli->e);
    if (r == 0)
        r = engine_container_create(cli->engine, cli->who, o->name, &settings, ret_id, &cli->e);
    if (r == 0 && o->cidfile) {
        r = file_replace(AT_FDCWD, o->cidfile, ret_id, ID_LENGTH, 0644, false);
        if (r < 0)
            err_code(&cli->e, r, "cannot write '%s'", o->cidfile);
    }
    return r;
}

static int pull_first(struct cli *cli, const struct run_options *o, const char *image)
{
    struct registry_options registry = { .quiet = o->quiet, .platform = o->platform };

    cli->e = (struct wharf_error){ 0 };
    return pull_image(cli, &registry, image, stderr);
}

/* An image that is not here is pulled, as docker does: progress goes to stderr. */
static int create(struct cli *cli, const struct run_options *o, int argc, char **argv, char *ret_id)
{
    const char *when = o->pull ? o->pull : "missing";
    int r = 0;

    if (!streq(when, "missing") && !streq(when, "always") && !streq(when, "never"))
        return err_invalid(&cli->e,
                           "invalid pull option: '%.50s': must be one of \"always\", "
                           "\"missing\" or \"never\"",
                           when);
    if (streq(when, "always"))
        r = pull_first(cli, o, argv[0]);
    if (r == 0)
        r = create_once(cli, o, argc, argv, ret_id);
    if (r != -ENOENT || !streq(when, "missing") || !str_after(cli->e.message, "No such image: "))
        return r;
    fprintf(stderr, "Unable to find image '%s' locally\n",
            str_after(cli->e.message, "No such image: "));
    r = pull_first(cli, o, argv[0]);
    return r < 0 ? r : create_once(cli, o, argc, argv, ret_id);
}

int create_command(struct cli *cli, void *options, int argc, char **argv)
{
    char id[ID_LENGTH + 1];

    if (create(cli, options, argc, argv, id) < 0)
        return cli_fail(cli);
    printf("%s\n", id);
    return 0;
}

/* 125, or 126 and 127 for a program that cannot be run or found. */
static int run_failed(struct cli *cli)
{
    int code = wharf_error_exit(&cli->e);

    terminal_restore();
    fprintf(stderr, "wharf: %s\n\nRun 'wharf run --help' for more information\n", cli->e.message);
    return code == 126 || code == 127 ? code : EXIT_WHARF;
}

/* Beside the streams' terminal, the record of a container that has ended is settled here, so that
 * the next command finds nothing to repair. */
static int end_of_run(struct cli *cli, const char *id, int64_t code)
{
    int64_t settled;
    int r = engine_container_wait(cli->engine, cli->who, id, WAIT_NOT_RUNNING, &settled, NULL);

    return (int)(code >= 0 ? code : r == 0 ? settled : EXIT_WHARF);
}

int run_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct run_options *o = options;
    struct engine_streams streams;
    struct session *session = NULL;
    char id[ID_LENGTH + 1];
    bool wanted[3];

    if (o->tty && o->interactive && !o->detach && !isatty(STDIN_FILENO)) {
        err_invalid(&cli->e, "the input device is not a TTY");
        return run_failed(cli);
    }
    if (attached(o, wanted, &cli->e) < 0 ||
        terminal_streams(wanted, o->tty, o->detach_keys, &streams, &cli->e) < 0 ||
        create(cli, o, argc, argv, id) < 0)
        return run_failed(cli);
    if (!o->detach && !wanted[1] && !wanted[2]) {
        printf("%s\n", id);
        fflush(stdout);
    }
    if (!o->detach)
        terminal_hold(o->tty && o->interactive);
    int r = engine_container_start(cli->engine, cli->who, id, o->detach ? NULL : &streams,
                                   o->detach ? NULL : &session, &cli->e);
    if (r < 0)
        return run_failed(cli);
    if (o->detach) {
        printf("%s\n", id);
        return 0;
    }
    bool detached = false;
    int64_t code = terminal_session(session, o->tty, o->tty && o->interactive, true, &detached);
    return detached ? 0 : end_of_run(cli, id, code);
}
