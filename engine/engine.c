/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a root directory: its folders, its database, its lock file. Cheap: no image is looked at
 * and no container is asked before somebody needs it. */
#include "engine/internal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include "base/fd.h"
#include "base/str.h"
#include "network/network.h"
#include "network/pool.h"
#include "engine/listing.h"
#include "volume/volume.h"

int64_t time_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* An absolute path: the shim may have another working directory. */
static char *absolute(const char *path)
{
    if (path[0] == '/')
        return path_clean(path);
    autofree char *cwd = getcwd(NULL, 0);
    autofree char *joined = cwd ? str_format("%s/%s", cwd, path) : NULL;
    return joined ? path_clean(joined) : NULL;
}

/* Beside the running program, as it is installed; or where the build leaves it. */
static char *program_beside_us(const char *name)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

    if (n <= 0)
        return NULL;
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    int dir = slash ? (int)(slash - path) : 0;
    char *installed = str_format("%.*s/%s", dir, path, name);
    if (!installed || access(installed, X_OK) == 0)
        return installed;
    free(installed);
    return str_format("%.*s/../%s/%s", dir, path, name, name);
}

static int engine_paths(struct engine *en, const struct engine_options *o, struct wharf_error *e)
{
    const char *root = o->root ? o->root : ENGINE_ROOT_DEFAULT;

    en->root = absolute(root);
    if (!en->root)
        return err_nomem(e);
    if (o->run)
        en->run = absolute(o->run);
    else if (streq(en->root, ENGINE_ROOT_DEFAULT))
        en->run = strdup("/run/wharf");
    else
        en->run = str_format("%s/run", en->root);
    en->shim = o->shim ? absolute(o->shim) : program_beside_us("wharf-shim");
    en->init = program_beside_us("wharf-init");
    return en->run && en->shim && en->init ? 0 : err_nomem(e);
}

/* Folders: only their owner may enter, but those of images and containers, whose users may be
 * others. */
static int engine_folders(struct engine *en, struct wharf_error *e)
{
    int r = path_make_dirs(en->root, 0711);

    if (r < 0)
        return err_code(e, r, "cannot make '%s'", en->root);
    en->root_fd = open(en->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (en->root_fd < 0)
        return err_sys(e, "cannot open '%s'", en->root);
    if (mkdirat(en->root_fd, CONTAINERS_DIR, 0711) < 0 && errno != EEXIST)
        return err_sys(e, "cannot make '%s/%s'", en->root, CONTAINERS_DIR);
    en->containers_fd = openat(en->root_fd, CONTAINERS_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (en->containers_fd < 0)
        return err_sys(e, "cannot open '%s/%s'", en->root, CONTAINERS_DIR);
    en->lock_file = openat(en->root_fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return en->lock_file < 0 ? err_sys(e, "cannot open '%s/%s'", en->root, LOCK_FILE) : 0;
}

int engine_open(struct engine **ret, const struct engine_options *options, struct wharf_error *e)
{
    struct engine *en = calloc(1, sizeof(*en));

    if (!en)
        return err_nomem(e);
    pthread_mutex_init(&en->opening, NULL);
    en->root_fd = en->containers_fd = en->lock_file = -1;
    en->many_users = options->many_users;
    en->network_options = options->networks;
    en->spare_networks = options->spare_networks;
    int r = engine_paths(en, options, e);
    if (r == 0)
        r = engine_folders(en, e);
    autofree char *database = r == 0 ? str_format("%s/wharf.db", en->root) : NULL;
    if (r == 0)
        r = database ? store_open(&en->store, database, e) : err_nomem(e);
    if (r == 0 && options->reaps)
        r = reaper_open(&en->reaper, e);
    if (r < 0) {
        engine_close(en);
        return r;
    }
    *ret = en;
    return 0;
}

void engine_close(struct engine *en)
{
    if (!en)
        return;
    reaper_close(en->reaper);
    listing_free(en->listing);
    image_store_free(en->images);
    volume_store_close(en->volumes);
    networks_close(en->networks);
    netns_pool_close(en->spare);
    pthread_mutex_destroy(&en->opening);
    store_close(en->store);
    fd_close(en->lock_file);
    fd_close(en->containers_fd);
    fd_close(en->root_fd);
    free(en->shim);
    free(en->init);
    free(en->run);
    free(en->root);
    free(en);
}

const char *engine_root(const struct engine *engine)
{
    return engine->root;
}

int principal_check(const struct engine *en, struct principal who, struct wharf_error *e)
{
    struct stat st;

    if (en->many_users || who.uid == 0 || (fstat(en->root_fd, &st) == 0 && st.st_uid == who.uid))
        return 0;
    return err_set(e, -EACCES, WHARF_ERROR_FORBIDDEN, "%s may not use the containers of '%s'",
                   who.name, en->root);
}

int engine_images(struct engine *en, struct principal who, struct image_store **ret,
                  struct wharf_error *e)
{
    int r = principal_check(en, who, e);

    if (r < 0)
        return r;
    pthread_mutex_lock(&en->opening);
    if (!en->images)
        r = image_store_open(&en->images, en->root, NULL, e);
    if (r == 0)
        *ret = en->images;
    pthread_mutex_unlock(&en->opening);
    return r;
}

int engine_volumes(struct engine *en, struct volume_store **ret, struct wharf_error *e)
{
    int r = 0;

    pthread_mutex_lock(&en->opening);
    if (!en->volumes)
        r = volume_store_open(&en->volumes, en->root, e);
    if (r == 0)
        *ret = en->volumes;
    pthread_mutex_unlock(&en->opening);
    return r;
}
