/* SPDX-License-Identifier: Apache-2.0 */
/* See progress.h. (ECMA-48 for the cursor.) */
#include "base/macros.h"

#include "cmd/wharf/progress.h"

#include <string.h>
#include <sys/ioctl.h>
#include "base/str.h"
#include "cmd/wharf/output.h"

enum { BAR = 25, WIDTH_DEFAULT = 80 };

void progress_init(struct progress *p, FILE *out)
{
    *p = (struct progress){ .out = out, .terminal = isatty(fileno(out)) };
}

static int terminal_width(FILE *out)
{
    struct winsize size;

    return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : WIDTH_DEFAULT;
}

/* "Downloading [====>     ]  1.2MB/4.5MB" */
static void format_step(const struct image_message *m, char *text, size_t size)
{
    char bar[BAR + 1], done[32], all[32];
    int filled;

    snprintf(text, size, "%s", m->status);
    if (m->total <= 0)
        return;
    filled = (int)(BAR * (double)MIN(m->current, m->total) / (double)m->total);
    memset(bar, ' ', BAR);
    memset(bar, '=', (size_t)filled);
    if (filled < BAR)
        bar[filled] = '>';
    bar[BAR] = 0;
    size_text(m->current, done, sizeof(done));
    size_text(m->total, all, sizeof(all));
    snprintf(text, size, "%s [%s]  %s/%s", m->status, bar, done, all);
}

/* How many lines above the cursor the id's line is; a new one is made below. 0: no room. */
static size_t find_line(struct progress *p, const char *id)
{
    for (size_t i = 0; i < p->count; i++) {
        if (streq(p->ids[i], id))
            return p->count - i;
    }
    if (p->count == PROGRESS_LINES)
        return 0;
    snprintf(p->ids[p->count++], sizeof(p->ids[0]), "%s", id);
    putc('\n', p->out);
    return 1;
}

int progress_tell(const struct image_message *m, void *arg)
{
    struct progress *p = arg;
    char text[256];
    size_t up;

    if (m->stream)
        fputs(m->stream, p->out);
    if (!m->status)
        return 0;
    if (!m->id || !p->terminal) {
        if (m->total <= 0)
            fprintf(p->out, "%s%s%s\n", m->id ? m->id : "", m->id ? ": " : "", m->status);
        fflush(p->out);
        return 0;
    }
    format_step(m, text, sizeof(text));
    up = find_line(p, m->id);
    if (up == 0)
        return 0;
    fprintf(p->out, "\033[%zuA\r\033[2K%s: %.*s\033[%zuB\r", up, m->id,
            MAX(terminal_width(p->out) - (int)strlen(m->id) - 3, 10), text, up);
    fflush(p->out);
    return 0;
}
