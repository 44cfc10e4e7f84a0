/* SPDX-License-Identifier: Apache-2.0 */
/* The options of chan, one row and one case each; `chan --help` says what they mean. */
#include "cmd/chan/settings.h"

#include <getopt.h>
#include "base/err.h"
#include "base/str.h"

static const struct {
    const char *name;
    const struct chan_dialect *(*get)(void);
} dialects[] = {
    { "native", chan_dialect_native },
    { "spdy-2015", chan_dialect_spdy_2015 },
    { "spdy-0.1", chan_dialect_spdy_010 },
    { "unix-2014", chan_dialect_unix_2014 },
};

enum {
    ECHO = 256,
    REPLY,
    TAKE,
    ONCE,
    CALL,
    FD,
    MODE,
    TIMEOUT,
    WAIT,
    DIALECT,
    TLS_CA,
    TLS_CERT,
    TLS_KEY,
    TLS_NAME,
    HELP
};

static const struct option options[] = {
    { "echo", no_argument, NULL, ECHO },
    { "reply", no_argument, NULL, REPLY },
    { "take", no_argument, NULL, TAKE },
    { "once", no_argument, NULL, ONCE },
    { "call", no_argument, NULL, CALL },
    { "fd", required_argument, NULL, FD },
    { "mode", required_argument, NULL, MODE },
    { "timeout", required_argument, NULL, TIMEOUT },
    { "wait", required_argument, NULL, WAIT },
    { "dialect", required_argument, NULL, DIALECT },
    { "tls-ca", required_argument, NULL, TLS_CA },
    { "tls-cert", required_argument, NULL, TLS_CERT },
    { "tls-key", required_argument, NULL, TLS_KEY },
    { "tls-name", required_argument, NULL, TLS_NAME },
    { "help", no_argument, NULL, HELP },
    { 0 },
};

static bool set_fd(struct settings *s, char *text)
{
    char *equals = strchr(text, '=');
    uint64_t n;

    if (!equals || parse_u64(equals + 1, 0, INT32_MAX, &n) < 0)
        return false;
    *equals = '\0';
    s->fd_key = text;
    s->fd = (int)n;
    return true;
}

static bool set_seconds(int64_t *ret_ms, const char *text)
{
    int64_t given;

    if (parse_i64(text, 0, 1 << 20, &given) < 0)
        return false;
    *ret_ms = given * 1000;
    return true;
}

static bool set_mode(struct settings *s, const char *text)
{
    size_t n = strspn(text, "01234567");

    s->mode = 0;
    for (const char *p = text; *p; p++)
        s->mode = s->mode * 8 + (uint64_t)(*p - '0');
    return n == 3 && !text[n];
}

static bool set_dialect(struct settings *s, const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(dialects); i++) {
        if (streq(dialects[i].name, name))
            s->options.dialects[0] = dialects[i].get();
    }
    return s->options.dialects[0];
}

static bool set(struct settings *s, int option, char *value)
{
    switch (option) {
    case ECHO:
        return s->echo = true;
    case REPLY:
        return s->reply = true;
    case TAKE:
        return s->take = true;
    case ONCE:
        return s->once = true;
    case CALL:
        return s->call = true;
    case FD:
        return set_fd(s, value);
    case MODE:
        return set_mode(s, value);
    case TIMEOUT:
        return set_seconds(&s->timeout_ms, value);
    case WAIT:
        return set_seconds(&s->wait_ms, value);
    case DIALECT:
        return set_dialect(s, value);
    case TLS_CA:
        s->options.tls_ca = value;
        return true;
    case TLS_CERT:
        s->options.tls_cert = value;
        return true;
    case TLS_KEY:
        s->options.tls_key = value;
        return true;
    case TLS_NAME:
        s->options.tls_name = value;
        return true;
    default:
        return false;
    }
}

enum settings_result settings_read(struct settings *s, int argc, char **argv, int *ret_word)
{
    int option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == HELP || option == 'h')
            return SETTINGS_HELP;
        if (!set(s, option, optarg))
            return SETTINGS_WRONG;
    }
    *ret_word = optind;
    return SETTINGS_OK;
}

void settings_serve_dialects(const struct settings *s, struct chan_options *o)
{
    for (size_t i = 0; !s->options.dialects[0] && i < ARRAY_SIZE(dialects); i++)
        o->dialects[i] = dialects[i].get();
}

chan_time settings_deadline(const struct settings *s)
{
    return chan_after_ms(s->timeout_ms);
}

int settings_fail(const struct wharf_error *e)
{
    fprintf(stderr, "chan: %s\n", e->message);
    return wharf_error_exit(e);
}
