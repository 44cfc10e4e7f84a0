/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Roots of containers: overlayfs over unpacked layers. [O]
 *
 * The trap: the attributes of the root directory are those of `upper`, so it gets those of the top
 * layer's root when it is made.
 */
#include "libimage/collect.h"
#include "libimage/copy.h"
#include "libimage/layer.h"
#include "libimage/overlay.h"
#include "libimage/resolve.h"
#include "libimage/roots.h"
#include "base/fd.h"
#include "base/str.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

struct image_root {
    struct image_root_info info;
    struct digest id;
    int lower[IMAGE_LAYERS_MAX];
    char **paths;
    bool transient, user_xattr;
};
DEFINE_AUTO(struct image_root, image_root_free)

void image_root_free(struct image_root *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->info.lower_count; i++)
        fd_close(r->lower[i]);
    fd_close(r->info.upper);
    fd_close(r->info.work);
    fd_close(r->info.copy);
    strv_free(r->paths);
    free(r);
}

const struct image_root_info *image_root_info(const struct image_root *root)
{
    return &root->info;
}

/* An opaque root hides everything below: overlayfs does not look at that mark, so we do. */
static bool is_opaque(int tree)
{
    char path[64], value[4];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", tree);
    return getxattr(path, "trusted.overlay.opaque", value, sizeof(value)) > 0 ||
           getxattr(path, "user.overlay.opaque", value, sizeof(value)) > 0;
}

static int open_lower(struct image_root *root, struct image_store *store, const struct image *image,
                      struct wharf_error *e)
{
    for (size_t i = image->info.layer_count; i-- > 0;) {
        const char *chain = image->chains[i].text;
        int fd = layer_open_tree(store, NULL, chain);
        autofree char *path =
            str_format("%s/layers/sha256/%s/fs", store->path, digest_hex(&image->chains[i]));

        if (fd < 0)
            return err_code(e, fd, "layer '%s' is not unpacked", chain);
        root->lower[root->info.lower_count++] = fd;
        if (!path || strv_add(&root->paths, path) < 0)
            return err_nomem(e);
        if (is_opaque(fd))
            break;
    }
    if (root->info.lower_count == 0)
        return err_unsupported(e, "image '%s' has no layers", image->id.text);
    return 0;
}

/* 1 if it was made now. */
static int open_directory(int dir, const char *name, mode_t mode, int *ret)
{
    int made = mkdirat(dir, name, mode) == 0, fd;

    if (!made && errno != EEXIST)
        return -errno;
    fd = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret = fd;
    return made;
}

static int open_writable(struct image_root *root, int dir, struct wharf_error *e)
{
    struct stat st;
    int r = open_directory(dir, "work", 0700, &root->info.work), made;

    if (r >= 0)
        r = made = open_directory(dir, "upper", 0755, &root->info.upper);
    if (r > 0) {
        r = fstat(root->lower[0], &st);
        if (r == 0)
            r = fchownat(root->info.upper, "", st.st_uid, st.st_gid, AT_EMPTY_PATH);
        if (r == 0)
            r = fchmodat(dir, "upper", st.st_mode & 07777, 0);
        r = r < 0 ? -errno : 0;
    }
    return r < 0 ? err_code(e, r, "cannot make the container's writable directory") : 0;
}

/* True if overlayfs works here with these very directories. */
static bool overlay_works(const struct image_root *root)
{
    autoclose int mount = image_root_mount(root, NULL);

    return mount >= 0 || mount == -EBUSY;
}

static int open_copy(struct image_root *root, int dir, struct wharf_error *e)
{
    root->info.kind = IMAGE_ROOT_COPY;
    root->info.upper = fd_close(root->info.upper);
    root->info.work = fd_close(root->info.work);
    root->info.copy = copy_root(dir, root->lower, root->info.lower_count, e);
    return root->info.copy < 0 ? root->info.copy : 0;
}

/* A copy that is there stays one; AUTO tries an overlay only when it makes a new root. */
static int open_kind(struct image_root *root, enum image_root_kind kind, int dir,
                     struct wharf_error *e)
{
    bool fresh = faccessat(dir, "upper", F_OK, AT_SYMLINK_NOFOLLOW) < 0;
    int r;

    if (kind == IMAGE_ROOT_COPY ||
        (kind == IMAGE_ROOT_AUTO && faccessat(dir, "copy", F_OK, AT_SYMLINK_NOFOLLOW) == 0))
        return open_copy(root, dir, e);
    r = open_writable(root, dir, e);
    if (r < 0 || kind == IMAGE_ROOT_OVERLAY || !fresh || overlay_works(root))
        return r;
    path_remove_tree(dir, "upper");
    path_remove_tree(dir, "work");
    return open_copy(root, dir, e);
}

static int open_root(struct image_store *store, const struct image *image, int dir,
                     enum image_root_kind kind, struct image_root **ret, struct wharf_error *e)
{
    auto_of(image_root_free) struct image_root *root = calloc(1, sizeof(*root));
    int r;

    if (!root)
        return err_nomem(e);
    root->id = image->id;
    root->user_xattr = store->user_xattr;
    root->info = (struct image_root_info){
        .kind = IMAGE_ROOT_OVERLAY, .upper = -1, .work = -1, .copy = -1, .lower = root->lower
    };
    root->info.image_id = root->id.text;
    r = open_lower(root, store, image, e);
    if (r == 0)
        r = open_kind(root, kind, dir, e);
    if (r < 0)
        return r;
    root->info.lower_paths = root->paths;
    *ret = take_ptr(&root);
    return 0;
}

static int unpack(struct image_store *store, const struct image *image, struct reporter *reporter,
                  struct wharf_error *e)
{
    struct intake in = { 0 };
    int r = intake_begin(&in, store, e);

    if (r == 0)
        r = layers_unpack(&in, image, reporter, e);
    if (r > 0)
        r = intake_publish(&in, e);
    intake_end(&in);
    return MIN(r, 0);
}

static bool all_unpacked(struct image_store *store, const struct image *image)
{
    for (size_t i = 0; i < image->info.layer_count; i++) {
        if (!store_has_layer(store, image->chains[i].text))
            return false;
    }
    return true;
}

/* Under the lease, so that collection sees the root, or we see what it took. A transient root is
 * not synced: it does not outlive the machine's next start. */
static int use_layers(struct image_store *store, const struct image *image, const char *name,
                      const struct image_root_options *o, struct wharf_error *e)
{
    struct reporter reporter = { .lock = PTHREAD_MUTEX_INITIALIZER,
                                 .progress = o->progress,
                                 .arg = o->arg };
    autoclose int lease = store_lock(store, "lease", LOCK_SH);

    if (lease < 0)
        return err_code(e, lease, "cannot lock image store '%s'", store->path);
    int r = roots_put(store, name, &image->digest, !o->transient, e);
    if (r == 0 && !all_unpacked(store, image)) {
        r = unpack(store, image, &reporter, e);
        if (r < 0)
            image_root_release(store, name, NULL);
    }
    lease = fd_close(lease);
    collect_if_wanted(store);
    return r;
}

int image_root_prepare(struct image_store *store, const struct image *image, const char *name,
                       int container_dir, const struct image_root_options *options,
                       struct image_root **ret, struct wharf_error *e)
{
    struct image_root_options o = { 0 };
    int r;

    if (options)
        memcpy(&o, options, MIN(options->size, sizeof(o)));
    if (!roots_name_valid(name))
        return err_invalid(e, "'%.150s' is not a name for a root", name);
    r = use_layers(store, image, name, &o, e);
    if (r < 0)
        return r;
    r = open_root(store, image, container_dir, o.kind, ret, e);
    if (r == 0)
        (*ret)->transient = o.transient;
    return r;
}

int image_root_open(struct image_store *store, const char *name, int container_dir,
                    struct image_root **ret, struct wharf_error *e)
{
    auto_of(image_free) struct image *image = NULL;
    struct digest digest;
    int r = roots_name_valid(name) ? roots_get(store, name, &digest) : -EINVAL;

    if (r < 0)
        return err_code(e, r, "no root '%.150s'", name);
    r = opened_read(store, -1, &digest, &image, e);
    if (r == 0 && !all_unpacked(store, image)) /* a power cut took them, see pending.h */
        r = unpack(store, image, NULL, e);
    return r < 0 ? r : open_root(store, image, container_dir, IMAGE_ROOT_AUTO, ret, e);
}

/* ---- mounting ---- */

static int mount_copy(const struct image_root *root, struct wharf_error *e)
{
    int mount = (int)syscall(SYS_open_tree, root->info.copy, "",
                             AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    return mount < 0 ? err_sys(e, "cannot make a mount of the container's directory") : mount;
}

int image_root_mount(const struct image_root *root, struct wharf_error *e)
{
    const struct overlay overlay = { .lower = root->lower,
                                     .lower_count = root->info.lower_count,
                                     .upper = root->info.upper,
                                     .work = root->info.work,
                                     .user_xattr = root->user_xattr,
                                     .transient = root->transient };

    return root->info.kind == IMAGE_ROOT_COPY ? mount_copy(root, e) : overlay_mount(&overlay, e);
}
