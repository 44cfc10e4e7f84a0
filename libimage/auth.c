/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials, challenges and tokens. See auth.h. */
#include "libimage/auth.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#define HUB_KEY "https://index.docker.io/v1/"

/* ---- challenges (RFC 9110, 11.6.1) ---- */

static const char *skip(const char *p, const char *set)
{
    return p + strspn(p, set);
}

/* name=token or name="quoted \" string"; the end, or NULL when there is none. */
static const char *parse_parameter(const char *p, char name[32], char *value)
{
    size_t n = strcspn(p, "= \t,"), used = 0;

    if (n == 0 || n >= 32 || p[n] != '=')
        return NULL;
    memcpy(name, p, n);
    name[n] = 0;
    p += n + 1;
    if (*p != '"') {
        n = strcspn(p, " \t,");
        if (n >= AUTH_PARAMETER_MAX)
            return NULL;
        memcpy(value, p, n);
        value[n] = 0;
        return p + n;
    }
    for (p++; *p && *p != '"'; p++) {
        if (*p == '\\' && p[1])
            p++;
        if (used + 1 >= AUTH_PARAMETER_MAX)
            return NULL;
        value[used++] = *p;
    }
    value[used] = 0;
    return *p == '"' ? p + 1 : NULL;
}

bool challenge_parse(struct challenge *ret, const char *value)
{
    autofree struct challenge *c = calloc(1, sizeof(*c));
    const char *p = skip(value, " \t,");
    bool found = false, known = false;
    char name[32], *text = c ? malloc(AUTH_PARAMETER_MAX) : NULL;

    while (text && *p) {
        size_t word = strcspn(p, " \t,=");
        const char *end;

        if (word && (p[word] == ' ' || p[word] == 0 || p[word] == ',')) { /* a scheme begins */
            if (known && c->bearer)
                break;
            *c = (struct challenge){ .bearer = word == 6 && strncasecmp(p, "bearer", 6) == 0 };
            known = c->bearer || (word == 5 && strncasecmp(p, "basic", 5) == 0);
            found |= known;
            if (known)
                *ret = *c;
            p = skip(p + word, " \t,");
            continue;
        }
        end = parse_parameter(p, name, text);
        if (!end)
            break;
        if (strcasecmp(name, "realm") == 0)
            memcpy(c->realm, text, strlen(text) + 1);
        else if (strcasecmp(name, "service") == 0)
            memcpy(c->service, text, strlen(text) + 1);
        else if (strcasecmp(name, "scope") == 0)
            memcpy(c->scope, text, strlen(text) + 1);
        if (known)
            *ret = *c;
        p = skip(end, " \t,");
    }
    free(text);
    return found;
}

/* ---- credentials ---- */

static void forget(char **secret)
{
    if (*secret)
        explicit_bzero(*secret, strlen(*secret));
    free(*secret);
    *secret = NULL;
}

void auth_done(struct auth *a)
{
    forget(&a->username);
    forget(&a->password);
    forget(&a->identity);
    forget(&a->header);
    free(a->scope);
    a->scope = NULL;
}

int auth_copy(struct auth *a, const struct auth *from)
{
    const struct {
        char **to, *from;
    } all[] = { { &a->username, from->username },
                { &a->password, from->password },
                { &a->identity, from->identity },
                { &a->scope, from->scope },
                { &a->header, from->header } };
    int r = 0;

    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        *all[i].to = all[i].from ? strdup(all[i].from) : NULL;
        if (all[i].from && !*all[i].to)
            r = -ENOMEM;
    }
    return r;
}

/* docker's convention: a user called <token> has a refresh token for a password. */
static int set_login(struct auth *a, const char *username, const char *password)
{
    if (streq(username, "<token>")) {
        a->identity = strdup(password);
        return a->identity ? 0 : -ENOMEM;
    }
    a->username = strdup(username);
    a->password = strdup(password);
    return a->username && a->password ? 0 : -ENOMEM;
}

/* Base64 of "user:password". */
static int set_packed(struct auth *a, const char *packed)
{
    size_t len = strlen(packed);
    autofree char *plain = calloc(1, len / 4 * 3 + 4);
    char *colon;
    int r;

    if (!plain)
        return -ENOMEM;
    if (len % 4 || len > AUTH_TOKEN_MAX ||
        EVP_DecodeBlock((unsigned char *)plain, (const unsigned char *)packed, (int)len) < 0 ||
        !(colon = strchr(plain, ':')))
        return -EINVAL;
    *colon = 0;
    r = set_login(a, plain, colon + 1);
    explicit_bzero(plain, len / 4 * 3);
    return r;
}

/* Runs `docker-credential-NAME get` with the key on its standard input. 0 and its answer. */
static int run_helper(const char *name, const char *key, struct buf *answer, struct wharf_error *e)
{
    autofree char *program = str_format("docker-credential-%s", name);
    int in[2] = { -1, -1 }, out[2] = { -1, -1 }, status = 0, r;
    char *argv[] = { program, (char[]){ "get" }, NULL };
    posix_spawn_file_actions_t actions;
    pid_t pid;

    if (!program)
        return err_nomem(e);
    if (name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")])
        return err_invalid(e, "'%.100s' is no name of a credential helper", name);
    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0) {
        fd_close(in[0]);
        fd_close(in[1]);
        return err_sys(e, "cannot make a pipe");
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    r = -posix_spawnp(&pid, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    fd_close(in[0]);
    fd_close(out[1]);
    if (r == 0) {
        r = fd_write_all(in[1], key, strlen(key)); /* far less than a pipe holds */
        in[1] = fd_close(in[1]);
        if (r == 0 || r == -EPIPE)
            r = fd_read_all(out[0], answer);
        if (r < 0)
            kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    fd_close(in[1]);
    fd_close(out[0]);
    if (r < 0)
        return err_code(e, r, "cannot run credential helper '%s'", program);
    return status == 0 ? 0 : -ENOENT; /* helpers fail when they know nothing */
}

static int ask_helper(struct auth *a, const char *name, const char *key, struct wharf_error *e)
{
    autobuf struct buf answer = BUF(AUTH_HELPER_MAX);
    autojson json_t *j = NULL;
    const char *username, *secret;
    int r = run_helper(name, key, &answer, e);

    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;
    r = json_read(answer.data ? answer.data : "", answer.len, JSON_LIMITS, name, &j, e);
    if (r < 0)
        return r;
    username = json_string_value(json_object_get(j, "Username"));
    secret = json_string_value(json_object_get(j, "Secret"));
    if (!username || !secret)
        return err_invalid(e, "credential helper '%s' answers without Username and Secret", name);
    return set_login(a, username, secret) < 0 ? err_nomem(e) : 0;
}

/* The entry of a host; keys may be written as URLs. */
static json_t *find_entry(json_t *auths, const char *key)
{
    json_t *entry = json_object_get(auths, key), *value;
    const char *name;

    if (entry)
        return entry;
    json_object_foreach (auths, name, value) {
        const char *host = str_after(name, "https://");

        host = host ? host : str_after(name, "http://");
        if (host && strncmp(host, key, strlen(key)) == 0 && strchr("/", host[strlen(key)]))
            return value;
    }
    return NULL;
}

static int read_entry(struct auth *a, json_t *entry, const char *path, struct wharf_error *e)
{
    const char *packed = json_string_value(json_object_get(entry, "auth"));
    const char *identity = json_string_value(json_object_get(entry, "identitytoken"));
    const char *username = json_string_value(json_object_get(entry, "username"));
    const char *password = json_string_value(json_object_get(entry, "password"));
    int r = 0;

    if (packed && *packed)
        r = set_packed(a, packed);
    else if (username && password)
        r = set_login(a, username, password);
    if (r == 0 && identity && *identity) {
        forget(&a->identity);
        a->identity = strdup(identity);
        r = a->identity ? 0 : -ENOMEM;
    }
    return r < 0 ? err_code(e, r, "'%s': the entry of '%s'", path, a->host) : 0;
}

static char *config_path(const struct image_remote_options *o)
{
    const char *directory = getenv("DOCKER_CONFIG"), *home = getenv("HOME");

    if (o->config)
        return strdup(o->config);
    if (directory && *directory)
        return str_format("%s/config.json", directory);
    return home ? str_format("%s/.docker/config.json", home) : NULL;
}

static int read_config(struct auth *a, const char *path, struct wharf_error *e)
{
    const char *key = streq(a->host, "docker.io") ? HUB_KEY : a->host, *helper;
    autofree char *text = NULL;
    autojson json_t *j = NULL;
    json_t *entry;
    ssize_t n = file_read(AT_FDCWD, path, AUTH_CONFIG_MAX, &text);
    int r;

    if (n == -ENOENT || n == -EACCES)
        return 0;
    if (n < 0)
        return err_code(e, (int)n, "cannot read '%s'", path);
    r = json_read(text, (size_t)n, JSON_LIMITS, path, &j, e);
    if (r < 0)
        return r;
    helper = json_string_value(json_object_get(json_object_get(j, "credHelpers"), key));
    if (!helper)
        helper = json_string_value(json_object_get(j, "credsStore"));
    if (helper && *helper)
        r = ask_helper(a, helper, key, e);
    entry = find_entry(json_object_get(j, "auths"), key);
    if (r == 0 && !a->username && !a->identity && entry)
        r = read_entry(a, entry, path, e);
    return r;
}

/* An X-Registry-Auth header: base64, with the alphabet of URLs or the common one, of an object. An
 * empty one means nobody. */
static int read_header(struct auth *a, const char *text, struct wharf_error *e)
{
    size_t len = strcspn(text, "=\r\n"), padded = (len + 3) / 4 * 4;
    autofree char *packed = calloc(1, padded + 1), *plain = calloc(1, padded + 1);
    autojson json_t *j = NULL;
    const char *identity, *token, *username;
    int n, r = 0;

    if (!packed || !plain)
        return err_nomem(e);
    memset(packed, '=', padded);
    for (size_t i = 0; i < len; i++)
        packed[i] = (char)(text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i]);
    n = len > AUTH_TOKEN_MAX
            ? -1
            : EVP_DecodeBlock((unsigned char *)plain, (const unsigned char *)packed, (int)padded);
    if (n < 0 || (len > 0 && json_read(plain, strlen(plain), JSON_LIMITS, "", &j, NULL) < 0))
        return err_invalid(e, "X-Registry-Auth is not base64 of a JSON object");
    identity = json_string_value(json_object_get(j, "identitytoken"));
    token = json_string_value(json_object_get(j, "registrytoken"));
    username = json_string_value(json_object_get(j, "username"));
    if (token && *token)
        a->header = str_format("Authorization: Bearer %s", token);
    if (identity && *identity)
        r = (a->identity = strdup(identity)) ? 0 : -ENOMEM;
    else if (username && *username) {
        const char *password = json_string_value(json_object_get(j, "password"));

        r = set_login(a, username, password ? password : "");
    }
    explicit_bzero(plain, padded);
    return r < 0 || (token && *token && !a->header) ? err_nomem(e) : 0;
}

int auth_init(struct auth *a, const char *host, const struct image_remote_options *o,
              struct wharf_error *e)
{
    autofree char *path = NULL;

    *a = (struct auth){ .host = host };
    if (o->registry_auth)
        return read_header(a, o->registry_auth, e);
    if (o->identity_token) {
        a->identity = strdup(o->identity_token);
        return a->identity ? 0 : err_nomem(e);
    }
    if (o->username)
        return set_login(a, o->username, o->password ? o->password : "") < 0 ? err_nomem(e) : 0;
    path = config_path(o);
    return path ? read_config(a, path, e) : 0;
}

/* ---- answers ---- */

static int basic_header(const char *username, const char *password, char **ret)
{
    autofree char *plain = str_format("%s:%s", username, password);
    size_t len = plain ? strlen(plain) : 0;
    autofree char *packed = plain ? calloc(1, len / 3 * 4 + 8) : NULL;
    char *header;

    if (!packed)
        return -ENOMEM;
    EVP_EncodeBlock((unsigned char *)packed, (const unsigned char *)plain, (int)len);
    explicit_bzero(plain, len);
    header = str_format("Authorization: Basic %s", packed);
    if (!header)
        return -ENOMEM;
    forget(ret);
    *ret = header;
    return 0;
}

/* Adds name=value to a query or form. */
static void add_pair(struct buf *b, CURL *easy, const char *mark, const char *name,
                     const char *value)
{
    char *escaped = curl_easy_escape(easy, value, 0);

    if (!escaped)
        b->error = -ENOMEM;
    else
        buf_printf(b, "%s%s=%s", mark, name, escaped);
    curl_free(escaped);
}

/* What we always ask for, and what this challenge wants besides (a mount reads from another
 * repository); it is asked for from now on. */
static int widen_scope(struct auth *a, const char *wanted)
{
    autofree char *copy = strdup(wanted);
    char *next = copy;

    if (!copy)
        return -ENOMEM;
    for (char *word; (word = strsep(&next, " "));) {
        char *wider;

        if (!*word || (a->scope && strstr(a->scope, word)) ||
            (a->scope && strlen(a->scope) + strlen(word) > AUTH_PARAMETER_MAX))
            continue;
        wider = str_format("%s%s%s", a->scope ? a->scope : "", a->scope ? " " : "", word);
        if (!wider)
            return -ENOMEM;
        free(a->scope);
        a->scope = wider;
    }
    return 0;
}

/* One parameter in a form (RFC 6749, 3.3), one each in a query. */
static void add_scopes(struct buf *b, CURL *easy, const struct auth *a, bool form)
{
    autofree char *copy = strdup(a->scope ? a->scope : "");
    char *next = copy;

    if (form && a->scope) {
        add_pair(b, easy, "&", "scope", a->scope);
        return;
    }
    for (char *word; (word = strsep(&next, " "));) {
        if (*word)
            add_pair(b, easy, "&", "scope", word);
    }
}

static int read_token(struct auth *a, struct exchange *x, struct wharf_error *e)
{
    autojson json_t *j = NULL;
    const char *token;
    int r = json_read(x->body.data ? x->body.data : "", x->body.len, JSON_LIMITS, "token", &j, e);

    if (r < 0)
        return r;
    token = json_string_value(json_object_get(j, "token"));
    if (!token || !*token)
        token = json_string_value(json_object_get(j, "access_token"));
    if (!token || !*token || token[strcspn(token, "\r\n")])
        return err_invalid(e, "the login server of registry '%s' answers without a token", a->host);
    forget(&a->header);
    a->header = str_format("Authorization: Bearer %s", token);
    return a->header ? 0 : err_nomem(e);
}

/* A refresh token is traded by POST (RFC 6749, 6); anything else asks by GET, with Basic. */
static int ask_token(struct auth *a, const struct challenge *c, struct wharf_error *e)
{
    autoexchange struct exchange x = { 0 };
    autobuf struct buf text = BUF(8 * AUTH_PARAMETER_MAX + AUTH_TOKEN_MAX);
    autofree char *basic = NULL;
    bool form = a->identity;
    int r = exchange_open(&x, form ? "POST" : NULL, c->realm, a->trust, AUTH_TOKEN_MAX);

    if (r < 0)
        return err_nomem(e);
    if (form) {
        buf_str(&text, "grant_type=refresh_token&client_id=wharf");
        add_pair(&text, x.easy, "&", "refresh_token", a->identity);
    } else {
        buf_str(&text, c->realm);
    }
    add_pair(&text, x.easy, !form && !strchr(c->realm, '?') ? "?" : "&", "service", c->service);
    if (widen_scope(a, c->scope) < 0)
        return err_nomem(e);
    add_scopes(&text, x.easy, a, form);
    if (text.error)
        return err_code(e, text.error, "token request of registry '%s'", a->host);
    if (form)
        curl_easy_setopt(x.easy, CURLOPT_POSTFIELDS, text.data);
    else
        curl_easy_setopt(x.easy, CURLOPT_URL, text.data);
    if (!form && a->username) {
        r = basic_header(a->username, a->password, &basic);
        if (r == 0)
            r = exchange_header(&x, "%s", basic);
        if (r < 0)
            return err_nomem(e);
    }
    for (unsigned tries = 0;; tries++) {
        exchange_perform(&x, NULL);
        if (!exchange_may_retry(&x) || tries + 1 >= HTTP_TRIES)
            break;
        usleep((useconds_t)exchange_backoff_ms(&x, tries) * 1000);
    }
    if (x.result != CURLE_OK || exchange_status(&x) != 200)
        return exchange_error(&x, a->host, "login", e);
    return read_token(a, &x, e);
}

int auth_answer(struct auth *a, struct exchange *refused, struct wharf_error *e)
{
    autofree struct challenge *best = calloc(1, sizeof(*best)), *c = calloc(1, sizeof(*c));
    bool found = false;
    const char *value;

    if (!best || !c)
        return err_nomem(e);
    for (size_t i = 0; (value = exchange_value(refused, "www-authenticate", i)); i++) {
        if (!challenge_parse(c, value) || (found && !c->bearer))
            continue;
        *best = *c;
        found = true;
    }
    if (!found)
        return err_set(e, -EACCES, WHARF_ERROR_UNAUTHORIZED,
                       "registry '%s' refuses without saying how to log in", a->host);
    if (best->bearer) {
        if (!str_after(best->realm, "https://") && !(a->plain && str_after(best->realm, "http://")))
            return err_set(e, -EACCES, WHARF_ERROR_UNAUTHORIZED,
                           "registry '%s' names '%.200s' for logins, which is not https", a->host,
                           best->realm);
        return ask_token(a, best, e);
    }
    if (!a->username)
        return err_set(e, -EACCES, WHARF_ERROR_UNAUTHORIZED,
                       "registry '%s' wants a login; log in to it", a->host);
    return basic_header(a->username, a->password, &a->header) < 0 ? err_nomem(e) : 0;
}
