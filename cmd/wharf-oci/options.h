/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole command line of wharf-oci: what it can be told (struct options), and the commands that
 * do it. Every option of every command stands in one table in options.c; so does its help.
 */
#ifndef WHARF_OCI_OPTIONS_H
#define WHARF_OCI_OPTIONS_H

#include "base/err.h"
#include "base/macros.h"
#include "container.h"

struct option_list {
    const char **items;
    size_t count;
};

/* The numbers of `update`, in the order of its table (update.c). */
enum { UPDATE_OPTIONS = 18 };

struct options {
    /* every command */
    const char *root, *log, *log_format, *log_level, *cgroup_manager, *rootless;
    bool debug, systemd_cgroup, help, version;
    /* create, run, restore, exec */
    const char *bundle, *config, *console_socket, *pidfd_socket, *pid_file, *preserve_fds;
    bool no_pivot, no_new_keyring, detach, keep;
    /* exec */
    const char *cwd, *user, *process, *process_label, *apparmor;
    struct option_list env, additional_gids, caps, cgroups;
    bool tty, no_new_privs, ignore_paused;
    /* kill, delete, ps, list, events, spec */
    bool all, regex, force, quiet, stats, rootless_spec;
    const char *format, *interval, *file;
    /* update */
    const char *resources, *update[UPDATE_OPTIONS];
    /* checkpoint, restore */
    const char *image_path, *work_path, *parent_path, *status_fd, *page_server, *manage_cgroups,
        *network_lock, *lsm_profile, *lsm_mount_context;
    struct option_list empty_ns;
    bool leave_running, tcp_established, tcp_close, tcp_skip_in_flight, link_remap, ext_unix_sk,
        shell_job, lazy_pages, file_locks, pre_dump, auto_dedup;
    /* what is left: the container's id, a signal, a command ... ; args[count] is NULL */
    char **args;
    size_t count;
};

struct command {
    const char *name, *arguments, *help;
    size_t least, most; /* how many arguments */
    bool in_order;      /* options end at the first argument: what follows is another program's */
    int failure;        /* exit status when it fails */
    int (*run)(struct container_engine *engine, const struct options *o, struct wharf_error *e);
};
extern const struct command commands[];

/* Takes argv apart. *ret_command is NULL where none is named. 0, or -EINVAL with a message that
 * names the option; *ret_exit is then the program's exit status. Lists point into memory that lives
 * as long as the program. */
int options_parse(char **argv, struct options *ret, const struct command **ret_command,
                  int *ret_exit, struct wharf_error *e);

/* Help on stdout: of one command, or of all (NULL). */
void options_help(const struct command *command);

/* The commands. >= 0: the exit status; < 0: failed, the reason in `e`. */
typedef int command_run(struct container_engine *, const struct options *, struct wharf_error *);
command_run command_create, command_run_container, command_start, command_restore; /* start.c */
command_run command_state, command_kill, command_delete, command_pause, command_resume; /* life.c */
command_run command_exec;                                                               /* exec.c */
command_run command_ps;                                                                 /* ps.c */
command_run command_list, command_events, command_spec, command_features;               /* show.c */
command_run command_update;     /* update.c */
command_run command_checkpoint; /* checkpoint.c */

/* A descriptor's number, a count: strict decimal. */
int option_number(const char *name, const char *text, unsigned max, unsigned *ret,
                  struct wharf_error *e);

/* checkpoint.c, for restore too. */
int checkpoint_options(const struct options *o, struct container_checkpoint_options *ret,
                       struct wharf_error *e);

#endif
