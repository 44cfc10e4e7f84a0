/* SPDX-License-Identifier: Apache-2.0 */
/* Reading members. See members.h. [D; I image-layout] */
#include "libimage/members.h"
#include "base/fd.h"
#include "base/str.h"

#include <fcntl.h>

enum { LINK_HOPS_MAX = 8 };

/* `base` is the directory of a link ("" for the archive's top): "a" + "../b/c" is "b/c". A new
 * string; NULL when it leaves the archive. */
static char *join(const char *base, const char *name)
{
    autofree char *joined = str_format("%s%s%s", base, *base ? "/" : "", name);
    autofree char *clean = joined && *name != '/' ? path_clean(joined) : NULL;

    if (!clean || streq(clean, "..") || str_after(clean, "../"))
        return NULL;
    return take_ptr(&clean);
}

static int put(struct members *m, const char *name, json_t *value, struct wharf_error *e)
{
    if (!value)
        return err_nomem(e);
    if (json_object_get(m->map, name)) {
        json_decref(value);
        return err_invalid(e, "'%s': member '%.200s' stands twice", m->what, name);
    }
    return json_object_set_new_nocheck(m->map, name, value) < 0 ? err_nomem(e) : 0;
}

static int put_blob(struct members *m, const char *name, const struct digest *d, int64_t size,
                    struct wharf_error *e)
{
    return put(m, name, json_pack("{s:s, s:I}", "digest", d->text, "size", (json_int_t)size), e);
}

/* blobs/ALG/HEX says which digest the content must have. */
static bool digest_in_name(const char *name, struct digest *ret)
{
    const char *rest = str_after(name, "blobs/");
    char text[IMAGE_DIGEST_MAX];
    char *slash;

    if (!rest || strlen(rest) >= sizeof(text))
        return false;
    memcpy(text, rest, strlen(rest) + 1);
    slash = strchr(text, '/');
    if (slash)
        *slash = ':';
    return digest_parse(ret, text, name, NULL) == 0;
}

/* A source becomes a blob; with `expected`, only if that is its digest. */
static int take_blob(struct members *m, struct intake *in, struct source *source, const char *name,
                     const struct digest *expected, struct digest *ret, int64_t *ret_size,
                     struct wharf_error *e)
{
    char part[INTAKE_NAME_MAX];
    autoclose int fd = intake_create(in, part, e);
    struct tap tap;
    int r;

    if (fd < 0)
        return fd;
    tap_init(&tap, source);
    tap.copy = fd;
    r = hasher_init(&tap.hasher, expected) < 0 ? err_nomem(e) : tap_drain(&tap, e);
    if (r == 0) {
        hasher_end(&tap.hasher, ret);
        *ret_size = tap.bytes;
    }
    tap_done(&tap);
    if (r == 0 && expected && !digest_equal(ret, expected))
        r = err_set(e, -EBADMSG, WHARF_ERROR_CORRUPT,
                    "'%s': the content of '%.200s' has digest '%s'", m->what, name, ret->text);
    if (r == 0 && intake_name_blob(in, part, ret) < 0)
        r = err_sys(e, "cannot write to image store '%s'", in->store->path);
    return r;
}

static int read_document(struct members *m, struct tar *t, const char *name, struct buf *b,
                         struct wharf_error *e)
{
    struct member_source source;
    const void *block;
    ssize_t n;

    if (b->data)
        return err_invalid(e, "'%s': member '%s' stands twice", m->what, name);
    member_source_init(&source, t);
    while ((n = source.base.next(&source.base, &block, e)) > 0)
        buf_add(b, block, (size_t)n);
    if (n < 0)
        return (int)n;
    if (b->error || b->len == 0)
        return err_set(e, b->error ? b->error : -EINVAL, WHARF_ERROR_LIMIT,
                       "'%s': member '%s' is empty or larger than %d bytes", m->what, name,
                       IMAGE_DOCUMENT_MAX);
    return 0;
}

static int read_file(struct members *m, struct intake *in, struct tar *t, const char *name,
                     int64_t size, struct wharf_error *e)
{
    struct member_source source;
    struct digest expected, digest;
    bool named;
    int r;

    if (streq(name, "manifest.json"))
        return read_document(m, t, name, &m->manifest, e);
    if (streq(name, "index.json"))
        return read_document(m, t, name, &m->index, e);
    if (streq(name, "repositories")) {
        m->repositories = true;
        return 0;
    }
    if (streq(name, "oci-layout") || str_ends(name, "/VERSION") || str_ends(name, "/json"))
        return 0;
    named = digest_in_name(name, &expected);
    if (named) {
        autoclose int have = store_open_blob(in->store, in->dir, &expected);
        struct stat st;

        /* the store's own copy was checked when it came */
        if (have >= 0 && fstat(have, &st) == 0 && st.st_size == size)
            return put_blob(m, name, &expected, size, e);
    }
    member_source_init(&source, t);
    r = take_blob(m, in, &source.base, name, named ? &expected : NULL, &digest, &size, e);
    return r < 0 ? r : put_blob(m, name, &digest, size, e);
}

static int read_link(struct members *m, const char *name, const char *target, bool hard,
                     struct wharf_error *e)
{
    autofree char *base = hard ? strdup("") : strdup(name), *to = NULL;
    char *slash = base ? strrchr(base, '/') : NULL;

    if (!base)
        return err_nomem(e);
    base[slash ? slash - base : 0] = 0;
    to = join(base, target);
    if (!to)
        return err_invalid(e, "'%s': link '%.100s' leaves the archive: '%.100s'", m->what, name,
                           target);
    return put(m, name, json_pack("{s:s}", "link", to), e);
}

static int read_member(struct members *m, struct intake *in, struct tar *t,
                       struct archive_entry *entry, struct wharf_error *e)
{
    const char *raw = archive_entry_pathname(entry);
    autofree char *name = join("", raw);

    if (!name)
        return err_invalid(e, "'%s': member '%.200s' has an absolute name or leaves the archive",
                           m->what, raw);
    if (++m->count > IMAGE_MEMBERS_MAX)
        return err_set(e, -EFBIG, WHARF_ERROR_LIMIT, "'%s': more than %d members", m->what,
                       IMAGE_MEMBERS_MAX);
    if (archive_entry_hardlink(entry))
        return read_link(m, name, archive_entry_hardlink(entry), true, e);
    switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
        return read_file(m, in, t, name, archive_entry_size(entry), e);
    case AE_IFDIR:
        return 0;
    case AE_IFLNK:
        return read_link(m, name, archive_entry_symlink(entry), false, e);
    default:
        /* a root file system, most likely: the missing documents will say so */
        return 0;
    }
}

static int read_archive(struct members *m, struct intake *in, int fd, struct reporter *reporter,
                        struct wharf_error *e)
{
    struct feed_options options = {
        .what = m->what,
        .limits = &in->store->limits,
        .bytes_max = in->store->limits.archive_bytes,
        .bytes_name = "archive_bytes",
        .copy = -1,
        .reporter = reporter,
        .step = IMAGE_STEP_READ,
        .total = -1,
    };
    struct file_source file;
    autofeed struct feed feed = { 0 };
    struct archive_entry *entry;
    struct stat st;
    int r;

    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        options.total = st.st_size;
    r = file_source_init(&file, fd, m->what, e);
    if (r == 0)
        r = feed_open(&feed, &file.base, options, e);
    if (r == 0)
        while ((r = tar_next(&feed.tar, &entry, e)) == 1 &&
               (r = read_member(m, in, &feed.tar, entry, e)) == 0)
            ;
    if (r == 0)
        r = feed_finish(&feed, e);
    if (r == 0 && !tap_ended_with_zeros(&feed.plain))
        r = err_set(e, -ENODATA, WHARF_ERROR_CORRUPT, "'%s': tar archive is cut short", m->what);
    file_source_done(&file);
    return r;
}

static int read_layout(struct members *m, struct wharf_error *e)
{
    autoclose int fd = path_open_plain(m->dir, "index.json", O_RDONLY, 0);
    int r;

    if (fd < 0)
        return err_code(e, fd, "'%s': not an image layout: index.json", m->what);
    m->index.max = IMAGE_INDEX_MAX;
    r = fd_read_all(fd, &m->index);
    return r < 0 ? err_code(e, r, "cannot read '%s/index.json'", m->what) : 0;
}

int members_read(struct members *m, struct intake *in, int fd, const char *what,
                 struct reporter *reporter, struct wharf_error *e)
{
    struct stat st;

    *m = (struct members){ .what = what, .dir = -1 };
    m->manifest = BUF(IMAGE_DOCUMENT_MAX);
    m->index = BUF(IMAGE_DOCUMENT_MAX);
    m->map = json_object();
    if (!m->map)
        return err_nomem(e);
    if (fstat(fd, &st) < 0)
        return err_sys(e, "cannot look at '%s'", what);
    if (!S_ISDIR(st.st_mode))
        return read_archive(m, in, fd, reporter, e);
    m->dir = fd;
    return read_layout(m, e);
}

void members_done(struct members *m)
{
    json_decref(m->map);
    m->map = NULL;
    buf_done(&m->manifest);
    buf_done(&m->index);
}

int members_find(const struct members *m, const char *name, struct digest *ret_digest,
                 int64_t *ret_size, struct wharf_error *e)
{
    autofree char *clean = join("", name);
    const char *at = clean, *link = clean;

    if (!clean)
        return err_invalid(e, "'%s': member '%.200s' lies outside the archive", m->what, name);
    for (int hops = 0; link && *link && hops < LINK_HOPS_MAX; hops++) {
        json_t *value = json_object_get(m->map, link);

        at = link;
        if (json_object_get(value, "digest")) {
            *ret_size = json_integer_value(json_object_get(value, "size"));
            return digest_parse(ret_digest, json_text(value, "digest"), name, e);
        }
        link = json_text(value, "link");
    }
    return err_invalid(e, "'%s': member '%.200s' is missing (looked for by '%.200s')", m->what, at,
                       name);
}

int members_fetch(struct members *m, struct intake *in, const struct descriptor *d,
                  struct wharf_error *e)
{
    autoclose int have = store_open_blob(in->store, in->dir, &d->digest), fd = -1;
    char path[DIGEST_PATH_MAX + 8] = "blobs/";
    struct file_source file;
    struct digest found;
    struct stat st;
    int64_t size;
    int r;

    if (have >= 0)
        return 0;
    digest_path(&d->digest, path + strlen("blobs/"));
    fd = m->dir < 0 ? -ENOENT : path_open_plain(m->dir, path, O_RDONLY | O_NONBLOCK, 0);
    if (fd == -ENOENT)
        return err_not_found(e, "'%s': blob '%s' is missing", m->what, d->digest.text);
    if (fd < 0)
        return err_code(e, fd, "cannot open '%s/%s'", m->what, path);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size != d->size)
        return err_set(e, -EBADMSG, WHARF_ERROR_CORRUPT, "'%s': blob '%s' has not %lld bytes",
                       m->what, d->digest.text, (long long)d->size);
    r = file_source_init(&file, fd, path, e);
    if (r == 0)
        r = take_blob(m, in, &file.base, path, &d->digest, &found, &size, e);
    file_source_done(&file);
    return r;
}
