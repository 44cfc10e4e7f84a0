/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wharf-oci: an OCI runtime command over libcontainer. It takes what runc and crun take and answers
 * as runc does (docs/wharf-oci.md). Here: the command line is parsed, an engine opened, a command
 * called, its failure told. Nothing here looks up a name, reads a time zone or loads a library.
 */
#include "log.h"
#include "options.h"

#include "base/str.h"

static int print_version(void)
{
    /* podman and docker read the first line; the spec version is the one of `features` */
    printf("wharf-oci version " WHARF_VERSION "\nspec: 1.3.0\n");
    return 0;
}

static int choose_cgroups(const struct options *o, enum container_cgroups *ret,
                          struct wharf_error *e)
{
    const char *manager = o->cgroup_manager ? o->cgroup_manager : "cgroupfs";

    if (o->systemd_cgroup || streq(manager, "systemd"))
        *ret = CONTAINER_CGROUPS_SYSTEMD;
    else if (streq(manager, "disabled"))
        *ret = CONTAINER_CGROUPS_NONE;
    else if (streq(manager, "cgroupfs"))
        *ret = CONTAINER_CGROUPS_FILES;
    else
        return err_invalid(e, "--cgroup-manager: '%s' is not cgroupfs, systemd or disabled",
                           manager);
    return 0;
}

static int choose_rootless(const struct options *o, int *ret, struct wharf_error *e)
{
    const char *when = o->rootless ? o->rootless : "auto";

    if (streq(when, "auto"))
        *ret = -1;
    else if (streq(when, "true") || streq(when, "1"))
        *ret = 1;
    else if (streq(when, "false") || streq(when, "0"))
        *ret = 0;
    else
        return err_invalid(e, "--rootless: '%s' is not true, false or auto", when);
    return 0;
}

static int run_command(const struct command *command, const struct options *o, struct log *log,
                       struct wharf_error *e)
{
    struct container_engine_options options = { .size = sizeof(options), .log = log_line };
    struct container_engine *engine = NULL;
    int r = choose_cgroups(o, &options.cgroups, e);

    if (r == 0)
        r = choose_rootless(o, &options.rootless, e);
    options.root = o->root;
    options.user = log;
    if (r == 0)
        r = container_engine_open(&engine, &options, e);
    if (r == 0)
        r = command->run(engine, o, e);
    container_engine_close(engine);
    return r;
}

int main(int argc, char **argv)
{
    const struct command *command = NULL;
    struct log log = { .fd = STDERR_FILENO };
    struct wharf_error e = { 0 };
    struct options o = { 0 };
    int status = 1, r;

    (void)argc;
    r = options_parse(argv, &o, &command, &status, &e);
    if (r == 0 && o.version)
        return print_version();
    if (r == 0 && (o.help || !command)) {
        options_help(command);
        return 0;
    }
    if (r == 0)
        r = log_open(&log, &o, &e);
    if (r == 0) {
        r = run_command(command, &o, &log, &e);
        status = command->failure;
    }
    if (r >= 0)
        return r;
    log_line(&log, CONTAINER_LOG_ERROR, e.message);
    return status;
}
