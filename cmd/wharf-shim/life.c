/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's life. The order at its end is what makes a kill at any moment harmless: it is
 * removed from the kernel, then the exit status is on disk, then the lock that says "this shim
 * lives" is let go, then those who wait and the world are told: whoever hears of the end finds it
 * on disk.
 *
 * A restart policy is carried out here, so that it needs no daemon. docker's rules: the wait begins
 * at RESTART_WAIT_MS, doubles up to RESTART_WAIT_MAX_MS, and begins anew after a run of
 * RESTART_GOOD_MS; somebody's stop or kill ends the policy.
 */
#include "cmd/wharf-shim/shim.h"

#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "base/str.h"

#define RESTART_WAIT_MS     100
#define RESTART_WAIT_MAX_MS 60000
#define RESTART_GOOD_MS     10000

/* ---- telling --------------------------------------------------------------------------------- */

void shim_emit(struct shim *shim, const char *action, const char *extra)
{
    autobuf struct buf attributes = BUF(EVENT_LINE_MAX), line = BUF(EVENT_LINE_MAX);

    buf_str(&attributes, "{\"name\":");
    buf_json(&attributes, shim->name, strlen(shim->name));
    if (*shim->config.attributes)
        buf_printf(&attributes, ",%s", shim->config.attributes);
    if (*extra)
        buf_printf(&attributes, ",%s", extra);
    buf_char(&attributes, '}');
    if (attributes.error)
        return;
    event_format(&line, (int64_t)shim->config.owner, "container", action, shim->id, attributes.data,
                 epoch_ns());
    if (!line.error)
        events_append(SHIM_FD_RUN, EVENTS_FILE, line.data, line.len);
}

/* Only where the record alone does not tell: see struct shim_state. */
void shim_save_state(struct shim *shim)
{
    if (shim->config.policy != POLICY_NO || shim->health || shim->state.restarts > 0)
        shim_state_write(SHIM_FD_DIR, &shim->state);
}

static void emit_die(struct shim *shim, int code)
{
    char extra[96];

    snprintf(extra, sizeof(extra), "\"exitCode\":\"%d\",\"execDuration\":\"%" PRId64 "\"", code,
             (monotonic_ms() - shim->started_ms) / 1000);
    shim_emit(shim, "die", extra);
}

/* ---- the end --------------------------------------------------------------------------------- */

/* With --rm the files go at once; the record is forgotten by the next engine that looks. */
static void remove_files(void)
{
    static const char *const trees[] = { "upper", "work", "copy" };

    for (size_t i = 0; i < ARRAY_SIZE(trees); i++)
        path_remove_tree(SHIM_FD_DIR, trees[i]);
}

/* Whether the kernel killed one of its processes for want of memory. On cgroup v1 the event comes
 * before the kill is counted, and counts only when the end is asked for too. */
#define OOM_EVENTS (CONTAINER_EVENT_OOM | CONTAINER_EVENT_EXIT)

static int look_for_oom(struct shim *shim)
{
    struct container_event event;
    int r;

    while ((r = container_next_event(shim->container, &event, NULL)) == 1) {
        if (event.type != CONTAINER_EVENT_OOM || shim->oom_killed)
            continue;
        shim->oom_killed = true;
        shim_emit(shim, "oom", "");
    }
    return r;
}

static void oom_ready(struct shim *shim, struct source *source, uint32_t events)
{
    if (look_for_oom(shim) < 0)
        source_watch(shim, source, 0);
}

/* It is down for good. */
static void finish(struct shim *shim, int code)
{
    struct shim_exit status = { .generation = shim->config.generation,
                                .code = code,
                                .finished_ns = epoch_ns(),
                                .oom_killed = shim->oom_killed,
                                .manual = shim->final,
                                .restarts = shim->state.restarts };
    char endpoint[sizeof(SHIMS_DIR) + ID_LENGTH + 2];

    shim->done = true;
    shim->restarting = false;
    timer_stop(shim, &shim->restart);
    network_end(shim);
    if (shim->log_open)
        log_writer_close(&shim->log);
    shim_exit_write(SHIM_FD_DIR, &status);
    unlinkat(SHIM_FD_DIR, SHIM_STATE_FILE, 0);
    if (shim->config.auto_remove)
        remove_files();
    snprintf(endpoint, sizeof(endpoint), SHIMS_DIR "/%.64s", shim->id);
    unlinkat(SHIM_FD_RUN, endpoint, 0);
    close(SHIM_FD_LOCK);
}

static bool wants_restart(struct shim *shim, int code)
{
    if (shim->final)
        return false;
    switch (shim->config.policy) {
    case POLICY_ALWAYS:
    case POLICY_UNLESS_STOPPED:
        return true;
    case POLICY_ON_FAILURE:
        return code != 0 && (shim->config.policy_max == 0 ||
                             shim->state.restarts < (int64_t)shim->config.policy_max);
    default:
        return false;
    }
}

static void restart_later(struct shim *shim, int code)
{
    bool good = monotonic_ms() - shim->started_ms >= RESTART_GOOD_MS;

    if (good || shim->restart_wait_ms == 0)
        shim->restart_wait_ms = RESTART_WAIT_MS;
    else
        shim->restart_wait_ms = MIN(shim->restart_wait_ms * 2, (int64_t)RESTART_WAIT_MAX_MS);
    shim->restarting = true;
    shim->state.restarts++;
    shim->state.phase = PHASE_RESTARTING;
    shim->state.pid = 0;
    shim->state.code = code;
    shim->state.finished_ns = epoch_ns();
    shim->state.health = HEALTH_NONE;
    shim_save_state(shim);
    timer_set(shim, &shim->restart, shim->restart_wait_ms);
}

void shim_ended(struct shim *shim)
{
    int code = shim->init.code;

    if (shim->done || !shim->container)
        return;
    if (shim->oom.fd >= 0)
        look_for_oom(shim);
    bool again = wants_restart(shim, code);
    if (again && container_config_json(shim->container, &shim->spec, NULL) < 0)
        again = false;
    source_watch(shim, &shim->oom, 0);
    shim->oom.fd = -1;
    container_delete(shim->container, 1, NULL);
    health_stop(shim);
    process_end_execs(shim);
    process_free(shim, &shim->init);
    container_close(shim->container);
    shim->container = NULL;
    if (again)
        restart_later(shim, code);
    else
        finish(shim, code);
    emit_die(shim, code); /* before anybody who hears of it tells what came of it */
    client_process_ended(shim, &shim->init);
    connection_tell_waiting(shim, code);
}

void shim_stay_down(struct shim *shim)
{
    shim->final = true;
    if (!shim->restarting)
        return;
    finish(shim, (int)shim->state.code);
    client_process_ended(shim, &shim->init);
    connection_tell_waiting(shim, shim->state.code);
}

void shim_set_policy(struct shim *shim, uint64_t policy, uint64_t max)
{
    shim->config.policy = policy;
    shim->config.policy_max = max;
    shim_save_state(shim);
}

/* ---- the start ------------------------------------------------------------------------------- */

static int read_config(struct shim *shim, int fd, struct wharf_error *e)
{
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > SHIM_CONFIG_MAX)
        return err_code(e, -EBADMSG, "no configuration came");
    size_t len = (size_t)st.st_size;
    char *text = malloc(len + 1);
    if (!text)
        return err_nomem(e);
    if (pread(fd, text, len, 0) != (ssize_t)len || (text[len] = '\0') ||
        shim_config_decode(text, len, &shim->config) < 0) {
        free(text);
        return err_code(e, -EBADMSG, "the configuration is not of this shim's version");
    }
    shim->config_text = text;
    snprintf(shim->name, sizeof(shim->name), "%s", shim->config.name);
    return 0;
}

/* The specification is most of the configuration, and libcontainer keeps a copy outside of us. */
static void forget_spec(struct shim *shim)
{
    size_t keep = (size_t)(shim->config.spec - shim->config_text);
    char *text = malloc(keep + 1);

    if (!text)
        return;
    memcpy(text, shim->config_text, keep);
    text[keep] = '\0';
    shim_config_decode(text, keep, &shim->config);
    free(shim->config_text);
    shim->config_text = text;
}

static int open_log(struct shim *shim)
{
    struct log_options options = { .driver = (enum log_driver)shim->config.log_driver,
                                   .max_size = shim->config.log_max_size,
                                   .max_files = shim->config.log_max_files,
                                   .compress = shim->config.log_compress != 0,
                                   .buffer = shim->config.log_buffer,
                                   .attrs = shim->config.log_attrs };

    if (options.driver == LOG_DRIVER_NONE || shim->log_open)
        return 0;
    char name[LOG_NAME_MAX];
    log_name(name, shim->id, options.driver);
    int r = log_writer_open(&shim->log, SHIM_FD_DIR, name, &options);
    shim->log_open = r == 0;
    return r;
}

/* Runs the container, the first time or again. */
static int run(struct shim *shim, int root_fd, struct wharf_error *e)
{
    int r = process_start_init(shim, root_fd, e);

    if (r < 0)
        return r;
    shim->started_ms = monotonic_ms();
    shim->oom_killed = false;
    /* without the memory controller there is nothing to tell */
    shim->oom = (struct source){ .fd = container_events_fd(shim->container, OOM_EVENTS, NULL),
                                 .ready = oom_ready };
    source_watch(shim, &shim->oom, EPOLLIN);
    shim->state.generation = shim->config.generation;
    shim->state.phase = PHASE_RUNNING;
    shim->state.pid = container_process_pid(shim->init.handle);
    shim->state.started_ns = epoch_ns();
    health_start(shim);
    shim_save_state(shim);
    shim_emit(shim, "start", ""); /* here, so that it comes before "die" */
    malloc_trim(0);               /* the specification is most of what was ever allocated */
    return 0;
}

/* When the container cannot be run again: it counts as ended with that, as dockerd has it. */
static void restart_fire(struct shim *shim, struct timer *timer)
{
    struct wharf_error e = { 0 };
    autoclose int root = root_mount(&shim->config, &e);

    shim->config.spec = shim->spec;
    shim->config.spec_len = strlen(shim->spec);
    shim->restarting = false;
    int r = root < 0 ? root : run(shim, root, &e);
    shim->config.spec = NULL;
    container_free(shim->spec);
    shim->spec = NULL;
    if (r < 0) {
        finish(shim, wharf_error_exit(&e));
        client_process_ended(shim, &shim->init);
        connection_tell_waiting(shim, wharf_error_exit(&e));
        return;
    }
    client_input_flow(shim, &shim->init);
}

int shim_start(struct shim *shim, const int fds[4], struct wharf_error *e)
{
    struct container_engine_options options = { .size = sizeof(options), .rootless = -1 };
    int r = read_config(shim, fds[0], e);

    if (r < 0)
        return r;
    options.root = shim->config.state_root;
    r = container_engine_open(&shim->engine, &options, e);
    if (r == 0) {
        r = open_log(shim);
        if (r < 0)
            err_code(e, r, "cannot open the container's log");
    }
    unlinkat(SHIM_FD_DIR, SHIM_STATE_FILE, 0);
    unlinkat(SHIM_FD_DIR, SHIM_HEALTH_FILE, 0);
    shim->restart.fire = restart_fire;
    if (r == 0)
        r = network_begin(shim, fds[2], fds[3], e);
    if (r == 0)
        r = run(shim, fds[1], e);
    if (r < 0)
        return r;
    forget_spec(shim);
    shim->started = true;
    client_input_flow(shim, &shim->init);
    return 0;
}
