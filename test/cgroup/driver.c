/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one shell command in a cgroup, and tells what became of it: the tests' way to meet kernels
 * and a systemd that this machine does not have.
 *
 *     cgroup-driver files|systemd PATH RESOURCES-JSON COMMAND
 *
 * One line each: where the command is, the events, its status, whether freezing works. Exit 0, or 1
 * with the error's text.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include "base/arena.h"
#include "base/str.h"
#include "libcontainer/cgroup/cgroup.h"

static pid_t start(const char *command, int *ret_gate)
{
    int gate[2];
    pid_t pid;

    if (pipe(gate) < 0)
        return -1;
    pid = fork();
    if (pid == 0) {
        char byte;

        close(gate[1]);
        if (read(gate[0], &byte, 1) == 1)
            execl("/bin/sh", "sh", "-c", command, NULL);
        _exit(126);
    }
    close(gate[0]);
    *ret_gate = gate[1];
    return pid;
}

static void print_json(const char *name, json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);

    printf("%s %s\n", name, text);
    free(text);
    json_decref(value);
}

/* Freezes and thaws the gated child, then lets it go. */
static int watch(struct cgroup *cg, pid_t pid, int gate, struct wharf_error *e)
{
    int oom = -1, status, r = cgroup_freeze(cg, true, e);
    uint64_t kills = 0;
    json_t *stats;

    if (r < 0)
        return r;
    printf("frozen %d\n", cgroup_is_frozen(cg));
    r = cgroup_freeze(cg, false, e);
    if (r < 0)
        return r;
    cgroup_event_open(cg, CONTAINER_EVENT_OOM, &oom, NULL);
    if (write(gate, "x", 1) != 1 || waitpid(pid, &status, 0) != pid)
        return -errno;
    printf("status %d\n", WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
    if (oom >= 0 && cgroup_event_read(cg, CONTAINER_EVENT_OOM, oom, &kills, NULL) == 0)
        printf("oom %llu\n", (unsigned long long)kills);
    if (cgroup_stats(cg, &stats, e) == 0)
        print_json("stats", stats);
    return 0;
}

static int run(const struct cgroup_options *options, const char *command, struct wharf_error *e)
{
    struct cgroup *cg = NULL, *again = NULL;
    int gate = -1, r = cgroup_create(&cg, options, e);
    json_t *saved = NULL;
    pid_t pid;

    if (r < 0)
        return r;
    pid = start(command, &gate);
    r = cgroup_attach(cg, pid, false, e);
    if (r == 0)
        r = cgroup_apply(cg, options->resources, true, e);
    if (r == 0)
        r = cgroup_save(cg, &saved, e);
    if (r == 0)
        r = cgroup_load(&again, saved, e);
    if (r == 0) {
        print_json("saved", saved);
        r = watch(again, pid, gate, e);
    }
    if (r < 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        cgroup_remove(cg, true, NULL);
    } else {
        r = cgroup_remove(again, true, e);
    }
    cgroup_close(again);
    cgroup_close(cg);
    return r;
}

int main(int argc, char **argv)
{
    struct cgroup_options options = { .id = "test", .owner_uid = UINT32_MAX };
    struct arena *arena = arena_new(1 << 20);
    struct spec_resources *resources = NULL;
    struct wharf_error e = { 0 };
    int r;

    if (argc != 5 || !arena)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    options.driver =
        streq(argv[1], "systemd") ? CONTAINER_CGROUPS_SYSTEMD : CONTAINER_CGROUPS_FILES;
    options.path = argv[2];
    r = spec_resources_parse(argv[3], strlen(argv[3]), arena, &resources, &e);
    options.resources = resources;
    if (r == 0)
        r = run(&options, argv[4], &e);
    if (r < 0)
        printf("error %d %s\n", r, e.message);
    arena_free(arena);
    return r < 0;
}
