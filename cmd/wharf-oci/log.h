/* SPDX-License-Identifier: Apache-2.0 */
/* Where errors and warnings go: stderr, a file, the journal or syslog, in runc's two forms. */
#ifndef WHARF_OCI_LOG_H
#define WHARF_OCI_LOG_H

#include "options.h"

struct log {
    int fd; /* a file, a datagram socket, or 2 */
    bool json;
    enum container_log_level level; /* what is less grave is left out */
    const char *journal, *syslog;   /* the identifier, if it goes there */
};

int log_open(struct log *ret, const struct options *o, struct wharf_error *e);
/* Has the type of container_engine_options.log; `user` is the struct log. */
void log_line(void *user, enum container_log_level level, const char *line);

#endif
