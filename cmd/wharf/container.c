/* SPDX-License-Identifier: Apache-2.0 */
/* The life of containers: exec, start, attach, stop, kill, pause, wait, rename, rm. */
#include <signal.h>
#include <stdio.h>
#include "base/str.h"
#include "cmd/wharf/cli.h"
#include "cmd/wharf/terminal.h"

int exec_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct exec_options *o = options;
    struct engine_exec exec = { .argv = (const char *const *)argv + 1,
                                .env = (const char *const *)o->env,
                                .user = o->user,
                                .working_dir = o->workdir,
                                .tty = o->tty,
                                .privileged = o->privileged,
                                .detach = o->detach };
    struct engine_streams streams;
    struct session *session = NULL;
    bool detached = false;

    if (o->tty && o->interactive && !o->detach && !isatty(STDIN_FILENO)) {
        err_invalid(&cli->e, "the input device is not a TTY");
        return cli_fail(cli);
    }
    int r = terminal_streams((bool[]){ o->interactive && !o->detach, true, true }, o->tty,
                             o->detach_keys, &streams, &cli->e);
    if (r == 0 && !o->detach && o->tty)
        terminal_hold(o->interactive);
    if (r == 0)
        r = engine_container_exec(cli->engine, cli->who, argv[0], &exec,
                                  o->detach ? NULL : &streams, o->detach ? NULL : &session,
                                  &cli->e);
    if (r < 0) {
        int code = wharf_error_exit(&cli->e);

        terminal_restore();
        cli_fail(cli);
        return code == 126 || code == 127 ? code : 1;
    }
    if (o->detach)
        return 0;
    int64_t code = terminal_session(session, o->tty, o->tty && o->interactive, false, &detached);
    return detached ? 0 : code < 0 ? 137 : (int)code;
}

static bool is_tty(struct cli *cli, const char *name)
{
    json_t *all = NULL;
    int tty = 0;

    if (engine_container_inspect(cli->engine, cli->who, name, false, &all, NULL) == 0)
        json_unpack(all, "{s:{s:b}}", "Config", "Tty", &tty);
    json_decref(all);
    return tty;
}

static int stay(struct cli *cli, const char *name, struct session *session, bool tty, bool raw)
{
    bool detached = false;
    int64_t settled, code = terminal_session(session, tty, raw, true, &detached);

    if (detached)
        return 0;
    if (engine_container_wait(cli->engine, cli->who, name, WAIT_NOT_RUNNING, &settled, NULL) == 0 &&
        code < 0)
        code = settled;
    return (int)code;
}

static int start_one(struct cli *cli, void *options, const char *name)
{
    int r = engine_container_start(cli->engine, cli->who, name, NULL, NULL, &cli->e);

    return r == -EALREADY ? 0 : r;
}

int start_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct start_options *o = options;
    struct engine_streams streams;
    struct session *session;

    if (!o->attach && !o->interactive)
        return cli_each(cli, argc, argv, start_one, o);
    bool tty = is_tty(cli, argv[0]);
    if (argc > 1) {
        err_invalid(&cli->e, "you cannot start and attach multiple containers at once");
        return cli_fail(cli);
    }
    if (terminal_streams((bool[]){ o->interactive, true, true }, tty, o->detach_keys, &streams,
                         &cli->e) < 0)
        return cli_fail(cli);
    terminal_hold(tty && o->interactive);
    if (engine_container_start(cli->engine, cli->who, argv[0], &streams, &session, &cli->e) < 0) {
        terminal_restore();
        return cli_fail(cli);
    }
    return stay(cli, argv[0], session, tty, tty && o->interactive);
}

int attach_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct start_options *o = options;
    struct engine_streams streams;
    struct session *session;
    bool tty = is_tty(cli, argv[0]);

    if (terminal_streams((bool[]){ true, true, true }, tty, o->detach_keys, &streams, &cli->e) < 0)
        return cli_fail(cli);
    terminal_hold(tty);
    if (engine_container_attach(cli->engine, cli->who, argv[0], &streams, &session, &cli->e) < 0) {
        terminal_restore();
        return cli_fail(cli);
    }
    return stay(cli, argv[0], session, tty, tty);
}

static int stop_one(struct cli *cli, void *options, const char *name)
{
    return engine_container_stop(cli->engine, cli->who, name, *(int64_t *)options, &cli->e);
}

int stop_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct stop_options *o = options;
    int64_t time = -2; /* the container's own habit */

    if (o->time && parse_i64(o->time, -1, INT32_MAX, &time) < 0) {
        err_invalid(&cli->e, "invalid argument \"%s\" for \"-t, --time\" flag", o->time);
        return cli_fail(cli);
    }
    return cli_each(cli, argc, argv, stop_one, &time);
}

static int kill_one(struct cli *cli, void *options, const char *name)
{
    return engine_container_kill(cli->engine, cli->who, name, *(int *)options, &cli->e);
}

int kill_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct kill_options *o = options;
    int signal = o->signal ? signal_parse(o->signal, &cli->e) : SIGKILL;

    return signal < 0 ? cli_fail(cli) : cli_each(cli, argc, argv, kill_one, &signal);
}

static int pause_one(struct cli *cli, void *options, const char *name)
{
    return engine_container_pause(cli->engine, cli->who, name, options != NULL, &cli->e);
}

int pause_command(struct cli *cli, void *options, int argc, char **argv)
{
    return cli_each(cli, argc, argv, pause_one, cli);
}

int unpause_command(struct cli *cli, void *options, int argc, char **argv)
{
    return cli_each(cli, argc, argv, pause_one, NULL);
}

static int rm_one(struct cli *cli, void *options, const char *name)
{
    struct rm_options *o = options;

    return engine_container_remove(cli->engine, cli->who, name, o->force, o->volumes, &cli->e);
}

int rm_command(struct cli *cli, void *options, int argc, char **argv)
{
    return cli_each(cli, argc, argv, rm_one, options);
}

int wait_command(struct cli *cli, void *options, int argc, char **argv)
{
    int result = 0;

    for (int i = 0; i < argc; i++) {
        int64_t code;

        if (engine_container_wait(cli->engine, cli->who, argv[i], WAIT_NOT_RUNNING, &code,
                                  &cli->e) < 0)
            result = cli_fail(cli);
        else
            printf("%lld\n", (long long)code);
    }
    return result;
}

int rename_command(struct cli *cli, void *options, int argc, char **argv)
{
    if (engine_container_rename(cli->engine, cli->who, argv[0], argv[1], &cli->e) < 0)
        return cli_fail(cli);
    return 0;
}
