/* SPDX-License-Identifier: Apache-2.0 */
/* Tables, templates and times as people read them. */
#ifndef WHARF_OUTPUT_H
#define WHARF_OUTPUT_H

#include "base/buf.h"
#include "base/json.h"

#define OUTPUT_COLUMNS 16

/* A listing: rows of the same columns. `format` NULL or "table": aligned, with a heading; "json":
 * an object a line; "table {{.A}}...": only these; else a template, a line each. */
struct output {
    const char *const *names;    /* {{.Name}} of each column, NULL at the end */
    const char *const *headings; /* of the table; NULL: not in the plain table */
    char **cells;                /* rows one behind the other */
    size_t count, columns;
};
int output_row(struct output *o, const char *const *cells); /* copies */
int output_print(const struct output *o, const char *format, struct wharf_error *e);
void output_done(struct output *o);

/* A template over a JSON value: text, {{.A.B}}, {{json .A}}. */
int template_print(const char *template, json_t *value, struct wharf_error *e);

void size_text(int64_t bytes, char *text, size_t size);

/* A time of --since: RFC 3339, seconds since the epoch, or how long ago ("1h30m"). */
int when_parse(const char *text, int64_t *ret_ns, struct wharf_error *e);

#endif
