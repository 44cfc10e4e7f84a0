/* SPDX-License-Identifier: Apache-2.0 */
/*
 * login and logout: docker's ~/.docker/config.json, so that one login serves both. A password goes
 * to the credential helper that the file names, else into `auths` as docker keeps it. The file is
 * replaced as a whole, readable by its owner; members that we do not know stay.
 */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include "base/fd.h"
#include "base/str.h"
#include "cmd/wharf/cli.h"
#include "image.h"

#define HUB_KEY "https://index.docker.io/v1/"

enum { CONFIG_MAX = 1 << 20, SECRET_MAX = 64 << 10 };

struct logins {
    char *directory, *path;
    json_t *tree;
    const char *key;    /* of the server at hand */
    const char *helper; /* that keeps its password; NULL: the file */
};

static void logins_done(struct logins *l)
{
    free(l->directory);
    free(l->path);
    json_decref(l->tree);
}
#define autologins __attribute__((cleanup(logins_done)))

static const char *find_helper(json_t *tree, const char *key)
{
    const char *own = json_string_value(json_object_get(json_object_get(tree, "credHelpers"), key));
    const char *store = json_string_value(json_object_get(tree, "credsStore"));

    return own && *own ? own : store && *store ? store : NULL;
}

static int logins_read(struct logins *l, const char *server, struct wharf_error *e)
{
    const char *directory = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
    autofree char *text = NULL;
    ssize_t n;
    int r = 0;

    l->directory = directory && *directory ? strdup(directory)
                                           : str_format("%s/.docker", home ? home : "/root");
    l->path = l->directory ? str_format("%s/config.json", l->directory) : NULL;
    if (!l->path)
        return err_nomem(e);
    n = file_read(AT_FDCWD, l->path, CONFIG_MAX, &text);
    if (n < 0 && n != -ENOENT)
        return err_code(e, (int)n, "cannot read '%s'", l->path);
    if (n > 0)
        r = json_read(text, (size_t)n, JSON_LIMITS, l->path, &l->tree, e);
    else
        l->tree = json_object();
    if (r < 0)
        return r;
    if (!json_is_object(l->tree))
        return err_invalid(e, "'%s' is not a JSON object", l->path);
    l->key = streq(server, "docker.io") ? HUB_KEY : server;
    l->helper = find_helper(l->tree, l->key);
    return 0;
}

static int logins_write(struct logins *l, struct wharf_error *e)
{
    autofree char *text = json_write(l->tree, JSON_INDENT(4) | JSON_PRESERVE_ORDER);
    autoclose int dir = -1;
    int r = text ? path_make_dirs(l->directory, 0700) : -ENOMEM;

    if (r == 0) {
        dir = open(l->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = dir < 0 ? -errno : file_replace(dir, "config.json", text, strlen(text), 0600, true);
    }
    return r < 0 ? err_code(e, r, "cannot write '%s'", l->path) : 0;
}

/* Runs `docker-credential-HELPER VERB` with `input` on its standard input. */
static int run_helper(const char *helper, const char *verb, const char *input,
                      struct wharf_error *e)
{
    autofree char *program = str_format("docker-credential-%s", helper);
    char *argv[] = { program, (char *)verb, NULL };
    posix_spawn_file_actions_t actions;
    int in[2], status = -1, r;
    pid_t pid;

    if (!program || strchr(helper, '/'))
        return err_invalid(e, "'%.100s' is no name of a credential helper", helper);
    if (pipe2(in, O_CLOEXEC) < 0)
        return err_sys(e, "cannot make a pipe");
    signal(SIGPIPE, SIG_IGN);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    r = -posix_spawnp(&pid, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    fd_close(in[0]);
    if (r == 0)
        r = fd_write_all(in[1], input, strlen(input));
    fd_close(in[1]);
    if (r < 0 && r != -EPIPE)
        return err_code(e, r, "cannot run credential helper '%s'", program);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status == 0 ? 0
                       : err_set(e, -EIO, WHARF_ERROR_INTERNAL, "credential helper '%s %s' failed",
                                 program, verb);
}

static int base64(const char *text, char *out, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = (const unsigned char *)text;
    size_t len = strlen(text), used = 0;

    if ((len + 2) / 3 * 4 >= size)
        return -EFBIG;
    for (size_t i = 0; i < len; i += 3) {
        unsigned bits = (unsigned)p[i] << 16 | (i + 1 < len ? (unsigned)p[i + 1] << 8 : 0) |
                        (i + 2 < len ? p[i + 2] : 0);

        for (size_t k = 0; k < 4; k++)
            out[used++] = i + k > len ? '=' : digits[bits >> (18 - 6 * k) & 63];
    }
    out[used] = 0;
    return 0;
}

static int keep_in_file(struct logins *l, const char *user, const char *secret,
                        struct wharf_error *e)
{
    autofree char *plain = str_format("%s:%s", user, secret), *packed = malloc(2 * SECRET_MAX);
    json_t *auths = json_object_get(l->tree, "auths");
    int r;

    if (!plain || !packed)
        return err_nomem(e);
    r = base64(plain, packed, 2 * SECRET_MAX);
    explicit_bzero(plain, strlen(plain));
    if (r < 0)
        return err_code(e, r, "the password is too long");
    if (!json_is_object(auths)) {
        auths = json_object();
        json_object_set_new(l->tree, "auths", auths);
    }
    json_object_set_new(auths, l->key, json_pack("{s:s}", "auth", packed));
    fprintf(stderr,
            "WARNING! Your password will be stored unencrypted in %s.\n"
            "Configure a credential helper to remove this warning.\n",
            l->path);
    return logins_write(l, e);
}

static int keep_in_helper(struct logins *l, const char *user, const char *secret,
                          struct wharf_error *e)
{
    autojson json_t *login =
        json_pack("{s:s, s:s, s:s}", "ServerURL", l->key, "Username", user, "Secret", secret);
    autofree char *text = login ? json_write(login, JSON_COMPACT) : NULL;
    json_t *auths = json_object_get(l->tree, "auths");
    int r = text ? run_helper(l->helper, "store", text, e) : err_nomem(e);

    if (r < 0)
        return r;
    explicit_bzero(text, strlen(text));
    if (!json_is_object(auths)) {
        auths = json_object();
        json_object_set_new(l->tree, "auths", auths);
    }
    json_object_set_new(auths, l->key, json_object()); /* docker notes that there is a login */
    return logins_write(l, e);
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* A line of standard input, without its end. */
static int read_line(char *text, size_t size)
{
    if (!fgets(text, (int)size, stdin))
        return -ENODATA;
    text[strcspn(text, "\r\n")] = 0;
    return *text ? 0 : -ENODATA;
}

static int ask_password(char *text, size_t size)
{
    struct termios before, hidden;
    int r;

    if (tcgetattr(STDIN_FILENO, &before) < 0)
        return -errno;
    hidden = before;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    fputs("Password: ", stderr);
    r = read_line(text, size);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    putc('\n', stderr);
    return r;
}

struct answers {
    char user[512], password[SECRET_MAX];
};

static int ask(const struct login_options *o, struct answers *a, struct wharf_error *e)
{
    bool terminal = isatty(STDIN_FILENO);
    int r = 0;

    if (o->password && o->password_stdin)
        return err_invalid(e, "--password and --password-stdin are mutually exclusive");
    if (o->password_stdin && !o->username)
        return err_invalid(e, "Must provide --username with --password-stdin");
    if (!o->password && !o->password_stdin && !terminal)
        return err_invalid(e, "Cannot perform an interactive login from a non TTY device");
    if (o->username) {
        snprintf(a->user, sizeof(a->user), "%s", o->username);
    } else {
        fputs("Username: ", stderr);
        r = read_line(a->user, sizeof(a->user));
    }
    if (r == 0 && o->password)
        snprintf(a->password, sizeof(a->password), "%s", o->password);
    else if (r == 0)
        r = o->password_stdin ? read_line(a->password, sizeof(a->password))
                              : ask_password(a->password, sizeof(a->password));
    return r < 0 ? err_invalid(e, "username and password must not be empty") : 0;
}

/* The host of what was typed; none: docker.io. */
static void server_name(const char *typed, char *server, size_t size)
{
    const char *host = typed ? typed : "docker.io", *rest = str_after(host, "https://");

    rest = rest ? rest : str_after(host, "http://");
    snprintf(server, size, "%.*s", (int)strcspn(rest ? rest : host, "/"), rest ? rest : host);
    if (streq(server, "index.docker.io") || streq(server, "registry-1.docker.io"))
        snprintf(server, size, "docker.io");
}

int login_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct login_options *o = options;
    struct image_remote_options remote = { .size = sizeof(remote),
                                           .insecure = (const char *const *)o->insecure,
                                           .ca_file = o->ca_file };
    autofree struct answers *a = calloc(1, sizeof(*a));
    autologins struct logins logins = { NULL };
    char server[IMAGE_NAME_MAX + 1];
    int r = a ? ask(o, a, &cli->e) : err_nomem(&cli->e);

    server_name(argc > 0 ? argv[0] : NULL, server, sizeof(server));
    if (r == 0) {
        remote.username = a->user;
        remote.password = a->password;
        r = image_login(server, &remote, NULL, &cli->e);
    }
    if (r == 0)
        r = logins_read(&logins, server, &cli->e);
    if (r == 0)
        r = logins.helper ? keep_in_helper(&logins, a->user, a->password, &cli->e)
                          : keep_in_file(&logins, a->user, a->password, &cli->e);
    if (a)
        explicit_bzero(a, sizeof(*a));
    if (r < 0)
        return cli_fail(cli);
    printf("Login Succeeded\n");
    return 0;
}

int logout_command(struct cli *cli, void *options, int argc, char **argv)
{
    autologins struct logins logins = { NULL };
    char server[IMAGE_NAME_MAX + 1];
    json_t *auths;
    int r;

    server_name(argc > 0 ? argv[0] : NULL, server, sizeof(server));
    r = logins_read(&logins, server, &cli->e);
    if (r < 0)
        return cli_fail(cli);
    auths = json_object_get(logins.tree, "auths");
    if (!json_object_get(auths, logins.key) && !logins.helper) {
        printf("Not logged in to %s\n", server);
        return 0;
    }
    printf("Removing login credentials for %s\n", server);
    if (logins.helper)
        r = run_helper(logins.helper, "erase", logins.key, &cli->e);
    if (r == 0 && json_object_del(auths, logins.key) == 0)
        r = logins_write(&logins, &cli->e);
    return r < 0 ? cli_fail(cli) : 0;
}
