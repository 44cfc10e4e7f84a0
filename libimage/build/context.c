/* SPDX-License-Identifier: Apache-2.0 */
/* The context. See context.h. */
#include "libimage/build/context.h"

#include <fcntl.h>
#include "base/fd.h"
#include "base/str.h"
#include "libimage/build/remote.h"
#include "libimage/layer.h"

bool is_archive(int fd)
{
    struct archive_entry *entry;
    struct source *in;
    struct file_source file;
    struct decoder *decoder = NULL;
    struct tar tar = { 0 };
    off_t at = lseek(fd, 0, SEEK_CUR);
    bool found = false;

    if (at < 0 || file_source_init(&file, fd, "archive", NULL) < 0)
        return false;
    in = &file.base;
    if (decoder_open(&decoder, in, "archive", NULL) == 0) {
        found = tar_open(&tar, decoder_source(decoder), "archive", NULL) == 0 &&
                tar_next(&tar, &entry, NULL) == 1;
        tar_close(&tar);
    }
    decoder_free(decoder);
    file_source_done(&file);
    lseek(fd, at, SEEK_SET);
    return found;
}

static int unpack(struct job *job, struct source *in, struct wharf_error *e)
{
    autofeed struct feed feed = { 0 };
    struct feed_options options = { .what = "build context",
                                    .limits = &job->store->limits,
                                    .bytes_max = job->store->limits.layer_bytes,
                                    .bytes_name = "layer_bytes",
                                    .copy = -1,
                                    .total = -1 };
    struct extract x;
    int r;

    if (mkdirat(job->intake.dir, "context", 0755) < 0)
        return err_sys(e, "cannot make a directory in image store '%s'", job->store->path);
    job->context = openat(job->intake.dir, "context", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (job->context < 0)
        return err_sys(e, "cannot open a directory in image store '%s'", job->store->path);
    extract_init(&x, job->context, options.what);
    x.plain = x.owned = true; /* all of a context belongs to root, whoever packed it */
    x.limits = job->store->limits;
    x.devices = IMAGE_DEVICES_SKIP;
    r = feed_open(&feed, in, options, e);
    if (r == 0)
        r = extract_all(&x, &feed.tar, e);
    extract_done(&x);
    return r;
}

/* ---- what came through a pipe: an archive, or a Dockerfile alone ------------------------------ */

/* The first bytes, which were looked at, then the rest. */
struct peeked {
    struct source base;
    struct source *rest;
    char head[1024];
    size_t len;
    bool taken;
};

static ssize_t peeked_next(struct source *self, const void **ret, struct wharf_error *e)
{
    struct peeked *p = (struct peeked *)self;

    if (p->taken || p->len == 0)
        return p->rest->next(p->rest, ret, e);
    p->taken = true;
    *ret = p->head;
    return (ssize_t)p->len;
}

/* A tar has zeros in its first block; what is compressed begins with bytes that no text has. */
static bool is_text(const struct peeked *p)
{
    return !memchr(p->head, 0, p->len) && utf8_valid(p->head, p->len - MIN(p->len, 3u));
}

static int read_text(struct job *job, struct peeked *p, struct wharf_error *e)
{
    autobuf struct buf text = BUF(DOCKERFILE_MAX);
    const void *block;
    ssize_t n;

    while ((n = peeked_next(&p->base, &block, e)) > 0)
        buf_add(&text, block, (size_t)n);
    if (n < 0)
        return (int)n;
    job->o.dockerfile_text = arena_strn(job->arena, text.data ? text.data : "", text.len);
    job->o.dockerfile_len = text.len;
    return text.error || !job->o.dockerfile_text ? err_nomem(e) : 0;
}

static int take_stream(struct job *job, int fd, struct wharf_error *e)
{
    struct peeked p = { .base.next = peeked_next };
    struct file_source file;
    ssize_t n = 1;
    int r;

    while (p.len < sizeof(p.head) && n != 0) {
        n = read(fd, p.head + p.len, sizeof(p.head) - p.len);
        if (n < 0 && errno != EINTR)
            return err_sys(e, "cannot read the build context");
        p.len += n > 0 ? (size_t)n : 0;
    }
    r = file_source_init(&file, fd, "build context", e);
    if (r < 0)
        return r;
    p.rest = &file.base;
    r = is_text(&p) && !job->o.dockerfile_text ? read_text(job, &p, e) : unpack(job, &p.base, e);
    file_source_done(&file);
    return r;
}

static int take_remote(struct job *job, const char *url, struct wharf_error *e)
{
    struct build_fetched fetched;
    char commit[80];
    int r, fd;

    if (remote_is_git(url) || str_after(url, "github.com/"))
        return remote_git(job, url, false, NULL, &job->context, commit, e);
    if (!remote_is_url(url))
        return err_invalid(e, "remote context '%.200s' is neither a git repository nor an URL",
                           url);
    r = remote_fetch(job, url, &fd, &fetched, e);
    if (r < 0)
        return r;
    r = take_stream(job, fd, e);
    fd_close(fd);
    return r;
}

int context_open(struct job *job, int fd, struct wharf_error *e)
{
    struct stat st;

    if (job->o.remote && *job->o.remote)
        return take_remote(job, job->o.remote, e);
    if (fd < 0)
        return 0;
    if (fstat(fd, &st) < 0)
        return err_sys(e, "cannot look at the build context");
    if (!S_ISDIR(st.st_mode))
        return take_stream(job, fd, e);
    job->context = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return job->context < 0 ? err_sys(e, "cannot open the build context") : 0;
}

/* A file of the context, links resolved inside of it. */
static int read_file(struct job *job, const char *path, size_t max, struct buf *ret)
{
    autoclose int fd = job->context < 0
                           ? -ENOENT
                           : path_open_in(job->context, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    struct stat st;

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return -ENOENT;
    if ((uint64_t)st.st_size > max)
        return -EFBIG;
    return fd_read_all(fd, ret);
}

static int read_ignore(struct job *job, const char *dockerfile, struct wharf_error *e)
{
    autobuf struct buf text = BUF(IGNORE_FILE_MAX);
    const char *name = arena_format(job->arena, "%s.dockerignore", dockerfile);
    int r = name ? read_file(job, name, IGNORE_FILE_MAX, &text) : -ENOMEM;

    if (r == -ENOENT) {
        name = ".dockerignore";
        r = read_file(job, name, IGNORE_FILE_MAX, &text);
    }
    if (r == -ENOENT || r == -ENOTDIR)
        return 0;
    if (r < 0)
        return err_code(e, r, "cannot read '%s'", name);
    r = text.len ? glob_list_read(&job->ignore, text.data, text.len, job->arena, e) : 0;
    return r < 0 ? err_wrap(e, r, "error reading .dockerignore") : 0;
}

int context_dockerfile(struct job *job, const char **ret_text, size_t *ret_len,
                       struct wharf_error *e)
{
    const char *name = job->o.dockerfile && *job->o.dockerfile ? job->o.dockerfile : "Dockerfile";
    autobuf struct buf text = BUF(DOCKERFILE_MAX);
    int r = 0;

    if (job->o.dockerfile_text) {
        *ret_text = job->o.dockerfile_text;
        *ret_len = job->o.dockerfile_len;
        return read_ignore(job, name, e);
    }
    r = read_file(job, name, DOCKERFILE_MAX, &text);
    if (r == -ENOENT && !job->o.dockerfile)
        r = read_file(job, "dockerfile", DOCKERFILE_MAX, &text);
    if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
        return err_not_found(e, "Cannot locate specified Dockerfile: %.200s", name);
    if (r < 0)
        return err_code(e, r, "cannot read '%.200s'", name);
    if (text.len == 0)
        return err_invalid(e, "the Dockerfile (%.200s) cannot be empty", name);
    *ret_text = arena_strn(job->arena, text.data, text.len);
    *ret_len = text.len;
    return *ret_text ? read_ignore(job, name, e) : err_nomem(e);
}
