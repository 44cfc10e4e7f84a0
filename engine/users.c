/* SPDX-License-Identifier: Apache-2.0 */
/* See users.h. passwd(5), group(5): lines of fields between colons; what does not parse is passed
 * over, as libc does. A number is always an id, never a name: an image's passwd may call root
 * "1000" (CVE-2016-3697). */
#include "engine/users.h"

#include <fcntl.h>
#include <stdio.h>
#include "base/fd.h"
#include "base/str.h"

#define FIELDS_MAX 8
#define ID_MAX     4294967294u /* 2^32 - 1 means "no id" to the kernel */

struct entry { /* fields of one line, not ended by NUL */
    const char *at[FIELDS_MAX];
    size_t len[FIELDS_MAX], count;
};

/* The next line of *text taken apart; false at the end. */
static bool next_entry(const char **text, struct entry *ret)
{
    const char *p = *text;

    if (!p || !*p)
        return false;
    size_t line = strcspn(p, "\n");
    const char *end = p + line;

    *text = *end ? end + 1 : end;
    for (ret->count = 0; ret->count < FIELDS_MAX; p++) {
        const char *stop = memchr(p, ':', (size_t)(end - p));

        ret->at[ret->count] = p;
        ret->len[ret->count++] = (size_t)((stop ? stop : end) - p);
        if (!stop)
            break;
        p = stop;
    }
    return true;
}

static bool field_is(const struct entry *e, size_t field, const char *s, size_t len)
{
    return field < e->count && e->len[field] == len && memcmp(e->at[field], s, len) == 0;
}

static int parse_id(const char *s, size_t len, uint32_t *ret)
{
    char text[16];
    uint64_t id;

    if (len == 0 || len >= sizeof(text))
        return -EINVAL;
    memcpy(text, s, len);
    text[len] = '\0';
    int r = parse_u64(text, 0, ID_MAX, &id);
    if (r == 0)
        *ret = (uint32_t)id;
    return r;
}

static bool field_id(const struct entry *e, size_t field, uint32_t *ret)
{
    return field < e->count && parse_id(e->at[field], e->len[field], ret) == 0;
}

/* Digits are never looked up as a name, not even those that are too many for an id. */
static bool is_number(const char *s, size_t len)
{
    return len > 0 && strspn(s, "0123456789") >= len;
}

/* passwd: name:password:uid:gid:comment:home:shell */
static int resolve_user(const char *passwd, const char *name, size_t len, struct entry *ret_entry,
                        struct user *ret, struct wharf_error *e)
{
    struct entry entry;
    uint32_t number = 0, uid, gid;
    bool numeric = is_number(name, len);

    ret_entry->count = 0;
    if (numeric && parse_id(name, len, &number) < 0)
        return err_invalid(e, "user %.*s: above %u", (int)len, name, ID_MAX);
    for (const char *p = passwd; next_entry(&p, &entry);) {
        if (!field_id(&entry, 2, &uid) || !field_id(&entry, 3, &gid))
            continue;
        if (numeric ? uid != number : !field_is(&entry, 0, name, len))
            continue;
        ret->uid = uid;
        ret->gid = gid;
        if (entry.count > 5 && entry.len[5] > 0 && entry.len[5] < USERS_HOME_MAX)
            snprintf(ret->home, sizeof(ret->home), "%.*s", (int)entry.len[5], entry.at[5]);
        *ret_entry = entry;
        return 0;
    }
    if (!numeric)
        return err_set(e, -EINVAL, WHARF_ERROR_INVALID,
                       "unable to find user %.*s: no matching entries in passwd file", (int)len,
                       name);
    ret->uid = number;
    ret->gid = 0;
    return 0;
}

/* group: name:password:gid:members */
static int resolve_group(const char *group, const char *name, size_t len, uint32_t *ret,
                         struct wharf_error *e)
{
    struct entry entry;
    uint32_t gid;

    if (is_number(name, len))
        return parse_id(name, len, ret) == 0
                   ? 0
                   : err_invalid(e, "group %.*s: above %u", (int)len, name, ID_MAX);
    for (const char *p = group; next_entry(&p, &entry);) {
        if (field_is(&entry, 0, name, len) && field_id(&entry, 2, &gid)) {
            *ret = gid;
            return 0;
        }
    }
    return err_set(e, -EINVAL, WHARF_ERROR_INVALID,
                   "unable to find group %.*s: no matching entries in group file", (int)len, name);
}

static void add_group(struct user *user, uint32_t gid)
{
    for (size_t i = 0; i < user->group_count; i++) {
        if (user->groups[i] == gid)
            return;
    }
    if (gid != user->gid && user->group_count < USERS_GROUPS_MAX)
        user->groups[user->group_count++] = gid;
}

static bool is_member(const struct entry *group, const char *name, size_t len)
{
    const char *p = group->count > 3 ? group->at[3] : NULL, *end = p ? p + group->len[3] : NULL;

    while (p && p < end) {
        const char *stop = memchr(p, ',', (size_t)(end - p));
        size_t n = (size_t)((stop ? stop : end) - p);

        if (n == len && memcmp(p, name, len) == 0)
            return true;
        p = stop ? stop + 1 : end;
    }
    return false;
}

static void add_memberships(const char *group, const struct entry *who, struct user *user)
{
    struct entry entry;
    uint32_t gid;

    for (const char *p = group; who->count > 0 && next_entry(&p, &entry);) {
        if (field_id(&entry, 2, &gid) && is_member(&entry, who->at[0], who->len[0]))
            add_group(user, gid);
    }
}

int user_resolve_in(const char *passwd, const char *group, const char *text, char *const *extra,
                    size_t extra_count, struct user *ret, struct wharf_error *e)
{
    const char *name = text && *text ? text : "0";
    size_t len = strcspn(name, ":");
    const char *group_name = name[len] ? name + len + 1 : NULL;
    struct entry who = { .count = 0 };
    uint32_t gid;

    ret->group_count = 0;
    snprintf(ret->home, sizeof(ret->home), "/");
    if (group_name && !*group_name)
        return err_invalid(e, "user '%s': there is no group behind ':'", text);
    int r = resolve_user(passwd, len ? name : "0", len ? len : 1, &who, ret, e);
    if (r == 0 && group_name)
        r = resolve_group(group, group_name, strlen(group_name), &ret->gid, e);
    else if (r == 0)
        add_memberships(group, &who, ret);
    for (size_t i = 0; r == 0 && i < extra_count; i++) {
        r = resolve_group(group, extra[i], strlen(extra[i]), &gid, e);
        if (r == 0)
            add_group(ret, gid);
    }
    return r;
}

/* The text of a file below the root; NULL where there is none. */
static int read_below(int root, const char *path, char **ret, struct wharf_error *e)
{
    autobuf struct buf b = BUF(USERS_FILE_MAX);
    autoclose int fd = path_open_in(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);

    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
        return 0;
    int r = fd < 0 ? fd : fd_read_all(fd, &b);
    if (r < 0)
        return err_code(e, r, "cannot read '%s' of the image", path);
    *ret = buf_take(&b);
    return *ret ? 0 : err_nomem(e);
}

int user_resolve(int root, const char *text, char *const *extra, size_t extra_count,
                 struct user *ret, struct wharf_error *e)
{
    autofree char *passwd = NULL, *group = NULL;
    int r = read_below(root, "etc/passwd", &passwd, e);

    if (r == 0)
        r = read_below(root, "etc/group", &group, e);
    if (r < 0)
        return r;
    return user_resolve_in(passwd, group, text, extra, extra_count, ret, e);
}
