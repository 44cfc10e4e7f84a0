/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream of POST /build as dockerd's builder writes it [docker-api 4.4]. The caller builds with
 * `sequential` and `classic`: the lines tell one story.
 */
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "libimage/build/build.h"

enum { LINE_MAX_BYTES = 16 << 20, HELD_MAX = 16 << 20, SHORT_ID = 12 };

#define RED   "\033[91m"
#define PLAIN "\033[0m"

static void send(struct classic_writer *w, struct buf *b)
{
    buf_str(b, "}\r\n");
    if (b->error)
        w->result = w->result < 0 ? w->result : b->error;
    else if (w->result == 0)
        w->result = w->write(b->data, b->len, w->arg);
}

/* A line that `quiet` holds back. */
static void tell(struct classic_writer *w, struct buf *b)
{
    if (!w->quiet) {
        send(w, b);
        return;
    }
    buf_str(b, "}\r\n");
    if (!b->error && w->held.len + b->len <= HELD_MAX)
        buf_add(&w->held, b->data, b->len);
}

static void say_text(struct classic_writer *w, const char *text, size_t len)
{
    autobuf struct buf b = BUF(LINE_MAX_BYTES);

    buf_str(&b, "{\"stream\":");
    buf_json(&b, text, len);
    tell(w, &b);
}

static void __attribute__((format(printf, 2, 3)))
say(struct classic_writer *w, const char *format, ...)
{
    char text[1024];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    say_text(w, text, MIN((size_t)n, sizeof(text) - 1));
}

static const char *short_id(const char *id)
{
    const char *colon = strchr(id, ':');

    return colon ? colon + 1 : id;
}

static void begin_step(struct classic_writer *w, const struct build_event *event)
{
    autofree char *text = str_format("Step %zu/%zu : %s", event->number, event->total, event->text);

    if (text)
        say_text(w, text, strlen(text));
    say(w, "\n");
    w->said = 0;
}

/* What the command says to stderr is red. */
static void output(struct classic_writer *w, const struct build_event *event)
{
    autobuf struct buf b = BUF(LINE_MAX_BYTES);

    if (event->stream == 2)
        buf_str(&b, RED);
    buf_add(&b, event->text, event->len);
    if (event->stream == 2)
        buf_str(&b, PLAIN);
    if (!b.error)
        say_text(w, b.data, b.len);
}

/* Those of lines stand together in front of the first step, in red. */
static void keep_warning(struct classic_writer *w, const char *text)
{
    w->warnings.max = HELD_MAX;
    buf_printf(&w->warnings, "%s[WARNING]: %s\n", w->warnings.len ? "" : RED, text);
}

static void say_warnings(struct classic_writer *w)
{
    if (w->warnings.len == 0)
        return;
    buf_str(&w->warnings, "[WARNING]: Empty continuation lines will become errors in a future "
                          "release.\n" PLAIN);
    if (!w->warnings.error)
        say_text(w, w->warnings.data, w->warnings.len);
    buf_reset(&w->warnings);
}

static void aux(struct classic_writer *w, const char *id)
{
    autobuf struct buf b = BUF(512);

    buf_str(&b, "{\"aux\":{\"ID\":");
    buf_json(&b, id, strlen(id));
    buf_char(&b, '}');
    tell(w, &b);
}

void classic_event(const struct build_event *event, void *writer)
{
    struct classic_writer *w = writer;

    w->held.max = HELD_MAX;
    switch (event->type) {
    case BUILD_EVENT_STEP:
        say_warnings(w);
        begin_step(w, event);
        break;
    case BUILD_EVENT_TRIGGERS:
        say(w, "# Executing %lld build trigger%s\n", (long long)event->done,
            event->done == 1 ? "" : "s");
        break;
    case BUILD_EVENT_CACHED:
        say(w, " ---> Using cache\n");
        break;
    case BUILD_EVENT_RUNNING:
        if (event->id)
            say(w, " ---> Running in %.*s\n", SHORT_ID, event->id);
        break;
    case BUILD_EVENT_OUTPUT:
        output(w, event);
        break;
    case BUILD_EVENT_REMOVED:
        w->said = !w->keep;
        snprintf(w->id, sizeof(w->id), "%s", event->id);
        break;
    case BUILD_EVENT_DONE:
        if (w->said)
            say(w, "Removing intermediate container %.*s\n", SHORT_ID, w->id);
        w->said = 0;
        say(w, " ---> %.*s\n", SHORT_ID, short_id(event->id));
        break;
    case BUILD_EVENT_STAGE:
        aux(w, event->id);
        break;
    case BUILD_EVENT_WARNING:
        if (event->first == 0)
            say(w, "[Warning] %s\n", event->text);
        else
            keep_warning(w, event->text);
        break;
    case BUILD_EVENT_FAULT:
        w->code = event->code;
        free(w->fault);
        w->fault = strdup(event->text);
        break;
    case BUILD_EVENT_BUILT:
        snprintf(w->id, sizeof(w->id), "%s", event->id);
        say(w, "Successfully built %.*s\n", SHORT_ID, short_id(event->id));
        w->built = 1;
        break;
    case BUILD_EVENT_TAGGED:
        say(w, "Successfully tagged %s\n", event->text);
        break;
    default:
        break;
    }
}

static void send_id(struct classic_writer *w)
{
    autobuf struct buf b = BUF(512);
    autofree char *line = str_format("%s\n", w->id);

    buf_str(&b, "{\"stream\":");
    buf_json(&b, line ? line : "", line ? strlen(line) : 0);
    send(w, &b);
}

static void send_fault(struct classic_writer *w, const char *text)
{
    autobuf struct buf b = BUF(LINE_MAX_BYTES);

    if (w->held.len > 0 && w->result == 0)
        w->result = w->write(w->held.data, w->held.len, w->arg);
    buf_str(&b, "{\"errorDetail\":{");
    if (w->code)
        buf_printf(&b, "\"code\":%d,", w->code);
    buf_str(&b, "\"message\":");
    buf_json(&b, text, strlen(text));
    buf_str(&b, "},\"error\":");
    buf_json(&b, text, strlen(text));
    send(w, &b);
}

int classic_end(struct classic_writer *w, int result, const struct wharf_error *e)
{
    if (result < 0)
        send_fault(w, w->fault ? w->fault : e->message);
    else if (w->quiet)
        send_id(w);
    buf_done(&w->held);
    buf_done(&w->warnings);
    free(w->fault);
    w->fault = NULL;
    return w->result;
}
