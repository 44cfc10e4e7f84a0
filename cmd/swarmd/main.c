/* SPDX-License-Identifier: Apache-2.0 */
/*
 * swarmd: composes services from a description and runs them.
 *
 *     swarmd                                                  tells which services there are
 *     swarmd 'dockerserver unix:///run/d.sock' 'debug' 'docker unix:///run/docker.sock'
 *     swarmd 'dockerserver tcp://127.0.0.1:4243 | aggregate (engine) (docker tcp://10.0.0.2:2375)'
 *
 *     swarmd --verify-audit PATH                              checks what 'authorize' wrote
 *
 * Each argument is a part of one pipeline, as in 2014; the language is that of swarm.h.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "cmd/swarmd/types.h"
#include "libswarm/filters/audit.h"

static int list_types(void)
{
    puts("Usage: swarmd SERVICE...\n       swarmd --verify-audit PATH\n\nServices:");
    for (const struct service_type *t = swarmd_types; t->name; t++)
        printf("  %-44s %s\n", t->usage, t->help);
    return 0;
}

/* Does each line of an audit log follow from the one before? */
static int verify(const char *path)
{
    struct wharf_error e = { 0 };
    uint64_t lines;

    if (audit_verify(path, &lines, &e) < 0) {
        fprintf(stderr, "swarmd: %s\n", e.message);
        return wharf_error_exit(&e);
    }
    printf("%s: %" PRIu64 " lines, unbroken\n", path, lines);
    return 0;
}

static int wait_for_end(const sigset_t *ends)
{
    int signal;

    while (sigwait(ends, &signal) != 0)
        continue;
    return 0;
}

int main(int argc, char **argv)
{
    struct wharf_error e = { 0 };
    struct service *top;
    sigset_t ends;
    autobuf struct buf text = BUF(64u << 10);

    if (argc == 1 || streq(argv[1], "--help") || streq(argv[1], "-h"))
        return list_types();
    if (streq(argv[1], "--verify-audit") && argc == 3)
        return verify(argv[2]);
    for (int i = 1; i < argc; i++)
        buf_printf(&text, "%s%s", i > 1 ? " | " : "", argv[i]);
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL); /* before any thread */
    signal(SIGPIPE, SIG_IGN);
    if (text.error)
        err_code(&e, text.error, "the composition is too long");
    else if (compose(text.data, swarmd_types, NULL, &top, &e) == 0) {
        wait_for_end(&ends);
        service_unref(top);
        return 0;
    }
    fprintf(stderr, "swarmd: %s\n", e.message);
    return wharf_error_exit(&e);
}
