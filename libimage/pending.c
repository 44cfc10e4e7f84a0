/* SPDX-License-Identifier: Apache-2.0 */
/* See pending.h. The record: "run BOOT-ID", then a line a thing: a digest, or the hex of a chain.
 */
#include "libimage/pending.h"
#include "base/fd.h"
#include "base/str.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

enum {
    RECORD_MAX = 4 << 20, /* bytes; before it grows past this, everything is synced */
    RECORD_KEEP_S = 60,   /* the kernel writes what is 30 s old (vm.dirty_expire_centisecs) */
    CHECK_BLOCK = 1 << 18,
};

#define RECORD  "pending"
#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define RUN     "run "

/* The record's first line; NULL where nothing tells the runs of the machine apart. */
static char *this_run(void)
{
    autofree char *id = NULL;

    if (file_read(AT_FDCWD, BOOT_ID, 128, &id) <= 0)
        return NULL;
    id[strcspn(id, "\n")] = 0;
    return str_format(RUN "%s\n", id);
}

static int open_record(struct image_store *s, int operation)
{
    autoclose int fd =
        openat(s->private, RECORD, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return -errno;
    while (flock(fd, operation) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return take_fd(&fd);
}

static int sync_and_empty(struct image_store *s, int record)
{
    if (syncfs(s->private) < 0 || ftruncate(record, 0) < 0)
        return -errno;
    return fdatasync(record) < 0 ? -errno : 0;
}

static int append(struct image_store *s, const char *run, char *const *blobs, char *const *layers)
{
    autoclose int fd = open_record(s, LOCK_EX);
    autobuf struct buf b = BUF(RECORD_MAX);
    struct stat st;
    int r = fd < 0 ? fd : fstat(fd, &st) < 0 ? -errno : 0;

    if (r == 0 && st.st_size > RECORD_MAX / 2) {
        r = sync_and_empty(s, fd);
        st.st_size = 0;
    }
    if (r < 0)
        return r;
    if (st.st_size == 0)
        buf_printf(&b, "%s", run);
    for (; blobs && *blobs; blobs++)
        buf_printf(&b, "%s\n", *blobs);
    for (; layers && *layers; layers++)
        buf_printf(&b, "%s\n", *layers);
    r = b.error ? b.error : fd_write_all(fd, b.data, b.len);
    if (r == 0 && (fdatasync(fd) < 0 || (st.st_size == 0 && fsync(s->private) < 0)))
        r = -errno;
    return r;
}

int pending_add(struct image_store *s, char *const *blobs, char *const *layers,
                struct wharf_error *e)
{
    autofree char *run = s->durable ? NULL : this_run();
    int r;

    if (run)
        r = append(s, run, blobs, layers);
    else
        r = syncfs(s->private) < 0 ? -errno : 0;
    return r < 0 ? err_code(e, r, "cannot write image store '%s' to disk", s->path) : 0;
}

/* ---- after a power cut ---- */

static bool is_intact(int fd, const struct digest *digest)
{
    autofree char *block = malloc(CHECK_BLOCK);
    struct hasher h = { 0 };
    struct digest found = { "" };
    ssize_t n = -1;

    if (block && hasher_init(&h, digest) == 0) {
        while ((n = read(fd, block, CHECK_BLOCK)) > 0)
            hasher_add(&h, block, (size_t)n);
        hasher_end(&h, &found);
    }
    hasher_done(&h);
    return n == 0 && digest_equal(&found, digest);
}

static int check_blob(struct image_store *s, const struct digest *digest)
{
    autoclose int fd = store_open_blob(s, -1, digest);
    char path[DIGEST_PATH_MAX + 8] = "blobs/";

    if (fd < 0 || is_intact(fd, digest))
        return fd < 0 && fd != -ENOENT ? fd : 0;
    digest_path(digest, path + strlen("blobs/"));
    return unlinkat(s->root, path, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static int check_line(struct image_store *s, const char *line)
{
    struct digest digest;

    if (digest_parse(&digest, line, RECORD, NULL) == 0)
        return check_blob(s, &digest);
    if (strlen(line) == 64 && strspn(line, "0123456789abcdef") == 64)
        return store_drop_layer(s, line);
    return 0; /* torn: what it would have named got no name */
}

static int recover(struct image_store *s, const char *run)
{
    autoclose int lease = store_lock(s, "lease", LOCK_EX), fd = -1;
    autofree char *text = NULL;
    char *line, *rest;
    ssize_t n;
    int r = 0;

    if (lease < 0)
        return lease;
    fd = open_record(s, LOCK_EX);
    if (fd < 0)
        return fd;
    n = file_read(s->private, RECORD, RECORD_MAX, &text);
    if (n <= 0 || str_after(text, run))
        return n < 0 ? (int)n : 0; /* somebody else was first */
    for (ssize_t i = 0; i < n; i++)
        text[i] = text[i] ? text[i] : '\n'; /* a block that the cut left empty */
    for (rest = text; r == 0 && (line = strsep(&rest, "\n"));)
        r = check_line(s, line);
    return r < 0 ? r : sync_and_empty(s, fd);
}

int pending_check(struct image_store *s, struct wharf_error *e)
{
    autofree char *text = NULL, *run = NULL;
    struct stat st;
    int r = 0;

    if (fstatat(s->private, RECORD, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_size == 0)
        return 0;
    run = this_run();
    if (file_read(s->private, RECORD, RECORD_MAX, &text) <= 0)
        return 0; /* emptied a moment ago */
    if (!run || !str_after(text, run)) {
        r = recover(s, run ? run : RUN "unknown\n");
    } else if (time(NULL) - st.st_mtime > RECORD_KEEP_S) {
        autoclose int fd = open_record(s, LOCK_EX | LOCK_NB);

        r = fd >= 0 ? sync_and_empty(s, fd) : fd == -EWOULDBLOCK ? 0 : fd;
    }
    return r < 0 ? err_code(e, r, "cannot check image store '%s'", s->path) : 0;
}
