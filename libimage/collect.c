/* SPDX-License-Identifier: Apache-2.0 */
/* Removing images and collecting what nothing needs. See collect.h for why it is safe. */
#include "libimage/collect.h"
#include "libimage/resolve.h"
#include "libimage/roots.h"
#include "base/fd.h"
#include "base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

enum { PARTIAL_KEEP_S = 24 * 3600 };

/* What is alive: digests of blobs and hex of chain ids, as keys. */
struct live {
    struct image_store *store;
    json_t *blobs, *chains;
};

static int mark(json_t *set, const char *key)
{
    return json_object_set_new(set, key, json_true()) < 0 ? -ENOMEM : 0;
}

/* A manifest or index and all below it. What is missing is no matter here; what cannot be read
 * keeps nothing alive but itself. */
static int mark_tree(struct live *live, const struct digest *digest, unsigned depth)
{
    autodocument struct document d = { 0 };
    autofree char *text = NULL;
    size_t len;
    int r = mark(live->blobs, digest->text);

    if (r < 0 || depth >= IMAGE_INDEX_DEPTH_MAX ||
        store_read_blob(live->store, -1, digest, IMAGE_DOCUMENT_MAX, &text, &len, NULL) < 0 ||
        document_parse(&d, text, len, digest->text, NULL) < 0)
        return r;
    if (d.kind == DOCUMENT_MANIFEST)
        r = mark(live->blobs, d.config.digest.text);
    for (size_t i = 0; i < d.count && r == 0; i++)
        r = d.kind == DOCUMENT_INDEX ? mark_tree(live, &d.items[i].digest, depth + 1)
                                     : mark(live->blobs, d.items[i].digest.text);
    return r;
}

static int mark_image(struct live *live, const char *text)
{
    auto_of(image_free) struct image *image = NULL;
    struct digest digest;
    int r = digest_parse(&digest, text, "index.json", NULL);

    if (r < 0)
        return r;
    r = mark_tree(live, &digest, 0);
    if (r < 0 || opened_read(live->store, -1, &digest, &image, NULL) < 0)
        return r;
    for (size_t i = 0; i < image->info.layer_count && r == 0; i++)
        r = mark(live->chains, digest_hex(&image->chains[i]));
    return r;
}

static int mark_root(const char *name, const char *digest, void *arg)
{
    (void)name;
    return mark_image(arg, digest);
}

/* Calls `visit` with each name in a directory below `dirfd`. */
static int each_name(int parent, const char *path,
                     int (*visit)(int at, const char *name, void *arg), void *arg)
{
    int fd = openat(parent, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!dir) {
        r = -errno;
        fd_close(fd);
        return r == -ENOENT ? 0 : r;
    }
    while (r == 0 && (entry = readdir(dir))) {
        if (entry->d_name[0] != '.')
            r = visit(dirfd(dir), entry->d_name, arg);
    }
    closedir(dir);
    return r;
}

struct sweep {
    struct live *live;
    const char *algorithm; /* NULL: layers */
    int64_t freed;
};

static int sweep_blob(int dir, const char *name, void *arg)
{
    struct sweep *s = arg;
    char digest[512];
    struct stat st;

    snprintf(digest, sizeof(digest), "%s:%s", s->algorithm, name);
    if (!digest_valid(digest) || json_object_get(s->live->blobs, digest))
        return 0; /* not ours, or alive */
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        s->freed += (int64_t)st.st_blocks * 512;
    return unlinkat(dir, name, 0) < 0 ? -errno : 0;
}

static int sweep_layer(int dir, const char *name, void *arg)
{
    struct sweep *s = arg;
    char path[300];
    autofree char *meta = NULL;
    autojson json_t *j = NULL;
    ssize_t n;

    if (json_object_get(s->live->chains, name))
        return 0;
    snprintf(path, sizeof(path), "%s/layer.json", name);
    n = file_read(dir, path, 4096, &meta);
    if (n > 0 && json_read(meta, (size_t)n, JSON_LIMITS, path, &j, NULL) == 0)
        s->freed += json_integer_value(json_object_get(j, "bytes"));
    return store_drop_layer(s->live->store, name);
}

/* What a broken pull left is worth a day: the next pull goes on from there. */
static int sweep_partial(int dir, const char *name, void *arg)
{
    struct stat st;

    (void)arg;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        st.st_mtime < time(NULL) - PARTIAL_KEEP_S)
        unlinkat(dir, name, 0);
    return 0;
}

static int drop_dangling(struct image_store *store, struct wharf_error *e)
{
    autoindex struct index_edit x = { 0 };
    char name[IMAGE_REFERENCE_MAX];
    int r = index_begin(&x, store, e);

    for (size_t i = r < 0 ? 0 : json_array_size(x.list); i-- > 0;) {
        json_t *entry = json_array_get(x.list, i);

        if (index_entry_name(entry, name) || roots_use(store, index_entry_digest(entry), NULL))
            continue;
        json_array_remove(x.list, i);
        x.changed = true;
    }
    return r < 0 ? r : index_commit(&x, e);
}

/* What the build cache names (build/cache.h): a blob and its unpacked layer. */
static int mark_record(int dir, const char *name, void *arg)
{
    struct live *live = arg;
    autofree char *text = NULL;
    autojson json_t *j = NULL;
    ssize_t n = file_read(dir, name, 4096, &text);
    const char *blob, *chain;
    int r;

    if (n <= 0 || json_read(text, (size_t)n, JSON_LIMITS, name, &j, NULL) < 0 ||
        json_unpack(j, "{s:s, s:s}", "blob", &blob, "chain", &chain) < 0)
        return 0; /* torn by a crash, or of a kind that names nothing */
    r = mark(live->blobs, blob);
    chain = strchr(chain, ':');
    return r < 0 || !chain ? r : mark(live->chains, chain + 1);
}

static int mark_all(struct live *live, struct wharf_error *e)
{
    autoindex struct index_edit x = { 0 };
    json_t *entry;
    size_t i;
    int r = index_read(&x, live->store, e);

    json_array_foreach (x.list, i, entry) {
        if (r == 0)
            r = mark_image(live, index_entry_digest(entry));
    }
    if (r == 0)
        r = each_name(live->store->private, "build", mark_record, live);
    return r < 0 ? r : image_root_list(live->store, mark_root, live, e);
}

/* The caller holds the lease exclusively. */
static int collect_locked(struct image_store *store, int64_t *ret_bytes, struct wharf_error *e)
{
    autojson json_t *blobs = json_object(), *chains = json_object();
    struct live live = { store, blobs, chains };
    struct sweep sweep = { .live = &live };
    int r = mark_all(&live, e);

    if (r < 0)
        return r;
    store_sweep(store);
    each_name(store->private, "partial", sweep_partial, NULL);
    for (size_t i = 0; i < 2 && r >= 0; i++) {
        sweep.algorithm = i ? "sha512" : "sha256";
        r = each_name(store->root, i ? "blobs/sha512" : "blobs/sha256", sweep_blob, &sweep);
    }
    if (r >= 0)
        r = each_name(store->layers, ".", sweep_layer, &sweep);
    if (r < 0)
        return err_code(e, r, "cannot collect in image store '%s'", store->path);
    unlinkat(store->private, "wanted", 0);
    if (ret_bytes)
        *ret_bytes = sweep.freed;
    return 0;
}

int image_collect(struct image_store *store, int dangling, int64_t *ret_bytes,
                  struct wharf_error *e)
{
    autoclose int lease = -1, wanted = -1;
    int r = dangling ? drop_dangling(store, e) : 0;

    if (r < 0)
        return r;
    /* the wish first: whoever holds the lease now sees it when he ends */
    wanted = openat(store->private, "wanted", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    lease = store_lock(store, "lease", LOCK_EX | LOCK_NB);
    if (lease == -EWOULDBLOCK)
        return err_set(e, -EAGAIN, WHARF_ERROR_CONFLICT,
                       "image store '%s' is in use: it is collected later", store->path);
    if (lease < 0)
        return err_code(e, lease, "cannot lock image store '%s'", store->path);
    return collect_locked(store, ret_bytes, e);
}

void collect_if_wanted(struct image_store *store)
{
    if (faccessat(store->private, "wanted", F_OK, 0) == 0)
        image_collect(store, 0, NULL, NULL);
}

/* ---- removal ---- */

/* True if names of more than one repository lead to the image. */
static bool is_shared(char *const *names)
{
    size_t len = names[0] ? (size_t)(strrchr(names[0], ':') - names[0]) : 0;

    for (size_t i = 1; names[0] && names[i]; i++) {
        if (strncmp(names[i], names[0], len + 1) != 0)
            return true;
    }
    return false;
}

/* The words are dockerd's: scripts look for them. */
static int check_removal(struct image_store *store, const struct resolved *found, bool force,
                         bool last, const char *reference, struct wharf_error *e)
{
    const char *id = found->image->id.text + strlen("sha256:");
    char user[IMAGE_TAG_MAX + 1] = "";

    if (force)
        return 0;
    if (!found->name[0] && is_shared(found->image->info.names))
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT,
                       "conflict: unable to delete %.12s (must be forced) - image is referenced in "
                       "multiple repositories",
                       id);
    if (!last || (!roots_use(store, found->top.text, user) &&
                  !roots_use(store, found->image->digest.text, user)))
        return 0;
    if (found->name[0])
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT,
                       "conflict: unable to remove repository reference \"%s\" (must force) - "
                       "container %.12s is using its referenced image %.12s",
                       reference, user, id);
    return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT,
                   "conflict: unable to delete %.12s (must be forced) - image is being used by "
                   "stopped container %.12s",
                   id, user);
}

static void tell(const struct image_remove_options *o, enum image_removed what, const char *text)
{
    if (o->removed)
        o->removed(what, text, o->arg);
}

int image_remove(struct image_store *store, const char *reference,
                 const struct image_remove_options *options, struct wharf_error *e)
{
    struct image_remove_options o = { 0 };
    auto_of(image_free) struct image *image = NULL;
    struct resolved found = { 0 };
    char *const *names;
    bool last;
    int r;

    if (options)
        memcpy(&o, options, MIN(options->size, sizeof(o)));
    {
        autoindex struct index_edit x = { 0 };

        r = index_begin(&x, store, e);
        if (r == 0)
            r = resolve(store, &x, reference, &found, e);
        if (r < 0)
            return r;
        image = found.image;
        names = image->info.names;
        last = !found.name[0] || !names[0] || !names[1];
        r = check_removal(store, &found, o.force, last, reference, e);
        if (r < 0)
            return r;
        index_drop(&x, found.top.text, found.name[0] ? found.name : NULL);
        r = index_commit(&x, e);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; names[i]; i++) {
        if (!found.name[0] || streq(found.name, names[i]))
            tell(&o, IMAGE_UNTAGGED, names[i]);
    }
    if (!last)
        return 0;
    r = image_collect(store, 0, NULL, e);
    if (r < 0 && r != -EAGAIN)
        return r;
    tell(&o, IMAGE_DELETED, image->id.text);
    return 0;
}
