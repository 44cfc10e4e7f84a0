/* SPDX-License-Identifier: Apache-2.0 */
/* The register of roots. See roots.h. */
#include "libimage/roots.h"
#include "base/fd.h"
#include "base/str.h"

#include <dirent.h>
#include <fcntl.h>

bool roots_name_valid(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "_.-";
    size_t n = strlen(name);

    /* file_replace leaves *.tmp behind when it is killed */
    return n > 0 && n <= IMAGE_TAG_MAX && strspn(name, letters) == n && !strchr("_.-", name[0]) &&
           !str_ends(name, ".tmp");
}

int roots_get(struct image_store *store, const char *name, struct digest *ret)
{
    autofree char *text = NULL;
    ssize_t n = file_read(store->roots, name, 4096, &text);

    if (n < 0)
        return (int)n;
    return digest_parse(ret, text, name, NULL) < 0 ? -EBADMSG : 0;
}

int roots_put(struct image_store *store, const char *name, const struct digest *digest,
              bool durable, struct wharf_error *e)
{
    struct digest have;
    int r = roots_get(store, name, &have);

    if (r == 0 && digest_equal(&have, digest))
        return 0;
    if (r == 0)
        return err_set(e, -EEXIST, WHARF_ERROR_CONFLICT, "root '%s' has another image", name);
    r = file_replace(store->roots, name, digest->text, strlen(digest->text), 0600, durable);
    return r < 0 ? err_code(e, r, "cannot register root '%s'", name) : 0;
}

int image_root_list(struct image_store *store,
                    int (*visit)(const char *name, const char *digest, void *arg), void *arg,
                    struct wharf_error *e)
{
    int fd = openat(store->roots, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), count = 0, r = 0;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!dir) {
        fd_close(fd);
        return err_sys(e, "cannot list the roots of image store '%s'", store->path);
    }
    while (r == 0 && (entry = readdir(dir))) {
        struct digest digest;

        if (!roots_name_valid(entry->d_name) || roots_get(store, entry->d_name, &digest) < 0)
            continue;
        count++;
        r = visit(entry->d_name, digest.text, arg);
    }
    closedir(dir);
    return r < 0 ? r : count;
}

struct search {
    const char *digest;
    char *user;
    bool found;
};

static int compare(const char *name, const char *digest, void *arg)
{
    struct search *s = arg;

    if (!streq(digest, s->digest))
        return 0;
    s->found = true;
    if (s->user)
        snprintf(s->user, IMAGE_TAG_MAX + 1, "%s", name);
    return 1;
}

bool roots_use(struct image_store *store, const char *digest, char *user)
{
    struct search s = { digest, user, false };

    image_root_list(store, compare, &s, NULL);
    return s.found;
}

int image_root_release(struct image_store *store, const char *name, struct wharf_error *e)
{
    if (!roots_name_valid(name))
        return err_invalid(e, "'%.150s' is not a name of a root", name);
    if (unlinkat(store->roots, name, 0) < 0 && errno != ENOENT)
        return err_sys(e, "cannot release root '%s'", name);
    return 0;
}
