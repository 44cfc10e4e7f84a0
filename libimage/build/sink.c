/* SPDX-License-Identifier: Apache-2.0 */
/* Writing layers. See sink.h. ISA-L where it is there: four times zlib's speed at about its size.
 */
#include "libimage/build/sink.h"

#include <sys/sysmacros.h>
#include "base/fd.h"
#include "base/str.h"
#if HAVE_ISAL
#include <isa-l/igzip_lib.h>
#else
#include <zlib.h>
#endif

enum { BLOCK = 512, CHUNK = 256 << 10, NAME_FIELD = 100, PREFIX_FIELD = 155 };

struct sink {
    int fd;
    struct hasher plain, packed;
    int64_t size;    /* of the file so far */
    int64_t pending; /* bytes of the current entry still to come */
    int64_t padding;
#if HAVE_ISAL
    struct isal_zstream stream;
    uint8_t *level;
#else
    z_stream stream;
#endif
    uint8_t out[CHUNK];
};

/* ---- compression ----------------------------------------------------------------------------- */

#if HAVE_ISAL
static int start(struct sink *s)
{
    isal_deflate_init(&s->stream);
    s->level = malloc(ISAL_DEF_LVL1_DEFAULT);
    s->stream.level = 1;
    s->stream.level_buf = s->level;
    s->stream.level_buf_size = ISAL_DEF_LVL1_DEFAULT;
    s->stream.gzip_flag = IGZIP_GZIP;
    return s->level ? 0 : -ENOMEM;
}

static void stop(struct sink *s)
{
    free(s->level);
}

static int squeeze(struct sink *s, bool last)
{
    s->stream.end_of_stream = last;
    return isal_deflate(&s->stream) == COMP_OK ? 0 : -EIO;
}
#else
static int start(struct sink *s)
{
    return deflateInit2(&s->stream, 4, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK ? 0 : -ENOMEM;
}

static void stop(struct sink *s)
{
    deflateEnd(&s->stream);
}

static int squeeze(struct sink *s, bool last)
{
    int r = deflate(&s->stream, last ? Z_FINISH : Z_NO_FLUSH);

    return r == Z_OK || r == Z_STREAM_END || r == Z_BUF_ERROR ? 0 : -EIO;
}
#endif

static int write_packed(struct sink *s, const void *data, size_t len, bool last,
                        struct wharf_error *e)
{
    s->stream.next_in = (void *)(uintptr_t)data;
    s->stream.avail_in = (unsigned)len;
    do {
        s->stream.next_out = s->out;
        s->stream.avail_out = CHUNK;
        int r = squeeze(s, last);
        size_t n = CHUNK - s->stream.avail_out;

        if (r == 0 && n > 0)
            r = fd_write_all(s->fd, s->out, n);
        if (r < 0)
            return err_code(e, r, "cannot write a layer");
        hasher_add(&s->packed, s->out, n);
        s->size += (int64_t)n;
    } while (s->stream.avail_out == 0 || s->stream.avail_in > 0);
    return 0;
}

static int put(struct sink *s, const void *data, size_t len, struct wharf_error *e)
{
    for (size_t at = 0; at < len; at += CHUNK) {
        size_t n = MIN(len - at, (size_t)CHUNK);
        int r;

        hasher_add(&s->plain, (const char *)data + at, n);
        r = write_packed(s, (const char *)data + at, n, false, e);
        if (r < 0)
            return r;
    }
    return 0;
}

static int put_zeros(struct sink *s, size_t len, struct wharf_error *e)
{
    static const char zeros[2 * BLOCK];

    return len > 0 ? put(s, zeros, len, e) : 0;
}

int sink_open(struct sink **ret, int fd, struct wharf_error *e)
{
    struct sink *s = calloc(1, sizeof(*s));

    if (!s)
        return err_nomem(e);
    s->fd = fd;
    if (start(s) < 0 || hasher_init(&s->plain, NULL) < 0 || hasher_init(&s->packed, NULL) < 0) {
        sink_free(s);
        return err_nomem(e);
    }
    *ret = s;
    return 0;
}

void sink_free(struct sink *s)
{
    if (!s)
        return;
    stop(s);
    free(s);
}

/* ---- headers [POSIX pax, "ustar Interchange Format"] ----------------------------------------- */

struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type;
    char linkname[100], magic[6], version[2], uname[32], gname[32], devmajor[8], devminor[8];
    char prefix[155], pad[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a tar header is a block");

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

static char type_of(const struct sink_entry *entry)
{
    if (entry->hard)
        return '1';
    switch (entry->st.st_mode & S_IFMT) {
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

static int put_header(struct sink *s, struct header *h, struct wharf_error *e)
{
    unsigned sum = 0;

    memcpy(h->magic, "ustar", 6);
    memcpy(h->version, "00", 2);
    memset(h->checksum, ' ', sizeof(h->checksum));
    for (size_t i = 0; i < sizeof(*h); i++)
        sum += ((unsigned char *)h)[i];
    put_octal(h->checksum, 7, sum);
    return put(s, h, sizeof(*h), e);
}

static int put_pax(struct sink *s, const struct buf *pax, struct wharf_error *e)
{
    struct header h = { .type = 'x', .name = "PaxHeaders.0/x" };
    int r;

    put_octal(h.mode, sizeof(h.mode), 0644);
    put_octal(h.uid, sizeof(h.uid), 0);
    put_octal(h.gid, sizeof(h.gid), 0);
    put_octal(h.size, sizeof(h.size), pax->len);
    put_octal(h.mtime, sizeof(h.mtime), 0);
    r = put_header(s, &h, e);
    if (r == 0)
        r = put(s, pax->data, pax->len, e);
    return r < 0 ? r : put_zeros(s, -pax->len & (BLOCK - 1), e);
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

int sink_entry(struct sink *s, const struct sink_entry *entry, struct wharf_error *e)
{
    const struct stat *st = &entry->st;
    struct header h = { .type = type_of(entry) };
    autobuf struct buf pax = BUF(2 * SINK_XATTRS_MAX);
    autofree char *name = str_format("%s%s", entry->name, h.type == '5' ? "/" : "");
    uint64_t size = h.type == '0' ? (uint64_t)st->st_size : 0;
    int r;

    if (!name)
        return err_nomem(e);
    if (!put_name(&h, name))
        add_record(&pax, "path", name, strlen(name));
    if (entry->link && strlen(entry->link) > sizeof(h.linkname))
        add_record(&pax, "linkpath", entry->link, strlen(entry->link));
    else if (entry->link)
        memcpy(h.linkname, entry->link, strlen(entry->link));
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
    add_xattrs(&pax, entry->xattrs);
    if (pax.error)
        return err_code(e, pax.error, "the attributes of '%.200s' are too large", entry->name);
    r = pax.len > 0 ? put_pax(s, &pax, e) : 0;
    s->pending = (int64_t)size;
    s->padding = (int64_t)(-size & (BLOCK - 1));
    return r < 0 ? r : put_header(s, &h, e);
}

int sink_data(struct sink *s, const void *data, size_t len, struct wharf_error *e)
{
    int r = put(s, data, len, e);

    s->pending -= (int64_t)len;
    return r == 0 && s->pending == 0 ? put_zeros(s, (size_t)s->padding, e) : r;
}

int sink_end(struct sink *s, struct digest *ret_diff, struct digest *ret_blob, int64_t *ret_size,
             struct wharf_error *e)
{
    int r = put_zeros(s, 2 * BLOCK, e);

    if (r == 0)
        r = write_packed(s, NULL, 0, true, e);
    if (r < 0)
        return r;
    hasher_end(&s->plain, ret_diff);
    hasher_end(&s->packed, ret_blob);
    *ret_size = s->size;
    return 0;
}
