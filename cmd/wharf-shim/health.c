/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The health check: a process run in the container now and then. docker's rules: failures within
 * the start period of a container that was never healthy do not count; `retries` failures in a row
 * make it unhealthy, one success healthy. The last HEALTH_RESULTS results are in the health file,
 * in the form of docker's State.Health, written anew after each check.
 *
 * One check at a time; the next is set when it has ended. A check that is too slow is killed and
 * counts as failed with code -1.
 */
#include "cmd/wharf-shim/shim.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "base/fd.h"
#include "base/str.h"

#define HEALTH_RESULTS    5
#define HEALTH_OUTPUT_MAX 4096
#define HEALTH_FILE_MAX   (HEALTH_RESULTS * (HEALTH_OUTPUT_MAX * 6 + 256))

struct result {
    int64_t start_ns, end_ns;
    int code;
    char *output;
    size_t len;
};

struct health {
    struct timer next, timeout;
    struct process *check; /* running now; NULL: none */
    bool stopped, late;
    int64_t streak;
    struct result current, results[HEALTH_RESULTS];
    size_t count;
};

static const char *health_name(int64_t health)
{
    return health == HEALTH_HEALTHY     ? "healthy"
           : health == HEALTH_UNHEALTHY ? "unhealthy"
                                        : "starting";
}

static void health_save(struct shim *shim, const struct health *h)
{
    autobuf struct buf b = BUF(HEALTH_FILE_MAX);

    buf_printf(&b, "{\"Status\":\"%s\",\"FailingStreak\":%lld,\"Log\":[",
               health_name(shim->state.health), (long long)h->streak);
    for (size_t i = 0; i < h->count; i++) {
        const struct result *r = &h->results[i];
        char start[LOG_TIME_MAX], end[LOG_TIME_MAX];

        log_time(start, r->start_ns);
        log_time(end, r->end_ns);
        buf_printf(&b,
                   "%s{\"Start\":\"%s\",\"End\":\"%s\",\"ExitCode\":%d,\"Output\":", i ? "," : "",
                   start, end, r->code);
        buf_json(&b, r->output ? r->output : "", r->len);
        buf_char(&b, '}');
    }
    buf_str(&b, "]}");
    if (!b.error)
        file_replace(SHIM_FD_DIR, SHIM_HEALTH_FILE, b.data, b.len, 0600, false);
}

static void schedule(struct shim *shim, struct health *h)
{
    const struct shim_config *config = &shim->config;
    bool starting = shim->state.health == HEALTH_STARTING &&
                    monotonic_ms() - shim->started_ms < (int64_t)config->health_start_ms;

    timer_set(shim, &h->next,
              (int64_t)(starting ? config->health_start_interval_ms : config->health_interval_ms));
}

static void keep_result(struct health *h)
{
    if (h->count == HEALTH_RESULTS) {
        free(h->results[0].output);
        memmove(h->results, h->results + 1, (HEALTH_RESULTS - 1) * sizeof(h->results[0]));
        h->count--;
    }
    h->results[h->count++] = h->current;
    h->current = (struct result){ 0 };
}

static void output_text(struct health *h, const char *text)
{
    free(h->current.output);
    h->current.output = strdup(text);
    h->current.len = h->current.output ? strlen(text) : 0;
}

static void judge(struct shim *shim, struct health *h)
{
    int64_t before = shim->state.health;
    const struct result *r = &h->current;
    bool forgiven =
        before == HEALTH_STARTING &&
        r->start_ns - shim->state.started_ns < (int64_t)shim->config.health_start_ms * 1000000;

    if (r->code == 0) {
        h->streak = 0;
        shim->state.health = HEALTH_HEALTHY;
    } else if (!forgiven && ++h->streak >= (int64_t)shim->config.health_retries) {
        shim->state.health = HEALTH_UNHEALTHY;
    }
    keep_result(h);
    health_save(shim, h);
    if (shim->state.health != before) {
        char action[64];

        shim_save_state(shim);
        snprintf(action, sizeof(action), "health_status: %s", health_name(shim->state.health));
        shim_emit(shim, action, "");
    }
}

void health_checked(struct shim *shim, struct health *h, int code)
{
    h->check = NULL;
    timer_stop(shim, &h->timeout);
    if (h->stopped)
        return;
    h->current.code = h->late ? -1 : code;
    h->current.end_ns = epoch_ns();
    if (h->late) {
        char text[96];

        snprintf(text, sizeof(text), "Health check exceeded timeout (%gs)",
                 (double)shim->config.health_timeout_ms / 1000);
        output_text(h, text);
    }
    judge(shim, h);
    schedule(shim, h);
}

void health_output(struct health *h, const char *data, size_t len)
{
    struct result *r = &h->current;
    size_t room = HEALTH_OUTPUT_MAX - MIN(r->len, (size_t)HEALTH_OUTPUT_MAX);

    if (!r->output)
        r->output = malloc(HEALTH_OUTPUT_MAX + 3);
    if (!r->output || r->len > HEALTH_OUTPUT_MAX)
        return;
    memcpy(r->output + r->len, data, MIN(len, room));
    r->len += MIN(len, room);
    if (len > room) { /* as docker marks what it left out */
        memcpy(r->output + r->len, "...", 3);
        r->len += 3;
    }
}

static void timeout_fire(struct shim *shim, struct timer *timer)
{
    struct health *h = container_of(timer, struct health, timeout);

    h->late = true;
    if (h->check)
        container_process_kill(h->check->handle, SIGKILL, NULL);
}

static void next_fire(struct shim *shim, struct timer *timer)
{
    struct health *h = container_of(timer, struct health, next);
    struct wharf_error e = { 0 };
    struct process *p;

    h->late = false;
    free(h->current.output);
    h->current = (struct result){ .start_ns = epoch_ns() };
    int r = process_start_check(shim, shim->config.health, &p, &e);
    if (r == -EBUSY) { /* paused: docker does not check then */
        schedule(shim, h);
        return;
    }
    if (r < 0) {
        output_text(h, e.message);
        health_checked(shim, h, wharf_error_exit(&e));
        return;
    }
    p->health = h;
    h->check = p;
    timer_set(shim, &h->timeout, (int64_t)shim->config.health_timeout_ms);
}

void health_start(struct shim *shim)
{
    if (!*shim->config.health)
        return;
    if (!shim->health)
        shim->health = calloc(1, sizeof(*shim->health));
    if (!shim->health)
        return;
    struct health *h = shim->health;
    h->next.fire = next_fire;
    h->timeout.fire = timeout_fire;
    h->stopped = false;
    h->streak = 0;
    shim->state.health = HEALTH_STARTING;
    health_save(shim, h);
    schedule(shim, h);
}

void health_stop(struct shim *shim)
{
    struct health *h = shim->health;

    if (!h)
        return;
    h->stopped = true;
    timer_stop(shim, &h->next);
    timer_stop(shim, &h->timeout);
}
