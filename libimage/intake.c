/* SPDX-License-Identifier: Apache-2.0 */
/* What comes into the store: gathered apart, published at once. See store.h for the order. */
#include "libimage/store.h"
#include "libimage/collect.h"
#include "libimage/pending.h"
#include "base/fd.h"
#include "base/str.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>

int intake_begin(struct intake *in, struct image_store *store, struct wharf_error *e)
{
    uint64_t random;

    *in = (struct intake){ .store = store, .dir = -1, .unpacking = -1, .fetching = -1 };
    in->lease = store_lock(store, "lease", LOCK_SH);
    if (in->lease < 0)
        return err_code(e, in->lease, "cannot lock image store '%s'", store->path);
    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        return err_sys(e, "cannot get random bytes");
    snprintf(in->name, sizeof(in->name), "%016llx", (unsigned long long)random);
    if (mkdirat(store->temporary, in->name, 0700) < 0)
        return err_sys(e, "cannot make a directory in '%s/layers/tmp'", store->path);
    in->dir = openat(store->temporary, in->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return in->dir < 0 ? err_sys(e, "cannot open '%s/layers/tmp/%s'", store->path, in->name) : 0;
}

int intake_create(struct intake *in, char name[INTAKE_NAME_MAX], struct wharf_error *e)
{
    int fd;

    snprintf(name, INTAKE_NAME_MAX, "part-%u", atomic_fetch_add(&in->serial, 1));
    fd = openat(in->dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    return fd < 0 ? err_sys(e, "cannot create a file in image store '%s'", in->store->path) : fd;
}

int intake_name_blob(struct intake *in, const char *name, const struct digest *digest)
{
    return renameat(in->dir, name, in->dir, digest->text) < 0 ? -errno : 0;
}

int intake_add_blob(struct intake *in, const void *data, size_t len, struct digest *ret,
                    struct wharf_error *e)
{
    char name[INTAKE_NAME_MAX];
    autoclose int fd = intake_create(in, name, e);
    int r;

    if (fd < 0)
        return fd;
    r = fd_write_all(fd, data, len);
    if (r == 0)
        r = digest_of(data, len, ret);
    if (r == 0)
        r = intake_name_blob(in, name, ret);
    if (r == 0)
        r = intake_want_blob(in, ret);
    return r < 0 ? err_code(e, r, "cannot write to image store '%s'", in->store->path) : 0;
}

int intake_want_blob(struct intake *in, const struct digest *digest)
{
    return strv_add(&in->blobs, digest->text);
}

int intake_want_layer(struct intake *in, const char *hex)
{
    return strv_add(&in->layers, hex);
}

/* The blob may be in the store already (ENOENT here), or have come twice. */
static int publish_blob(struct intake *in, const char *text)
{
    char path[DIGEST_PATH_MAX + 8] = "blobs/";
    struct digest d;
    int r;

    snprintf(d.text, sizeof(d.text), "%s", text);
    digest_path(&d, path + strlen("blobs/"));
    r = renameat(in->dir, text, in->store->root, path) < 0 ? -errno : 0;
    if (r == -ENOENT && str_after(text, "sha512:") &&
        mkdirat(in->store->root, "blobs/sha512", 0755) == 0)
        r = renameat(in->dir, text, in->store->root, path) < 0 ? -errno : 0;
    return r == -ENOENT ? 0 : r;
}

static int publish_layer(struct intake *in, const char *hex)
{
    char from[IMAGE_DIGEST_MAX + 8];

    snprintf(from, sizeof(from), "layer-%s", hex);
    if (renameat(in->dir, from, in->store->layers, hex) == 0)
        return 0;
    /* another process was first: its copy is as good */
    return errno == ENOENT || errno == EEXIST || errno == ENOTEMPTY ? 0 : -errno;
}

int intake_publish(struct intake *in, struct wharf_error *e)
{
    autoclose int blobs = -1;
    int r = pending_add(in->store, in->blobs, in->layers, e);

    if (r < 0)
        return r;
    for (char **d = in->blobs; d && *d && r == 0; d++)
        r = publish_blob(in, *d);
    for (char **h = in->layers; h && *h && r == 0; h++)
        r = publish_layer(in, *h);
    blobs = openat(in->store->root, "blobs/sha256", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r == 0 && (blobs < 0 || fsync(blobs) < 0 || fsync(in->store->layers) < 0))
        r = -errno;
    return r < 0 ? err_code(e, r, "cannot write to image store '%s'", in->store->path) : 0;
}

void intake_end(struct intake *in)
{
    if (!in->store)
        return;
    if (in->dir >= 0)
        path_remove_tree(in->store->temporary, in->name);
    in->dir = fd_close(in->dir);
    in->lease = fd_close(in->lease);
    in->unpacking = fd_close(in->unpacking);
    in->fetching = fd_close(in->fetching);
    strv_free(in->blobs);
    strv_free(in->layers);
    collect_if_wanted(in->store);
    in->store = NULL;
}

int layer_open_tree(struct image_store *store, const struct intake *in, const char *chain_id)
{
    const char *hex = chain_id + strlen("sha256:");
    char path[IMAGE_DIGEST_MAX + 16];
    int fd = -1;

    snprintf(path, sizeof(path), "layer-%s/fs", hex);
    if (in)
        fd = openat(in->dir, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    snprintf(path, sizeof(path), "%s/fs", hex);
    fd = openat(store->layers, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}
