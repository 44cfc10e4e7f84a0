/* SPDX-License-Identifier: Apache-2.0 */
/* The display of a build. See build-progress.h. */
#include "cmd/wharf/build-progress.h"

#include <sys/ioctl.h>
#include <time.h>
#include "base/str.h"

#define CONTEXT_LINES 3 /* around a fault */

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static double seconds(int64_t ns)
{
    return (double)ns / 1e9;
}

void progress_begin(struct progress *p, bool terminal, bool quiet)
{
    struct winsize size;

    *p = (struct progress){ .out = stderr, .terminal = terminal, .quiet = quiet, .columns = 80 };
    p->began_ns = now_ns();
    if (terminal && ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20)
        p->columns = size.ws_col;
}

static struct progress_step *find(struct progress *p, size_t number)
{
    for (size_t i = 0; i < PROGRESS_ACTIVE; i++) {
        if (p->steps[i].number == number)
            return &p->steps[i];
    }
    return NULL;
}

/* ---- terminal -------------------------------------------------------------------------------- */

static void erase(struct progress *p)
{
    if (p->drawn > 0)
        fprintf(p->out, "\033[%dA\033[J", p->drawn);
    p->drawn = 0;
}

/* One line, cut to the width, the time at its end. */
static void put_line(struct progress *p, const char *mark, const char *text, const char *end)
{
    int width = p->columns - (int)strlen(mark) - (int)strlen(end) - 2;
    int shown = (int)strnlen(text, (size_t)MAX(width, 0));

    fprintf(p->out, "%s %.*s%*s%s\n", mark, shown, text, MAX(width - shown, 0), "", end);
}

static void draw(struct progress *p)
{
    char text[64];

    if (!p->terminal || p->quiet)
        return;
    snprintf(text, sizeof(text), "[+] Building %.1fs (%zu/%zu)", seconds(now_ns() - p->began_ns),
             p->done, p->total);
    fprintf(p->out, "%s\n", text);
    p->drawn = 1;
    for (size_t i = 0; i < PROGRESS_ACTIVE; i++) {
        const struct progress_step *s = &p->steps[i];

        if (s->number == 0)
            continue;
        snprintf(text, sizeof(text), "%.1fs", seconds(now_ns() - s->began_ns));
        put_line(p, "=>", s->text, text);
        p->drawn++;
        for (size_t n = 0; n < s->tails; n++, p->drawn++)
            put_line(p, "=> =>", s->tail[n], "");
    }
    fflush(p->out);
}

/* ---- lines of output ------------------------------------------------------------------------- */

static void keep_line(struct progress *p, struct progress_step *s, const char *line, size_t len)
{
    char *at;

    if (!p->terminal) {
        fprintf(p->out, "#%zu %.3f %.*s\n", s->number, seconds(now_ns() - s->began_ns), (int)len,
                line);
        return;
    }
    if (s->tails == PROGRESS_TAIL) {
        memmove(s->tail[0], s->tail[1], sizeof(s->tail[0]) * (PROGRESS_TAIL - 1));
        s->tails--;
    }
    at = s->tail[s->tails++];
    snprintf(at, PROGRESS_LINE, "%.*s", (int)len, line);
    for (; *at; at++) /* control characters would move the cursor */
        *at = (unsigned char)*at < 0x20 || *at == 0x7f ? ' ' : *at;
}

static void flush_partial(struct progress *p, struct progress_step *s)
{
    if (s->partial_len > 0)
        keep_line(p, s, s->partial, s->partial_len);
    s->partial_len = 0;
}

static void take_output(struct progress *p, struct progress_step *s, const char *text, size_t len)
{
    while (len > 0) {
        const char *newline = memchr(text, '\n', len);
        size_t n = newline ? (size_t)(newline - text) : len;
        size_t room = PROGRESS_LINE - 1 - s->partial_len, taken = MIN(n, room);

        memcpy(s->partial + s->partial_len, text, taken);
        s->partial_len += taken;
        if (newline && s->partial_len == 0)
            keep_line(p, s, "", 0);
        else if ((newline && taken == n) || s->partial_len == PROGRESS_LINE - 1)
            flush_partial(p, s);
        taken += newline && taken == n;
        text += taken;
        len -= taken;
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

static void begin_step(struct progress *p, const struct build_event *event)
{
    struct progress_step *s = find(p, 0);

    if (!s)
        return;
    *s = (struct progress_step){ .number = event->number, .began_ns = now_ns() };
    snprintf(s->text, sizeof(s->text), "[%s%s%zu/%zu] %s", event->stage_name,
             *event->stage_name ? " " : "", event->number, event->total, event->text);
    for (char *c = s->text; *c; c++)
        *c = *c == '\n' ? ' ' : *c;
    if (!p->terminal)
        fprintf(p->out, "#%zu %s\n", s->number, s->text);
}

static void end_step(struct progress *p, const struct build_event *event)
{
    struct progress_step *s = find(p, event->number);
    char text[32];

    p->done++;
    if (!s)
        return;
    flush_partial(p, s);
    snprintf(text, sizeof(text), "%.1fs", seconds(event->ns));
    if (p->terminal)
        put_line(p, s->cached ? "=> CACHED" : "=>", s->text, text);
    else if (s->cached)
        fprintf(p->out, "#%zu CACHED\n\n", s->number);
    else
        fprintf(p->out, "#%zu DONE %.1fs\n\n", s->number, seconds(event->ns));
    s->number = 0;
}

/* What a step wrote last stays, when it is the one that failed. */
static void keep_fault(struct progress *p, const struct build_event *event)
{
    struct progress_step *s = event->number ? find(p, event->number) : NULL;

    p->first = event->first;
    p->last = event->last;
    if (!s)
        return;
    flush_partial(p, s);
    if (p->terminal)
        put_line(p, "=> ERROR", s->text, "");
    else
        fprintf(p->out, "#%zu ERROR: %s\n", s->number, event->text);
    for (size_t n = 0; p->terminal && n < s->tails; n++)
        fprintf(p->out, "   %s\n", s->tail[n]);
    s->number = 0;
}

static void take_event(struct progress *p, const struct build_event *event)
{
    struct progress_step *s = find(p, event->number);

    switch (event->type) {
    case BUILD_EVENT_PLAN:
        p->total = event->total;
        break;
    case BUILD_EVENT_STEP:
        begin_step(p, event);
        break;
    case BUILD_EVENT_CACHED:
        if (s)
            s->cached = true;
        break;
    case BUILD_EVENT_OUTPUT:
        if (s)
            take_output(p, s, event->text, event->len);
        break;
    case BUILD_EVENT_DONE:
        end_step(p, event);
        break;
    case BUILD_EVENT_WARNING:
        if (event->first)
            fprintf(p->out, "WARNING: %s (line %d)\n", event->text, event->first);
        else
            fprintf(p->out, "WARNING: %s\n", event->text);
        break;
    case BUILD_EVENT_FAULT:
        keep_fault(p, event);
        break;
    case BUILD_EVENT_BUILT:
        fprintf(p->out, "Successfully built %s\n", event->id);
        break;
    case BUILD_EVENT_TAGGED:
        fprintf(p->out, "Successfully tagged %s\n", event->text);
        break;
    default:
        break;
    }
}

void progress_event(const struct build_event *event, void *progress)
{
    struct progress *p = progress;

    if (event->type == BUILD_EVENT_FAULT) {
        p->first = event->first;
        p->last = event->last;
    }
    if (event->type == BUILD_EVENT_BUILT)
        snprintf(p->id, sizeof(p->id), "%s", event->id);
    if (p->quiet)
        return;
    erase(p);
    take_event(p, event);
    if (event->type != BUILD_EVENT_FAULT && event->type != BUILD_EVENT_BUILT &&
        event->type != BUILD_EVENT_TAGGED)
        draw(p);
}

void progress_end(struct progress *p)
{
    erase(p);
    fflush(p->out);
}

void progress_show_fault(const struct progress *p, const char *name, const char *text, size_t len)
{
    const char *end = text + len;
    int line = 1;

    if (p->first <= 0 || !text)
        return;
    fprintf(p->out, "%s:%d\n--------------------\n", name, p->first);
    for (const char *at = text; at < end; line++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;

        if (line >= p->first - CONTEXT_LINES && line <= p->last + CONTEXT_LINES)
            fprintf(p->out, "%4d | %s %.*s\n", line,
                    line >= p->first && line <= p->last ? ">>>" : "   ", (int)(stop - at), at);
        at = stop + 1;
    }
    fprintf(p->out, "--------------------\n");
}
