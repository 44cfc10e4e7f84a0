/* SPDX-License-Identifier: Apache-2.0 */
/* Owners and modes. See owner.h. */
#include "libimage/build/owner.h"

#include <fcntl.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "base/str.h"

enum { ACCOUNTS_MAX = 1 << 20 };

static int read_accounts(int root, const char *path, struct buf *b)
{
    autoclose int fd = path_open_in(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    struct stat st;

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return -ENOENT;
    return fd_read_all(fd, b);
}

/* The third field of the line whose first is `name`. */
static int find_id(const char *text, const char *name, uint32_t *ret)
{
    size_t len = strlen(name);

    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, len) != 0 || line[len] != ':')
            continue;
        const char *p = strchr(line + len + 1, ':');
        char number[16];
        uint64_t id;

        if (!p)
            continue;
        snprintf(number, sizeof(number), "%.*s", (int)MIN(strcspn(p + 1, ":\n"), 15u), p + 1);
        if (parse_u64(number, 0, UINT32_MAX, &id) < 0)
            continue;
        *ret = (uint32_t)id;
        return 0;
    }
    return -ENOENT;
}

static int resolve(int root, const char *path, const char *kind, const char *name, uint32_t *ret,
                   struct wharf_error *e)
{
    autobuf struct buf text = BUF(ACCOUNTS_MAX);
    uint64_t id;
    int r;

    if (parse_u64(name, 0, UINT32_MAX - 1, &id) == 0) {
        *ret = (uint32_t)id;
        return 0;
    }
    r = read_accounts(root, path, &text);
    if (r == -ENOENT || (r == 0 && find_id(text.data, name, ret) < 0))
        return err_invalid(e,
                           "unable to convert uid/gid chown string to host mapping: can't find "
                           "%s for %s %.100s: no such %s: %.100s",
                           kind[0] == 'u' ? "uid" : "gid", kind, name, kind, name);
    return r < 0 ? err_code(e, r, "cannot read '%s' of the image", path) : 0;
}

int owner_parse(int root, const char *text, struct owner *ret, struct wharf_error *e)
{
    const char *colon = strchr(text, ':');
    autofree char *user = colon ? strndup(text, (size_t)(colon - text)) : strdup(text);
    struct owner o;
    int r;

    if (!user)
        return err_nomem(e);
    if (!*user || (colon && (!colon[1] || strchr(colon + 1, ':'))))
        return err_invalid(e, "invalid chown string parsing: \"%.100s\"", text);
    r = resolve(root, "etc/passwd", "user", user, &o.uid, e);
    if (r == 0)
        r = resolve(root, "etc/group", "group", colon ? colon + 1 : user, &o.gid, e);
    if (r == 0)
        *ret = o;
    return r;
}

/* ---- modes ----------------------------------------------------------------------------------- */

/* The bits of one letter of rwxXst for the classes `who` (bits of 0777 spread by class). */
static mode_t bits_of(char letter, mode_t who, mode_t mode, bool directory)
{
    switch (letter) {
    case 'r':
        return 0444 & who;
    case 'w':
        return 0222 & who;
    case 'x':
        return 0111 & who;
    case 'X':
        return directory || (mode & 0111) ? 0111 & who : 0;
    case 's':
        return (who & 0700 ? S_ISUID : 0) | (who & 0070 ? S_ISGID : 0);
    case 't':
        return S_ISVTX;
    default:
        return 0;
    }
}

/* One clause, "go-w". Where it ends, or NULL. */
static const char *apply_clause(const char *p, mode_t *mode, bool directory)
{
    mode_t who = 0;

    for (; *p && strchr("ugoa", *p); p++)
        who |= *p == 'u' ? 0700 : *p == 'g' ? 0070 : *p == 'o' ? 0007 : 0777;
    who = who ? who : 0777;
    if (!*p || !strchr("+-=", *p))
        return NULL;
    while (*p && strchr("+-=", *p)) {
        char op = *p++;
        mode_t bits = 0;

        for (; *p && strchr("rwxXst", *p); p++)
            bits |= bits_of(*p, who, *mode, directory);
        if (*p && strchr("ugo", *p)) {
            mode_t from = *p == 'u' ? *mode >> 6 : *p == 'g' ? *mode >> 3 : *mode;

            bits |= (from & 7) * 0111 & who;
            p++;
        }
        if (op == '=')
            *mode &= ~who;
        *mode = op == '-' ? *mode & ~bits : *mode | bits;
    }
    return p;
}

int mode_apply(const char *text, mode_t mode, bool directory, mode_t *ret, struct wharf_error *e)
{
    const char *p = text;
    uint64_t octal;

    if (parse_octal(text, 07777, &octal) == 0) {
        *ret = (mode_t)octal;
        return 0;
    }
    mode &= 07777;
    while ((p = apply_clause(p, &mode, directory)) && *p == ',')
        p++;
    if (!p || *p)
        return err_invalid(e, "invalid chmod parameter: '%.50s'. it should be octal or symbolic",
                           text);
    *ret = mode;
    return 0;
}
