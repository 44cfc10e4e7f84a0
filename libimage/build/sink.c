/* SPDX-License-Identifier: Apache-2.0 */
/* Writing layers. See sink.h. ISA-L where it is there: four times zlib's speed at about its size.
 */
#include "libimage/build/sink.h"

#include "base/fd.h"
#include "base/str.h"
#if HAVE_ISAL
#include <isa-l/igzip_lib.h>
#else
#include <zlib.h>
#endif

enum { CHUNK = 256 << 10 };

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
    static const char zeros[2 * TAR_BLOCK];

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

int sink_entry(struct sink *s, const struct tar_member *entry, struct wharf_error *e)
{
    autobuf struct buf head = BUF(TAR_HEAD_MAX);
    int r = tar_head(entry, &head);

    if (r < 0)
        return err_code(e, r, "the attributes of '%.200s' are too large", entry->name);
    s->pending = S_ISREG(entry->st.st_mode) && !entry->hard ? (int64_t)entry->st.st_size : 0;
    s->padding = (int64_t)tar_padding((uint64_t)s->pending);
    return put(s, head.data, head.len, e);
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
    int r = put_zeros(s, 2 * TAR_BLOCK, e);

    if (r == 0)
        r = write_packed(s, NULL, 0, true, e);
    if (r < 0)
        return r;
    hasher_end(&s->plain, ret_diff);
    hasher_end(&s->packed, ret_blob);
    *ret_size = s->size;
    return 0;
}
