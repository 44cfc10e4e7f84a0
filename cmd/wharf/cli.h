/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line as tables. A command is a row of commands.c: its words, its arguments, its flags
 * and its function. A flag is a row too: its spellings, its kind, and where its value goes in the
 * command's own struct. Parsing, help and errors follow from the rows, in docker's manner:
 * `--name=x`, `--name x`,
 * `-it`, `-e x`, `-ex`; flags anywhere, but for run and exec only before the first argument.
 */
#ifndef WHARF_CLI_H
#define WHARF_CLI_H

#include "engine/engine.h"

enum {                   /* what a shell sees */
       EXIT_USAGE = 125, /* of run; other commands: 1 */
       EXIT_WHARF = 125,
};

enum flag_kind {
    FLAG_BOOL,  /* bool */
    FLAG_STR,   /* const char *; the last one wins */
    FLAG_LIST,  /* char **: every one, in order (strv) */
    FLAG_INT,   /* int64_t */
    FLAG_SIZE,  /* int64_t: bytes, with a unit */
    FLAG_COUNT, /* int64_t: decimals in units of 10^-9 (--cpus) */
};

struct flag {
    const char *name; /* without "--"; NULL ends a list */
    char letter;      /* 0: none */
    enum flag_kind kind;
    size_t offset;
    const char *value; /* its word in help */
    const char *help;
};

struct cli { /* what a command gets */
    struct engine *engine;
    struct principal who;
    const struct command *command;
    struct wharf_error e;
};

struct command {
    const char *name;  /* as it is typed: "ps", "volume ls"; NULL ends the table */
    const char *group; /* "container": `wharf container run` means the same; NULL: none */
    const char *alias; /* in the group, such as `container ls` for ps; NULL: the name */
    const char *usage, *help;
    int min, max; /* arguments; max -1: any number */
    bool leading; /* flags end at the first argument */
    int failure;  /* exit code of wharf's own errors */
    const struct flag *flags;
    size_t size; /* of the struct that the flags fill */
    int (*run)(struct cli *cli, void *options, int argc, char **argv);
};

extern const struct command commands[];

/* Fills `options` (zeroed) from argv behind the command's words; the arguments are left in argv[0
 * .. *ret_argc). 0; 1: help was asked for; or -EINVAL. */
int cli_parse(const struct command *command, int argc, char **argv, void *options, int *ret_argc,
              struct wharf_error *e);
void cli_free_options(const struct command *command, void *options);

void cli_help(const struct command *command);
void cli_help_all(void);

/* Prints cli->e and gives the command's failure code. */
int cli_fail(struct cli *cli);
/* Calls `each` for every argument; prints the argument behind each success, an error for each
 * failure; 0 or 1 for the shell. */
int cli_each(struct cli *cli, int argc, char **argv,
             int (*each)(struct cli *cli, void *options, const char *name), void *options);

/* values.c */

/* "key=value" lists to pairs; a missing value is "". `separator` '=' or ':'. -ENOMEM */
int cli_pairs(char **list, char separator, struct arena *arena, field_pairs *ret);
/* "name=value" lists to {"name": ["value", ..]}. -EINVAL */
int cli_filters(char **list, json_t **ret, struct wharf_error *e);
char *cli_labels(json_t *labels); /* "a=b,c=d" */
bool cli_confirm(const char *warning);
/* What a prune command prints. */
void cli_pruned(const char *what, json_t *deleted, json_t *bytes);

/* commands, by noun */
int run_command(struct cli *cli, void *options, int argc, char **argv);
int create_command(struct cli *cli, void *options, int argc, char **argv);
int exec_command(struct cli *cli, void *options, int argc, char **argv);
int start_command(struct cli *cli, void *options, int argc, char **argv);
int attach_command(struct cli *cli, void *options, int argc, char **argv);
int ps_command(struct cli *cli, void *options, int argc, char **argv);
int logs_command(struct cli *cli, void *options, int argc, char **argv);
int stop_command(struct cli *cli, void *options, int argc, char **argv);
int kill_command(struct cli *cli, void *options, int argc, char **argv);
int rm_command(struct cli *cli, void *options, int argc, char **argv);
int wait_command(struct cli *cli, void *options, int argc, char **argv);
int pause_command(struct cli *cli, void *options, int argc, char **argv);
int unpause_command(struct cli *cli, void *options, int argc, char **argv);
int rename_command(struct cli *cli, void *options, int argc, char **argv);
int inspect_command(struct cli *cli, void *options, int argc, char **argv);
int images_command(struct cli *cli, void *options, int argc, char **argv);
int load_command(struct cli *cli, void *options, int argc, char **argv);
int import_command(struct cli *cli, void *options, int argc, char **argv);
int rmi_command(struct cli *cli, void *options, int argc, char **argv);
int tag_command(struct cli *cli, void *options, int argc, char **argv);
int volume_ls_command(struct cli *cli, void *options, int argc, char **argv);
int volume_create_command(struct cli *cli, void *options, int argc, char **argv);
int volume_rm_command(struct cli *cli, void *options, int argc, char **argv);
int volume_inspect_command(struct cli *cli, void *options, int argc, char **argv);
int volume_prune_command(struct cli *cli, void *options, int argc, char **argv);
int pull_command(struct cli *cli, void *options, int argc, char **argv);
int push_command(struct cli *cli, void *options, int argc, char **argv);
int copy_command(struct cli *cli, void *options, int argc, char **argv);
int save_command(struct cli *cli, void *options, int argc, char **argv);
int history_command(struct cli *cli, void *options, int argc, char **argv);
int image_inspect_command(struct cli *cli, void *options, int argc, char **argv);
int image_prune_command(struct cli *cli, void *options, int argc, char **argv);
int image_tree_command(struct cli *cli, void *options, int argc, char **argv);
int login_command(struct cli *cli, void *options, int argc, char **argv);
int logout_command(struct cli *cli, void *options, int argc, char **argv);
int registry_serve_command(struct cli *cli, void *options, int argc, char **argv);
int network_ls_command(struct cli *cli, void *options, int argc, char **argv);
int network_create_command(struct cli *cli, void *options, int argc, char **argv);
int network_rm_command(struct cli *cli, void *options, int argc, char **argv);
int network_inspect_command(struct cli *cli, void *options, int argc, char **argv);
int network_connect_command(struct cli *cli, void *options, int argc, char **argv);
int network_disconnect_command(struct cli *cli, void *options, int argc, char **argv);
int network_prune_command(struct cli *cli, void *options, int argc, char **argv);
int top_command(struct cli *cli, void *options, int argc, char **argv);
int stats_command(struct cli *cli, void *options, int argc, char **argv);
int diff_command(struct cli *cli, void *options, int argc, char **argv);
int update_command(struct cli *cli, void *options, int argc, char **argv);
int restart_command(struct cli *cli, void *options, int argc, char **argv);
int container_prune_command(struct cli *cli, void *options, int argc, char **argv);
int df_command(struct cli *cli, void *options, int argc, char **argv);
int export_command(struct cli *cli, void *options, int argc, char **argv);
int commit_command(struct cli *cli, void *options, int argc, char **argv);
int cp_command(struct cli *cli, void *options, int argc, char **argv);
int build_command(struct cli *cli, void *options, int argc, char **argv);
int build_prune_command(struct cli *cli, void *options, int argc, char **argv);
int version_command(struct cli *cli, void *options, int argc, char **argv);
int info_command(struct cli *cli, void *options, int argc, char **argv);

/* their options */
struct run_options {
    bool interactive, tty, detach, rm, read_only, privileged, quiet, init;
    char **env, **env_file, **volumes, **cap_add, **cap_drop, **security, **labels, **tmpfs,
        **ulimits;
    char **volumes_from, **device_rules, **dns_search, **dns_options, **annotations;
    const char *volume_driver, *uts, *cgroupns, *cpuset_mems, *domainname;
    int64_t memory_reservation, memory_swappiness, cpu_period, cpu_quota, blkio_weight;
    bool oom_kill_disable;
    const char *restart, *health_cmd, *health_interval, *health_timeout, *health_start_period,
        *health_start_interval;
    int64_t health_retries;
    bool no_health;
    char **add_hosts, **dns, **group_add, **log_options, **sysctls, **mounts, **attach, **devices,
        **channels;
    const char *workdir, *user, *name, *hostname, *entrypoint, *stop_signal, *userns, *pid, *ipc,
        *pull, *platform;
    char **networks, **network_aliases, **publish, **expose, **links;
    const char *ip, *ip6, *mac;
    bool publish_all;
    const char *cgroup_parent, *cidfile, *log_driver, *detach_keys, *cpuset;
    int64_t memory, memory_swap, cpus, cpu_shares, pids, stop_timeout, shm_size, oom_score_adj;
};
struct exec_options {
    bool interactive, tty, detach, privileged;
    char **env;
    const char *workdir, *user, *detach_keys;
};
struct start_options {
    bool attach, interactive;
    const char *detach_keys;
};
struct ps_options {
    bool all, quiet, no_trunc, latest, size;
    char **filters;
    const char *format;
    int64_t last;
};
struct logs_options {
    bool follow, timestamps;
    const char *tail, *since, *until;
};
struct stop_options {
    const char *time;
};
struct kill_options {
    const char *signal;
};
struct rm_options {
    bool force, volumes;
};
struct inspect_options {
    bool size;
    const char *format, *type;
};
struct images_options {
    bool all, quiet, no_trunc, digests, tree;
    char **filters;
    const char *format;
};
struct load_options {
    const char *input;
    bool quiet;
};
struct import_options {
    char **changes;
    const char *message;
};
struct build_command_options {
    char **tags, **build_args, **labels, **secrets, **ssh, **contexts, **add_hosts;
    const char *file, *target, *network, *iidfile, *progress, *platform;
    int64_t shm_size, memory;
    bool no_cache, pull, quiet, rm, force_rm;
};
struct build_prune_command_options {
    bool all, force;
    int64_t keep;
};
struct rmi_options {
    bool force;
};
struct volume_create_options {
    const char *driver;
    char **labels, **options;
};
struct network_create_options {
    const char *driver, *ipam_driver;
    bool internal, attachable, ipv6;
    char **subnets, **ranges, **gateways, **auxiliary, **labels, **options;
};
struct network_connect_options {
    const char *ip, *ip6;
    char **aliases, **links;
};
struct list_options { /* of volume ls and what is like it */
    bool quiet, no_trunc;
    char **filters;
    const char *format;
};
struct registry_options { /* pull, push, image copy */
    bool quiet, all_tags;
    char **insecure, **mirrors;
    const char *platform, *ca_file;
};
struct save_options {
    const char *output;
};
struct history_options {
    bool quiet, no_trunc, human;
    const char *format;
};
struct prune_options {
    bool all, force;
    char **filters;
};
struct login_options {
    const char *username, *password, *ca_file;
    bool password_stdin;
    char **insecure;
};
struct serve_options {
    const char *address, *root, *certificate, *key, *users;
    bool read_only;
};
struct stats_options {
    bool all, no_stream, no_trunc;
    const char *format;
};
struct update_options {
    const char *cpuset, *cpuset_mems, *restart;
    int64_t memory, memory_swap, memory_reservation, cpus, cpu_shares, cpu_period, cpu_quota;
    int64_t blkio_weight, pids;
};
struct save_file_options {
    const char *output;
};
struct commit_options {
    const char *author, *message;
    char **changes;
    bool no_pause;
};
struct cp_options {
    bool archive, quiet;
};
struct version_options {
    const char *format;
};

#endif
