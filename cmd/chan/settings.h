/* SPDX-License-Identifier: Apache-2.0 */
/* What the command line asks for, for the commands to read. */
#ifndef CMD_CHAN_SETTINGS_H
#define CMD_CHAN_SETTINGS_H

#include "chan.h"

struct settings {
    bool echo, reply, take, once, call;
    char *fd_key;
    int fd;
    int64_t timeout_ms, wait_ms;
    uint64_t mode; /* of the socket; 0: as the umask says */
    struct chan_options options;
    const char *arguments[2];
};

enum settings_result { SETTINGS_OK, SETTINGS_HELP, SETTINGS_WRONG };

/* Reads the options in front of and between the words; *ret_word: the first word of argv. */
enum settings_result settings_read(struct settings *s, int argc, char **argv, int *ret_word);

/* For a server: the dialect that was named, or all of them. */
void settings_serve_dialects(const struct settings *s, struct chan_options *o);

/* When a call, a send or a dial that starts now is given up. */
chan_time settings_deadline(const struct settings *s);

/* Prints the error; returns the exit code of the program. */
int settings_fail(const struct wharf_error *e);

#endif
