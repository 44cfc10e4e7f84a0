/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local driver's options, as mount(8) takes them: type=nfs,o=addr=10.0.0.1,device=:/export;
 * type=tmpfs,o=size=10m,device=tmpfs; type=none,o=bind,device=/a. Flags become bits, the rest goes
 * to the file system as text. The kernel's nfs wants a number in addr=, so a name is looked up.
 */
#include "volume/internal.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/mount.h>
#include "base/buf.h"
#include "base/str.h"

static const struct {
    const char *name;
    unsigned long set, clear;
} flags[] = {
    { "ro", MS_RDONLY, 0 },
    { "rw", 0, MS_RDONLY },
    { "nosuid", MS_NOSUID, 0 },
    { "suid", 0, MS_NOSUID },
    { "nodev", MS_NODEV, 0 },
    { "dev", 0, MS_NODEV },
    { "noexec", MS_NOEXEC, 0 },
    { "exec", 0, MS_NOEXEC },
    { "sync", MS_SYNCHRONOUS, 0 },
    { "async", 0, MS_SYNCHRONOUS },
    { "noatime", MS_NOATIME, 0 },
    { "relatime", MS_RELATIME, 0 },
    { "nodiratime", MS_NODIRATIME, 0 },
    { "bind", MS_BIND, 0 },
    { "rbind", MS_BIND | MS_REC, 0 },
    { "private", 0, 0 },
    { "defaults", 0, 0 },
};

static const char *option(const json_t *options, const char *name)
{
    const char *text = json_string_value(json_object_get(options, name));

    return text ? text : "";
}

bool options_need_mount(const json_t *options)
{
    return *option(options, "device") || *option(options, "type");
}

int options_check(const json_t *options, struct wharf_error *e)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)options, key, value) {
        if (!streq(key, "type") && !streq(key, "o") && !streq(key, "device"))
            return err_invalid(e, "invalid option: \"%s\"", key);
    }
    if (json_object_size(options) == 0)
        return 0;
    if (!*option(options, "type") && !strstr(option(options, "o"), "bind"))
        return err_invalid(e, "missing required option: \"type\"");
    if (!*option(options, "device"))
        return err_invalid(e, "missing required option: \"device\"");
    if (strlen(option(options, "o")) > VOLUME_OPTIONS_MAX)
        return err_invalid(e, "option \"o\" is longer than %d bytes", VOLUME_OPTIONS_MAX);
    return 0;
}

/* "addr=NAME" with the name's address. */
static int add_address(const char *name, struct buf *data, struct wharf_error *e)
{
    struct addrinfo *found = NULL, hints = { .ai_socktype = SOCK_STREAM };
    char text[NI_MAXHOST];
    int r = getaddrinfo(name, NULL, &hints, &found);

    if (r == 0)
        r = getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof(text), NULL, 0,
                        NI_NUMERICHOST);
    if (found)
        freeaddrinfo(found);
    if (r != 0)
        return err_set(e, -EHOSTUNREACH, WHARF_ERROR_UNAVAILABLE, "volume address '%s': %s", name,
                       gai_strerror(r));
    buf_printf(data, "%saddr=%s", data->len ? "," : "", text);
    return 0;
}

static int parse(const char *text, unsigned long *bits, struct buf *data, struct wharf_error *e)
{
    int r = 0;

    for (const char *p = text; r == 0 && *p;) {
        size_t n = strcspn(p, ","), i = 0;
        autofree char *word = strndup(p, n);

        if (!word)
            return err_nomem(e);
        while (i < ARRAY_SIZE(flags) && !streq(flags[i].name, word))
            i++;
        if (i < ARRAY_SIZE(flags))
            *bits = (*bits | flags[i].set) & ~flags[i].clear;
        else if (str_after(word, "addr="))
            r = add_address(word + strlen("addr="), data, e);
        else if (n > 0)
            buf_printf(data, "%s%s", data->len ? "," : "", word);
        p += n + (p[n] == ',');
    }
    return r < 0 ? r : data->error ? err_nomem(e) : 0;
}

int options_mount(const struct volume *v, struct wharf_error *e)
{
    autobuf struct buf data = BUF(2 * VOLUME_OPTIONS_MAX);
    const char *type = option(v->options, "type"), *device = option(v->options, "device");
    unsigned long bits = 0;
    int r = parse(option(v->options, "o"), &bits, &data, e);

    if (r < 0)
        return r;
    if (bits & MS_BIND) {
        if (mount(device, v->mountpoint, NULL, bits & (MS_BIND | MS_REC), NULL) == 0 &&
            ((bits & ~(unsigned long)(MS_BIND | MS_REC)) == 0 ||
             mount(NULL, v->mountpoint, NULL, (bits & ~(unsigned long)MS_REC) | MS_REMOUNT, NULL) ==
                 0))
            return 0;
    } else if (mount(device, v->mountpoint, type, bits, data.data) == 0) {
        return 0;
    }
    return err_sys(e, "failed to mount local volume: mount %s:%s, data: %s", device, v->mountpoint,
                   data.data ? data.data : "");
}
