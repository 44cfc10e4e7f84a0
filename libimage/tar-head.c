/* SPDX-License-Identifier: Apache-2.0 */
/* See tar-head.h. */
#include "libimage/tar-head.h"

#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include "base/str.h"

enum { NAME_FIELD = 100, PREFIX_FIELD = 155 };

struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type;
    char linkname[100], magic[6], version[2], uname[32], gname[32], devmajor[8], devminor[8];
    char prefix[155], pad[12];
};
_Static_assert(sizeof(struct header) == TAR_BLOCK, "a tar header is a block");

/* False if the number has too many digits for the field. */
static bool put_octal(char *field, size_t size, uint64_t value)
{
    for (size_t i = size - 1; i-- > 0; value >>= 3)
        field[i] = (char)('0' + (value & 7));
    return value == 0;
}

static void add_record(struct buf *pax, const char *key, const void *value, size_t len)
{
    size_t plain = 1 + strlen(key) + 1 + len + 1, total = plain + 1;
    char digits[24];

    /* the length counts its own digits */
    while (plain + (size_t)snprintf(digits, sizeof(digits), "%zu", total) != total)
        total = plain + strlen(digits);
    buf_printf(pax, "%zu %s=", total, key);
    buf_add(pax, value, len);
    buf_char(pax, '\n');
}

static void add_number(struct buf *pax, const char *key, long long value)
{
    char text[32];

    snprintf(text, sizeof(text), "%lld", value);
    add_record(pax, key, text, strlen(text));
}

/* Into name, or prefix and name; false: into neither. */
static bool put_name(struct header *h, const char *name)
{
    size_t len = strlen(name);
    const char *cut;

    if (len <= NAME_FIELD) {
        memcpy(h->name, name, len);
        return true;
    }
    if (len > NAME_FIELD + 1 + PREFIX_FIELD)
        return false;
    cut = strchr(name + len - NAME_FIELD - 1, '/');
    if (!cut || !cut[1] || (size_t)(cut - name) > PREFIX_FIELD)
        return false;
    memcpy(h->prefix, name, (size_t)(cut - name));
    memcpy(h->name, cut + 1, strlen(cut + 1));
    return true;
}

static char type_of(const struct tar_member *m)
{
    if (m->hard)
        return '1';
    switch (m->st.st_mode & S_IFMT) {
    case S_IFDIR:
        return '5';
    case S_IFLNK:
        return '2';
    case S_IFCHR:
        return '3';
    case S_IFBLK:
        return '4';
    case S_IFIFO:
        return '6';
    default:
        return '0';
    }
}

static void put_header(struct header *h, struct buf *out)
{
    unsigned sum = 0;

    memcpy(h->magic, "ustar", 6);
    memcpy(h->version, "00", 2);
    memset(h->checksum, ' ', sizeof(h->checksum));
    for (size_t i = 0; i < sizeof(*h); i++)
        sum += ((unsigned char *)h)[i];
    put_octal(h->checksum, 7, sum);
    h->checksum[6] = 0;
    buf_add(out, h, sizeof(*h));
}

static void put_pax(const struct buf *pax, struct buf *out)
{
    static const char zeros[TAR_BLOCK];
    struct header h = { .type = 'x', .name = "PaxHeaders.0/x" };

    put_octal(h.mode, sizeof(h.mode), 0644);
    put_octal(h.uid, sizeof(h.uid), 0);
    put_octal(h.gid, sizeof(h.gid), 0);
    put_octal(h.size, sizeof(h.size), pax->len);
    put_octal(h.mtime, sizeof(h.mtime), 0);
    put_header(&h, out);
    buf_add(out, pax->data, pax->len);
    buf_add(out, zeros, tar_padding(pax->len));
}

static void add_xattrs(struct buf *pax, const struct buf *xattrs)
{
    for (size_t at = 0; xattrs && at < xattrs->len;) {
        const char *name = xattrs->data + at;
        autofree char *key = str_format("SCHILY.xattr.%s", name);
        uint32_t len;

        at += strlen(name) + 1;
        memcpy(&len, xattrs->data + at, sizeof(len));
        at += sizeof(len);
        if (key)
            add_record(pax, key, xattrs->data + at, len);
        else
            pax->error = -ENOMEM;
        at += len;
    }
}

int tar_head(const struct tar_member *m, struct buf *out)
{
    const struct stat *st = &m->st;
    struct header h = { .type = type_of(m) };
    autobuf struct buf pax = BUF(2 * TAR_XATTRS_MAX);
    autofree char *name = str_format("%s%s", m->name, h.type == '5' ? "/" : "");
    uint64_t size = h.type == '0' ? (uint64_t)st->st_size : 0;

    if (!name)
        return -ENOMEM;
    if (!put_name(&h, name))
        add_record(&pax, "path", name, strlen(name));
    if (m->link && strlen(m->link) > sizeof(h.linkname))
        add_record(&pax, "linkpath", m->link, strlen(m->link));
    else if (m->link)
        memcpy(h.linkname, m->link, strlen(m->link));
    put_octal(h.mode, sizeof(h.mode), st->st_mode & 07777);
    if (!put_octal(h.uid, sizeof(h.uid), st->st_uid))
        add_number(&pax, "uid", st->st_uid);
    if (!put_octal(h.gid, sizeof(h.gid), st->st_gid))
        add_number(&pax, "gid", st->st_gid);
    if (!put_octal(h.size, sizeof(h.size), size))
        add_number(&pax, "size", (long long)size);
    if (!put_octal(h.mtime, sizeof(h.mtime), st->st_mtime < 0 ? 0 : (uint64_t)st->st_mtime) ||
        st->st_mtime < 0)
        add_number(&pax, "mtime", (long long)st->st_mtime);
    if (h.type == '3' || h.type == '4') {
        put_octal(h.devmajor, sizeof(h.devmajor), major(st->st_rdev));
        put_octal(h.devminor, sizeof(h.devminor), minor(st->st_rdev));
    }
    add_xattrs(&pax, m->xattrs);
    if (pax.len > 0)
        put_pax(&pax, out);
    put_header(&h, out);
    return pax.error ? pax.error : out->error;
}
