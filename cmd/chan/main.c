/* SPDX-License-Identifier: Apache-2.0 */
/* chan - netcat for channels. The text of --help is the manual; each command is a function of
 * command.h. */
#include <signal.h>
#include <stdio.h>
#include "base/macros.h"
#include "base/str.h"
#include "cmd/chan/command.h"

static const char help[] =
    "usage: chan COMMAND [OPTION...] ADDRESS [...]\n"
    "\n"
    "Channels for shell scripts: messages are JSON, one a line.\n"
    "\n"
    "  chan serve ADDRESS           listen; print each message that arrives on any channel\n"
    "      --echo                   answer each call with its own message\n"
    "      --reply                  answer each call with the next line of standard input\n"
    "      --take                   copy the bytes of descriptors that arrive to standard output\n"
    "      --once                   end when the first connection ends\n"
    "      --mode OCTAL             permissions of the unix socket: 666 lets every user dial\n"
    "  chan dial ADDRESS            send each line of standard input as a message\n"
    "      --call                   each line is a call: wait for its answer and print it\n"
    "      --fd KEY=N               put our descriptor N into each message, under this key\n"
    "  chan gateway ADDRESS TARGET  listen; lead whoever asks to TARGET (unix:PATH, "
    "tcp:HOST:PORT);\n"
    "                               TARGET - lets the caller choose any address\n"
    "  chan connect ADDRESS [TARGET]  a raw connection through a gateway, on standard input and "
    "output\n"
    "  chan peer ADDRESS            print who is at the other end\n"
    "  chan bench                   measure a round trip and a stream over a unix socket\n"
    "\n"
    "  --wait SECONDS               where nobody listens yet, dial again for so long\n"
    "  --timeout SECONDS            give up a call, a send or a dial after so long (default: "
    "never)\n"
    "  --dialect NAME               native, spdy-2015, spdy-0.1 or unix-2014; a server that names\n"
    "                               none recognises its callers'\n"
    "  --tls-ca FILE --tls-cert FILE --tls-key FILE --tls-name NAME\n"
    "\n"
    "ADDRESS is unix:PATH, unix:@NAME, tcp:HOST:PORT, tls:HOST:PORT, ws://HOST:PORT/PATH,\n"
    "wss://HOST:PORT/PATH or fd:N. What JSON lacks is written {\"$bin\": \"00ff\"}, {\"$time\":\n"
    "\"SECONDS.NANOSECONDS\"}; attachments are shown as {\"$sender\": 0}, {\"$receiver\": 0}, "
    "{\"$fd\": 0}.\n"
    "\n"
    "  chan serve unix:/tmp/x --echo &\n"
    "  echo '{\"hello\": \"world\"}' | chan dial unix:/tmp/x --call\n";

static const struct {
    const char *name;
    int min, max; /* arguments */
    int (*run)(const struct settings *);
} commands[] = {
    { "serve", 1, 1, command_serve },     { "dial", 1, 1, command_dial },
    { "gateway", 2, 2, command_gateway }, { "connect", 1, 2, command_connect },
    { "peer", 1, 1, command_peer },       { "bench", 0, 0, command_bench },
};

static int usage(void)
{
    fprintf(stderr, "chan: see chan --help\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct settings s = { .timeout_ms = -1,
                          .options = { .tls = chan_tls(), .websocket = chan_websocket() } };
    int word;

    signal(SIGPIPE, SIG_IGN);
    switch (settings_read(&s, argc, argv, &word)) {
    case SETTINGS_HELP:
        fputs(help, stdout);
        return 0;
    case SETTINGS_WRONG:
        return usage();
    case SETTINGS_OK:
        break;
    }
    for (size_t i = 0; word < argc && i < ARRAY_SIZE(commands); i++) {
        int n = argc - word - 1;

        if (!streq(argv[word], commands[i].name))
            continue;
        if (n < commands[i].min || n > commands[i].max)
            return usage();
        for (int k = 0; k < n; k++)
            s.arguments[k] = argv[word + 1 + k];
        return commands[i].run(&s);
    }
    return usage();
}
