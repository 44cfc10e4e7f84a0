/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line, whole: the commands, and under them every option with the commands that take
 * it. It is the union of runc's and crun's, so that what drives either can drive this.
 */
#include "options.h"

#include "base/buf.h"
#include "base/str.h"

const struct command commands[] = {
    /* name, arguments, help, least, most, in order, exit status on failure, function */
    { "create", "ID", "make a container; its program waits for start", 1, 1, false, 1,
      command_create },
    { "run", "ID", "create and start a container, wait for its end", 1, 1, false, 1,
      command_run_container },
    { "start", "ID", "let a created container's program begin", 1, 1, false, 1, command_start },
    { "exec", "ID COMMAND [ARG...]", "run one more process in a container", 1, SIZE_MAX, true, 255,
      command_exec },
    { "state", "ID", "print the state of a container", 1, 1, false, 1, command_state },
    { "kill", "ID [SIGNAL]", "signal a container's first process (TERM)", 1, 2, false, 1,
      command_kill },
    { "delete", "ID", "remove a stopped container and what it held", 1, 1, false, 1,
      command_delete },
    { "ps", "ID [PS OPTIONS]", "list the processes of a container", 1, SIZE_MAX, true, 1,
      command_ps },
    { "list", "", "list containers", 0, 0, false, 1, command_list },
    { "pause", "ID", "stop all processes of a container for a while", 1, 1, false, 1,
      command_pause },
    { "resume", "ID", "let them go on", 1, 1, false, 1, command_resume },
    { "update", "ID", "change the limits of a container", 1, 1, false, 1, command_update },
    { "events", "ID", "print statistics and events, a JSON object a line", 1, 1, false, 1,
      command_events },
    { "spec", "", "write a new config.json", 0, 0, false, 1, command_spec },
    { "features", "", "print what this runtime can do", 0, 0, false, 1, command_features },
    { "checkpoint", "ID", "save a running container with criu", 1, 1, false, 1,
      command_checkpoint },
    { "restore", "ID", "run a container from a checkpoint", 1, 1, false, 1, command_restore },
    { 0 },
};

/* Which commands take an option: bits in the order above. */
enum {
    CREATE = 1 << 0,
    RUN = 1 << 1,
    EXEC = 1 << 3,
    KILL = 1 << 5,
    DELETE = 1 << 6,
    PS = 1 << 7,
    LIST = 1 << 8,
    UPDATE = 1 << 11,
    EVENTS = 1 << 12,
    SPEC = 1 << 13,
    CHECKPOINT = 1 << 15,
    RESTORE = 1 << 16,
    GLOBAL = 1 << 30,
    MAKE = CREATE | RUN,
    BEGIN = MAKE | RESTORE,
    CRIU = CHECKPOINT | RESTORE,
    EACH = ~0,
};

enum kind { FLAG, TEXT, LIST_OF_TEXT, NO_EFFECT, NO_EFFECT_TEXT };

struct option {
    char letter;
    const char *name, *value; /* value: its name in the help; NULL: a flag */
    int commands;
    enum kind kind;
    size_t offset;
    const char *help;
};

#define FLAG_(field) FLAG, offsetof(struct options, field)
#define TEXT_(field) TEXT, offsetof(struct options, field)
#define LIST_(field) LIST_OF_TEXT, offsetof(struct options, field)
#define NEW_(n)      TEXT, offsetof(struct options, update) + (n) * sizeof(char *)
#define NOTHING      NO_EFFECT, 0

static const struct option table[] = {
    { 0, "root", "DIR", GLOBAL, TEXT_(root), "where the state of containers is kept" },
    { 0, "log", "FILE", GLOBAL, TEXT_(log), "also file:PATH, journald:ID, syslog:ID" },
    { 0, "log-format", "FORMAT", GLOBAL, TEXT_(log_format), "text or json" },
    { 0, "log-level", "LEVEL", GLOBAL, TEXT_(log_level), "error, warning or debug" },
    { 0, "debug", NULL, GLOBAL, FLAG_(debug), "the same as --log-level debug" },
    { 0, "systemd-cgroup", NULL, GLOBAL, FLAG_(systemd_cgroup), "cgroups through systemd" },
    { 0, "cgroup-manager", "MANAGER", GLOBAL, TEXT_(cgroup_manager),
      "cgroupfs, systemd, disabled" },
    { 0, "rootless", "WHEN", GLOBAL, TEXT_(rootless), "true, false or auto" },
    { 'v', "version", NULL, GLOBAL, FLAG_(version), "print the version" },
    { 'h', "help", NULL, EACH, FLAG_(help), "print this" },

    { 'b', "bundle", "DIR", BEGIN | SPEC, TEXT_(bundle), "where config.json and the root are (.)" },
    { 'f', "config", "FILE", MAKE, TEXT_(config), "instead of config.json in the bundle" },
    { 0, "console-socket", "PATH", BEGIN | EXEC, TEXT_(console_socket),
      "unix socket that gets the terminal" },
    { 0, "pidfd-socket", "PATH", MAKE | EXEC, TEXT_(pidfd_socket),
      "unix socket that gets a pidfd" },
    { 0, "pid-file", "FILE", BEGIN | EXEC, TEXT_(pid_file), "where the process id is written" },
    { 0, "preserve-fds", "N", MAKE | EXEC, TEXT_(preserve_fds), "pass N descriptors from 3 on" },
    { 0, "no-pivot", NULL, BEGIN, FLAG_(no_pivot), "for a root on a ramfs" },
    { 0, "no-new-keyring", NULL, MAKE, FLAG_(no_new_keyring), "keep the caller's session keyring" },
    { 0, "no-subreaper", NULL, BEGIN | EXEC, NOTHING, "accepted, has no effect" },
    { 'd', "detach", NULL, RUN | RESTORE | EXEC, FLAG_(detach), "do not wait for its end" },
    { 0, "keep", NULL, RUN, FLAG_(keep), "do not delete the container at its end" },

    { 0, "cwd", "DIR", EXEC, TEXT_(cwd), "directory inside the container" },
    { 'e', "env", "NAME=VALUE", EXEC, LIST_(env), "more environment" },
    { 't', "tty", NULL, EXEC, FLAG_(tty), "with a terminal" },
    { 'u', "user", "UID[:GID]", EXEC, TEXT_(user), "numbers only" },
    { 'g', "additional-gids", "GID", EXEC, LIST_(additional_gids), "more groups" },
    { 'p', "process", "FILE", EXEC, TEXT_(process), "an OCI process object instead of COMMAND" },
    { 0, "process-label", "LABEL", EXEC, TEXT_(process_label), "SELinux label" },
    { 0, "apparmor", "PROFILE", EXEC, TEXT_(apparmor), "AppArmor profile" },
    { 0, "no-new-privs", NULL, EXEC, FLAG_(no_new_privs), "set no_new_privs" },
    { 'c', "cap", "CAP", EXEC, LIST_(caps), "one more capability" },
    { 0, "cgroup", "PATH", EXEC, LIST_(cgroups), "below the container's cgroup" },
    { 0, "ignore-paused", NULL, EXEC, FLAG_(ignore_paused), "also in a paused container" },

    { 'a', "all", NULL, KILL, FLAG_(all), "every process, not only the first" },
    { 'r', "regex", NULL, KILL | DELETE, FLAG_(regex), "ID is an extended regular expression" },
    { 'f', "force", NULL, DELETE, FLAG_(force), "kill it first; a missing one is fine" },
    { 'f', "format", "FORMAT", PS | LIST, TEXT_(format), "table or json" },
    { 'q', "quiet", NULL, LIST, FLAG_(quiet), "ids only" },
    { 0, "interval", "TIME", EVENTS, TEXT_(interval), "between statistics: 5s, 500ms, 1m" },
    { 0, "stats", NULL, EVENTS, FLAG_(stats), "print statistics once" },
    { 'f', "file", "PATH", SPEC, TEXT_(file), "instead of config.json" },
    { 0, "rootless", NULL, SPEC, FLAG_(rootless_spec), "for a caller who is not root" },

    { 'r', "resources", "FILE", UPDATE, TEXT_(resources), "linux.resources as JSON; - is stdin" },
    { 0, "blkio-weight", "N", UPDATE, NEW_(0), "10..1000" },
    { 0, "cpu-period", "US", UPDATE, NEW_(1), "length of a period" },
    { 0, "cpu-quota", "US", UPDATE, NEW_(2), "processor time in a period" },
    { 0, "cpu-burst", "US", UPDATE, NEW_(3), "unused quota that may be saved" },
    { 0, "cpu-share", "N", UPDATE, NEW_(4), "relative weight" },
    { 0, "cpu-rt-period", "US", UPDATE, NEW_(5), "real-time period" },
    { 0, "cpu-rt-runtime", "US", UPDATE, NEW_(6), "real-time quota" },
    { 0, "cpu-idle", "N", UPDATE, NEW_(7), "1: only when nothing else runs" },
    { 0, "cpuset-cpus", "LIST", UPDATE, NEW_(8), "processors, such as 0-3,7" },
    { 0, "cpuset-mems", "LIST", UPDATE, NEW_(9), "memory nodes" },
    { 0, "memory", "SIZE", UPDATE, NEW_(10), "limit, such as 64M; -1: none" },
    { 0, "memory-reservation", "SIZE", UPDATE, NEW_(11), "soft limit" },
    { 0, "memory-swap", "SIZE", UPDATE, NEW_(12), "memory and swap together" },
    { 0, "kernel-memory", "SIZE", UPDATE, NEW_(13), "obsolete, has no effect" },
    { 0, "kernel-memory-tcp", "SIZE", UPDATE, NEW_(14), "obsolete, has no effect" },
    { 0, "pids-limit", "N", UPDATE, NEW_(15), "most processes; -1: no limit" },
    { 0, "l3-cache-schema", "TEXT", UPDATE, NEW_(16), "Intel RDT" },
    { 0, "mem-bw-schema", "TEXT", UPDATE, NEW_(17), "Intel RDT" },

    { 0, "image-path", "DIR", CRIU, TEXT_(image_path), "where the checkpoint is (./checkpoint)" },
    { 0, "work-path", "DIR", CRIU, TEXT_(work_path), "for criu's own files" },
    { 0, "parent-path", "DIR", CHECKPOINT, TEXT_(parent_path), "an earlier pre-dump" },
    { 0, "leave-running", NULL, CHECKPOINT, FLAG_(leave_running), "do not stop the container" },
    { 0, "pre-dump", NULL, CHECKPOINT, FLAG_(pre_dump), "memory only, it goes on running" },
    { 0, "page-server", "ADDR:PORT", CHECKPOINT, TEXT_(page_server), "send pages there" },
    { 0, "status-fd", "N", CHECKPOINT, TEXT_(status_fd), "written when lazy pages are ready" },
    { 0, "tcp-established", NULL, CRIU, FLAG_(tcp_established), "keep open connections" },
    { 0, "tcp-skip-in-flight", NULL, CHECKPOINT, FLAG_(tcp_skip_in_flight), "skip half-open ones" },
    { 0, "tcp-close", NULL, RESTORE, FLAG_(tcp_close), "close connections" },
    { 0, "link-remap", NULL, CHECKPOINT, FLAG_(link_remap), "files that were unlinked" },
    { 0, "ext-unix-sk", NULL, CRIU, FLAG_(ext_unix_sk), "unix sockets to the outside" },
    { 0, "shell-job", NULL, CRIU, FLAG_(shell_job), "a session leader outside" },
    { 0, "lazy-pages", NULL, CRIU, FLAG_(lazy_pages), "memory on demand" },
    { 0, "file-locks", NULL, CRIU, FLAG_(file_locks), "keep file locks" },
    { 0, "auto-dedup", NULL, CRIU, FLAG_(auto_dedup), "free pages that a child has" },
    { 0, "manage-cgroups-mode", "MODE", CRIU, TEXT_(manage_cgroups), "soft, full, strict, ignore" },
    { 0, "network-lock", "METHOD", CRIU, TEXT_(network_lock), "iptables, nftables, skip" },
    { 0, "empty-ns", "TYPE", CRIU, LIST_(empty_ns), "namespace left out: network" },
    { 0, "lsm-profile", "TYPE:NAME", RESTORE, TEXT_(lsm_profile), "another label" },
    { 0, "lsm-mount-context", "CONTEXT", RESTORE, TEXT_(lsm_mount_context), "another mount label" },
};

/* ---- parse ---- */

static const struct option *find_long(const char *name, size_t len, int scope)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if ((table[i].commands & scope) && strncmp(table[i].name, name, len) == 0 &&
            !table[i].name[len])
            return &table[i];
    }
    return NULL;
}

static const struct option *find_letter(char letter, int scope)
{
    if (letter == 'V')
        letter = 'v'; /* crun's */
    for (size_t i = 0; letter && i < ARRAY_SIZE(table); i++) {
        if ((table[i].commands & scope) && table[i].letter == letter)
            return &table[i];
    }
    return NULL;
}

static int set_flag(const struct option *option, const char *value, bool *ret,
                    struct wharf_error *e)
{
    if (!value || streq(value, "true") || streq(value, "1"))
        *ret = true;
    else if (streq(value, "false") || streq(value, "0"))
        *ret = false;
    else
        return err_invalid(e, "--%s: '%s' is neither true nor false", option->name, value);
    return 0;
}

static int set_option(const struct option *option, struct options *o, const char *value,
                      struct wharf_error *e)
{
    void *slot = (char *)o + option->offset;
    struct option_list *list = slot;
    const char **grown;

    switch (option->kind) {
    case FLAG:
        return set_flag(option, value, slot, e);
    case TEXT:
        *(const char **)slot = value;
        return 0;
    case LIST_OF_TEXT:
        grown = reallocarray(list->items, list->count + 1, sizeof(*grown));
        if (!grown)
            return err_nomem(e);
        list->items = grown;
        list->items[list->count++] = value;
        return 0;
    case NO_EFFECT:
    case NO_EFFECT_TEXT:
        return 0;
    }
    return 0;
}

/* One argument that begins with '-': "--name", "--name=value", "-n", "-nvalue", "-ab"; runc's Go
 * library also takes "-name". *at moves over a value that stands apart. */
static int take_option(char ***at, int scope, struct options *o, struct wharf_error *e)
{
    const char *text = **at, *name = text + 1 + (text[1] == '-');
    size_t len = strcspn(name, "=");
    const struct option *option = len > 1 ? find_long(name, len, scope) : NULL;
    const char *value = name[len] == '=' ? name + len + 1 : NULL;

    if (!option && text[1] != '-') {
        option = find_letter(name[0], scope);
        value = !name[1] ? NULL : name[1] == '=' ? name + 2 : name + 1;
        if (option && !option->value && value && name[1] != '=') { /* several flags in one */
            for (; option && !option->value; option = find_letter(*++name, scope))
                set_option(option, o, NULL, e);
            if (!*name)
                return 0;
            value = name[1] ? name + 1 : NULL;
        }
    }
    if (!option)
        return err_invalid(e, "flag provided but not defined: -%s", name);
    if (option->value && !value) {
        value = (*at)[1];
        if (!value)
            return err_invalid(e, "flag needs an argument: --%s", option->name);
        ++*at;
    }
    return set_option(option, o, value, e);
}

static const struct command *find_command(const char *name)
{
    for (const struct command *c = commands; c->name; c++) {
        if (streq(c->name, name))
            return c;
    }
    return NULL;
}

/* The options and arguments of one level: global (up to the command's name), or the command's. */
static int take_level(char ***at, int scope, bool in_order, struct options *o,
                      struct wharf_error *e)
{
    int r = 0;

    for (; r == 0 && **at; ++*at) {
        const char *text = **at;

        if (streq(text, "--")) {
            in_order = true;
            if (scope == GLOBAL)
                continue;
        }
        if (*text == '-' && text[1] && !streq(text, "--")) {
            r = take_option(at, scope, o, e);
            continue;
        }
        if (scope == GLOBAL)
            return 0;
        if (in_order) {
            for (*at += streq(text, "--"); **at; ++*at)
                o->args[o->count++] = **at;
            return 0;
        }
        o->args[o->count++] = **at;
    }
    return r;
}

int options_parse(char **argv, struct options *ret, const struct command **ret_command,
                  int *ret_exit, struct wharf_error *e)
{
    char **at = argv + 1;
    const struct command *command;
    int r;

    *ret_exit = 1;
    ret->args = calloc(strv_count((const char *const *)argv) + 1, sizeof(char *));
    if (!ret->args)
        return err_nomem(e);
    r = take_level(&at, GLOBAL, true, ret, e);
    if (r < 0 || !*at || ret->version || ret->help)
        return r;
    command = find_command(*at);
    if (!command) {
        *ret_exit = 3;
        return err_invalid(e, "no such command: '%s'; 'wharf-oci --help' lists them", *at);
    }
    *ret_command = command;
    at++;
    r = take_level(&at, 1 << (command - commands), command->in_order, ret, e);
    if (r < 0)
        return err_wrap(e, r, "%s", command->name);
    if (!ret->help && (ret->count < command->least || ret->count > command->most))
        return err_invalid(e, "%s: takes '%s'", command->name, command->arguments);
    return 0;
}

int option_number(const char *name, const char *text, unsigned max, unsigned *ret,
                  struct wharf_error *e)
{
    uint64_t value;

    if (parse_u64(text, 0, max, &value) < 0)
        return err_invalid(e, "--%s: '%s' is not a number up to %u", name, text, max);
    *ret = (unsigned)value;
    return 0;
}

/* ---- help ---- */

static void help_options(int scope)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        char left[48];

        if (!(table[i].commands & scope))
            continue;
        snprintf(left, sizeof(left), "%c%c%c --%s %s", table[i].letter ? '-' : ' ',
                 table[i].letter ? table[i].letter : ' ', table[i].letter ? ',' : ' ',
                 table[i].name, table[i].value ? table[i].value : "");
        printf("  %-36s %s\n", left, table[i].help);
    }
}

void options_help(const struct command *command)
{
    if (command) {
        printf("wharf-oci %s [OPTIONS] %s\n    %s\n\n", command->name, command->arguments,
               command->help);
        help_options(1 << (command - commands));
        return;
    }
    printf("wharf-oci [OPTIONS] COMMAND [OPTIONS] ...\n    runs OCI containers\n\n");
    for (command = commands; command->name; command++) {
        char left[48];

        snprintf(left, sizeof(left), "%s %s", command->name, command->arguments);
        printf("  %-36s %s\n", left, command->help);
    }
    printf("\n");
    help_options(GLOBAL);
}
