/* SPDX-License-Identifier: Apache-2.0 */
/* libarchive over a source. See tar.h. */
#include "libimage/tar.h"
#include "base/str.h"

static la_ssize_t feed(struct archive *a, void *data, const void **ret)
{
    struct tar *t = data;
    ssize_t n;

    if (t->first_len) {
        n = (ssize_t)t->first_len;
        *ret = t->first;
        t->first_len = 0;
        return n;
    }
    n = t->in->next(t->in, ret, &t->fault);
    if (n < 0) {
        t->code = (int)n;
        archive_set_error(a, (int)-n, "%s", t->fault.message);
        return -1;
    }
    return n;
}

/* The source's own error if it had one, else what libarchive says. */
static int fault(struct tar *t, struct wharf_error *e)
{
    const char *text = archive_error_string(t->archive);

    if (t->code < 0) {
        if (e)
            *e = t->fault;
        return t->code;
    }
    if (text && strcasestr(text, "truncated"))
        return err_set(e, -ENODATA, WHARF_ERROR_CORRUPT, "'%s': tar archive is cut short", t->what);
    return err_invalid(e, "'%s': not a valid tar archive: %s", t->what, text ? text : "no reason");
}

int tar_open(struct tar *t, struct source *in, const char *what, struct wharf_error *e)
{
    ssize_t n;

    *t = (struct tar){ .in = in, .what = what };
    n = in->next(in, &t->first, e);
    if (n <= 0)
        return (int)n;
    t->first_len = (size_t)n;
    t->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    t->before = t->locale ? uselocale(t->locale) : (locale_t)0;
    t->archive = archive_read_new();
    if (!t->archive)
        return err_nomem(e);
    archive_read_support_format_tar(t->archive);
    if (archive_read_open(t->archive, t, NULL, feed, NULL) != ARCHIVE_OK)
        return fault(t, e);
    return 0;
}

void tar_close(struct tar *t)
{
    archive_read_free(t->archive);
    t->archive = NULL;
    if (t->locale) {
        uselocale(t->before);
        freelocale(t->locale);
        t->locale = (locale_t)0;
    }
}

int tar_next(struct tar *t, struct archive_entry **ret, struct wharf_error *e)
{
    const char *text;
    int r;

    if (!t->archive)
        return 0;
    r = archive_read_next_header(t->archive, ret);
    if (r == ARCHIVE_EOF)
        return 0;
    if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
        return fault(t, e);
    text = r == ARCHIVE_WARN ? archive_error_string(t->archive) : NULL;
    if ((text && (str_after(text, "Pathname") || str_after(text, "Linkname"))) ||
        !archive_entry_pathname(*ret))
        return err_invalid(e, "'%s': a member's name is not valid UTF-8 although it says so",
                           t->what);
    return 1;
}

int tar_block(struct tar *t, const void **ret, size_t *ret_len, int64_t *ret_offset,
              struct wharf_error *e)
{
    la_int64_t offset;
    int r = archive_read_data_block(t->archive, ret, ret_len, &offset);

    if (r == ARCHIVE_EOF)
        return 0;
    if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
        return fault(t, e);
    *ret_offset = offset;
    return 1;
}

static ssize_t member_next(struct source *self, const void **ret, struct wharf_error *e)
{
    struct member_source *m = (struct member_source *)self;
    int64_t offset = 0;
    size_t len;
    int r;

    do
        r = tar_block(m->tar, ret, &len, &offset, e);
    while (r == 1 && len == 0);
    if (r <= 0)
        return r;
    if (offset != m->at)
        return err_invalid(e, "'%s': a member is sparse", m->tar->what);
    m->at += (int64_t)len;
    return (ssize_t)len;
}

void member_source_init(struct member_source *m, struct tar *t)
{
    *m = (struct member_source){ .base.next = member_next, .tar = t };
}
