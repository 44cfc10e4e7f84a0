/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See channels.h. The directories are everybody's and sticky, as /tmp: a server may run as any user
 * of any user namespace, and nobody but itself removes its socket. The one above lets only the
 * engine's user in, so on the host itself they are not everybody's.
 */
#include "engine/channels.h"

#include <sys/stat.h>
#include "base/fd.h"
#include "base/str.h"

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyz0123456789_.-"

int channel_parse(const char *text, struct arena *arena, struct channel *ret, struct wharf_error *e)
{
    size_t len = strspn(text, NAME_CHARS);
    bool plain = streq(text + len, ""), read_only = streq(text + len, ":ro");

    if (len == 0 || len > CHANNEL_NAME_MAX || strchr("_.-", text[0]) || (!plain && !read_only))
        return err_invalid(e,
                           "invalid channel '%s': it is NAME or NAME:ro, and a name is up to %d "
                           "lower-case letters, digits, '_', '.' and '-' that begin with a letter "
                           "or a digit",
                           text, CHANNEL_NAME_MAX);
    const char *name = arena_strn(arena, text, len);
    if (!name)
        return err_nomem(e);
    *ret = (struct channel){ name, read_only };
    return 0;
}

/* CHAN_MY_NAME=unix:/run/chan/my-name/socket */
static char *environment(const char *name, struct arena *arena)
{
    char *entry = arena_format(arena, "CHAN_%s=unix:/run/chan/%s/socket", name, name);

    for (char *p = entry; p && *p != '='; p++) {
        if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - 'a' + 'A');
        else if (*p == '-' || *p == '.')
            *p = '_';
    }
    return entry;
}

static int make_directory(const char *run, const char *path, struct arena *arena,
                          struct wharf_error *e)
{
    const char *all = arena_format(arena, "%s/%s", run, CHANNELS_DIR);
    int r = all && path ? path_make_dirs(all, 0700) : -ENOMEM;

    if (r == 0 && mkdir(path, 0) == 0)
        r = chmod(path, 01777) < 0 ? -errno : 0; /* whatever the umask says */
    else if (r == 0 && errno != EEXIST)
        r = -errno;
    return r < 0 ? err_code(e, r, "cannot make '%s'", path ? path : run) : 0;
}

int channels_collect(const struct settings_host *host, const char *run, struct arena *arena,
                     struct oci_channels *ret, struct wharf_error *e)
{
    size_t count = host->channels.count;
    struct oci_channels all = { arena_array(arena, count ? count : 1, sizeof(*all.items)), count };

    if (!all.items)
        return err_nomem(e);
    for (size_t i = 0; i < count; i++) {
        struct oci_channel *c = &all.items[i];
        struct channel channel;
        int r = channel_parse(host->channels.items[i], arena, &channel, e);

        if (r < 0)
            return r;
        *c = (struct oci_channel){
            .source = arena_format(arena, "%s/%s/%s", run, CHANNELS_DIR, channel.name),
            .target = arena_format(arena, "/run/chan/%s", channel.name),
            .env = environment(channel.name, arena),
            .read_only = channel.read_only,
        };
        r = c->target && c->env ? make_directory(run, c->source, arena, e) : err_nomem(e);
        if (r < 0)
            return r;
    }
    *ret = all;
    return 0;
}
