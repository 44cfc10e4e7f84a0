/* SPDX-License-Identifier: Apache-2.0 */
/* Engines: where containers' state directories are, and what holds for all of them. */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/fd.h"
#include "base/str.h"
#include "libcontainer/handle.h"

EXPORT void container_free(void *memory)
{
    free(memory);
}

void engine_log(const struct engine_settings *s, enum container_log_level level, const char *format,
                ...)
{
    char line[WHARF_ERROR_MESSAGE_MAX];
    va_list args;

    if (!s->log)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    s->log(s->user, level, line);
}

/* Root of a user namespace that maps less than everything is as good as unprivileged outside. */
static bool find_rootless(void)
{
    autofree char *map = NULL;
    unsigned inside, outside, size;

    if (geteuid() != 0)
        return true;
    if (file_read(AT_FDCWD, "/proc/self/uid_map", 64 * 1024, &map) <= 0)
        return false;
    return sscanf(map, "%u %u %u", &inside, &outside, &size) == 3 && size != UINT32_MAX;
}

static char *default_root(bool rootless)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");

    if (rootless && geteuid() != 0 && runtime && *runtime == '/')
        return str_format("%s/wharf-oci", runtime);
    return strdup("/run/wharf-oci");
}

EXPORT int container_engine_open(struct container_engine **ret_engine,
                                 const struct container_engine_options *options,
                                 struct wharf_error *e)
{
    struct container_engine_options o = { .rootless = -1 };
    struct container_engine *engine;

    /* a shorter struct of an older caller leaves the newer members at their defaults */
    if (options)
        memcpy(&o, options, MIN(options->size, sizeof(o)));
    engine = calloc(1, sizeof(*engine));
    if (!engine)
        return err_nomem(e);
    engine->settings = (struct engine_settings){
        .cgroups = o.cgroups == CONTAINER_CGROUPS_AUTO ? CONTAINER_CGROUPS_FILES : o.cgroups,
        .rootless = o.rootless < 0 ? find_rootless() : o.rootless,
        .log = o.log,
        .user = o.user,
    };
    engine->root = o.root ? strdup(o.root) : default_root(engine->settings.rootless);
    if (!engine->root) {
        free(engine);
        return err_nomem(e);
    }
    *ret_engine = engine;
    return 0;
}

EXPORT void container_engine_close(struct container_engine *engine)
{
    if (engine) {
        free(engine->root);
        free(engine);
    }
}

int engine_open_root(const struct container_engine *engine, bool make, struct wharf_error *e)
{
    int fd = open(engine->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

    if (fd < 0 && errno == ENOENT && make) {
        r = path_make_dirs(engine->root, 0700);
        if (r < 0)
            return err_code(e, r, "cannot make the state directory '%s'", engine->root);
        fd = open(engine->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    return fd < 0 ? err_sys(e, "cannot open the state directory '%s'", engine->root) : fd;
}

int container_check_id(const char *id, struct wharf_error *e)
{
    size_t len = id ? strlen(id) : 0;
    bool fine = len > 0 && len <= CONTAINER_ID_MAX && *id != '.';

    for (size_t i = 0; fine && i < len; i++)
        fine = isascii(id[i]) && (isalnum((unsigned char)id[i]) || strchr("_+-.", id[i]));
    if (fine)
        return 0;
    return err_invalid(e,
                       "invalid container id '%.64s': 1 to %d of [A-Za-z0-9_+.-], the first not "
                       "'.'",
                       id ? id : "", CONTAINER_ID_MAX);
}

EXPORT int container_engine_list(struct container_engine *engine,
                                 int (*each)(void *user, const char *id), void *user,
                                 struct wharf_error *e)
{
    struct dirent *entry;
    int fd = open(engine->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *dir;

    if (fd < 0)
        return errno == ENOENT ? 0
                               : err_sys(e, "cannot open the state directory '%s'", engine->root);
    dir = fdopendir(fd);
    if (!dir) {
        fd_close(fd);
        return err_nomem(e);
    }
    while (r == 0 && (entry = readdir(dir))) {
        if (container_check_id(entry->d_name, NULL) == 0)
            r = each(user, entry->d_name);
    }
    closedir(dir);
    return r;
}
