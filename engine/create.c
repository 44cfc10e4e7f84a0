/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Creating a container: its settings are completed, a record says CREATING, its files, root and
 * volumes are made, the record says CREATED. Whatever is killed in between, whoever looks next
 * removes (repair.c).
 */
#include "engine/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "base/str.h"
#include "engine/join.h"
#include "engine/merge.h"
#include "engine/mounts.h"
#include "engine/names.h"
#include "engine/network.h"
#include "engine/security.h"

#define NAME_ATTEMPTS 20
#define FILE_COPY_MAX (64u << 10)

static int write_file(int dir, const char *name, const struct buf *text)
{
    return text->error ? text->error : file_replace(dir, name, text->data, text->len, 0644, false);
}

static void hosts_text(const struct settings *s, const char *hostname, struct buf *b)
{
    buf_str(b, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
               "fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\n"
               "ff02::2\tip6-allrouters\n");
    for (size_t i = 0; i < s->host->extra_hosts.count; i++) { /* "name:address" */
        const char *entry = s->host->extra_hosts.items[i];
        size_t name = strcspn(entry, ":");

        buf_printf(b, "%s\t%.*s\n", entry[name] ? entry + name + 1 : "", (int)name, entry);
    }
    buf_printf(b, "127.0.1.1\t%s\n", hostname);
}

static void resolv_text(const struct settings_host *host, struct buf *b)
{
    autofree char *own = NULL;

    if (host->dns.count + host->dns_search.count + host->dns_options.count == 0) {
        if (file_read(AT_FDCWD, "/etc/resolv.conf", FILE_COPY_MAX, &own) > 0)
            buf_str(b, own);
        return;
    }
    for (size_t i = 0; i < host->dns.count; i++)
        buf_printf(b, "nameserver %s\n", host->dns.items[i]);
    for (size_t i = 0; i < host->dns_search.count; i++)
        buf_printf(b, "%s%s", i ? " " : "search ", host->dns_search.items[i]);
    buf_str(b, host->dns_search.count ? "\n" : "");
    for (size_t i = 0; i < host->dns_options.count; i++)
        buf_printf(b, "%s%s", i ? " " : "options ", host->dns_options.items[i]);
    buf_str(b, host->dns_options.count ? "\n" : "");
}

int etc_write(int dir, const struct settings *s, const char *id, struct wharf_error *e)
{
    autobuf struct buf hosts = BUF(FILE_COPY_MAX), name = BUF(1024),
                       resolv = BUF(2 * FILE_COPY_MAX);
    autofree char *own = NULL;
    char hostname[256];
    bool shared = s->host->network_mode && streq(s->host->network_mode, "host");

    snprintf(hostname, sizeof(hostname), "%.*s", s->hostname && *s->hostname ? 255 : 12,
             s->hostname && *s->hostname ? s->hostname : id);
    buf_printf(&name, "%s\n", hostname);
    if (shared && file_read(AT_FDCWD, "/etc/hosts", FILE_COPY_MAX, &own) > 0)
        buf_str(&hosts, own);
    else
        hosts_text(s, hostname, &hosts);
    resolv_text(s->host, &resolv);
    buf_str(&resolv, "");
    int r = write_file(dir, "hosts", &hosts);
    if (r == 0)
        r = write_file(dir, "hostname", &name);
    if (r == 0)
        r = file_replace(dir, "resolv.conf", resolv.data ? resolv.data : "", resolv.len, 0644,
                         false);
    return r < 0 ? err_code(e, r, "cannot write the files of container %s", id) : 0;
}

static int create_files(struct engine *en, const struct record *r, const struct settings *s,
                        struct image_store *images, const struct image *image,
                        struct wharf_error *e)
{
    struct image_root_options options = { .size = sizeof(options),
                                          .transient = s->host->auto_remove };
    struct image_root *root;

    if (mkdirat(en->containers_fd, r->id, 0710) < 0)
        return err_sys(e, "cannot make the directory of container %s", r->id);
    autoclose int dir = container_directory(en, r->id);
    if (dir < 0)
        return err_code(e, dir, "cannot open the directory of container %s", r->id);
    int code = image_root_prepare(images, image, r->id, dir, &options, &root, e);
    if (code < 0)
        return code;
    image_root_free(root);
    return etc_write(dir, s, r->id, e);
}

/* The row, with the name that was asked for or a random one that is free. */
static int insert_record(struct engine *en, struct record *r, const char *name,
                         struct wharf_error *e)
{
    char holder[ID_LENGTH + 1], random[NAME_RANDOM_MAX];
    int code = -EEXIST;

    for (unsigned n = 0; n < (name ? 1 : NAME_ATTEMPTS) && code == -EEXIST; n++) {
        if (!name && name_random(random, sizeof(random), n) < 0)
            return err_code(e, -EIO, "cannot make a name");
        r->name = (char *)(name ? name : random);
        code = store_insert(en->store, r, holder, n + 1 < NAME_ATTEMPTS && !name ? NULL : e);
    }
    return code;
}

/* The command in one line, as lists show it. */
static char *command_line(const struct settings *s, struct arena *arena, struct wharf_error *e)
{
    struct buf b = BUF(64u << 10);
    field_strings args;

    if (oci_command(s, arena, &args, e) < 0)
        return NULL;
    for (size_t i = 0; i < args.count && !b.error; i++) {
        bool quoted = i > 0 && strchr(args.items[i], ' ');

        buf_printf(&b, quoted ? "%s'%s'" : "%s%s", i ? " " : "", args.items[i]);
    }
    char *text = buf_take(&b); /* a longer one is cut */
    return text ? text : (err_nomem(e), NULL);
}

static int open_image(struct engine *en, struct principal who, const char *name,
                      struct image_store **ret_store, struct image **ret, struct wharf_error *e)
{
    int r = engine_images(en, who, ret_store, e);

    if (r == 0)
        r = image_open(*ret_store, name, ret, e);
    if (r == -ENOENT) {
        const char *slash = strrchr(name, '/');
        bool tagged = strchr(slash ? slash : name, ':') || strchr(name, '@');

        return err_not_found(e, "No such image: %s%s", name, tagged ? "" : ":latest");
    }
    return r;
}

static void free_image(struct image **image)
{
    image_free(*image);
}

/* What is stored: the image's part, docker's defaults, ids in the place of names. */
static int complete(struct engine *en, struct principal who, struct settings *s,
                    const struct image *image, const char *id, struct arena *arena,
                    struct wharf_error *e)
{
    struct settings_host *host = arena_alloc(arena, sizeof(*host));
    int r;

    if (!host)
        return err_nomem(e);
    *host = *s->host; /* the caller's stays as it is */
    s->host = host;
    r = settings_merge(s, image_info(image), arena, e);
    if (r == 0)
        r = settings_defaults(s, id, arena, e);
    return r == 0 ? join_resolve(en, who, host, arena, e) : r;
}

/* Volumes: made, used, and where they are empty, filled. */
static int create_mounts(struct engine *en, struct principal who, struct record *r,
                         const struct settings *s, struct arena *arena, struct wharf_error *e)
{
    const struct settings_host *h = s->host;
    struct mounts mounts;

    if (h->binds.count + h->mounts.count + h->volumes_from.count + s->volumes.count == 0)
        return 0;
    int code = mounts_resolve(en, who, s, r->id, arena, &mounts, e);
    free(r->mounts);
    r->mounts = NULL;
    if (code == 0)
        code = mounts_write(&mounts, &r->mounts, e);
    if (code < 0 || !mounts_want_copy(&mounts))
        return code;
    autoclose int root = container_mount_root(en, r->id, NULL, e);
    return root < 0 ? root : mounts_copy_up(en, &mounts, root, e);
}

static int create_record(struct engine *en, struct principal who, struct record *r,
                         const char *name, const struct settings *s, struct image_store *images,
                         const struct image *image, struct arena *arena, struct wharf_error *e)
{
    autoclose int lock = lock_take(en->root_fd, r->id, LOCK_CHANGE, true);
    autorecord struct record made = { 0 }; /* its strings are its own */
    int code = lock < 0 ? err_code(e, lock, "cannot lock container %s", r->id)
                        : insert_record(en, r, name, e);

    if (code < 0)
        return code;
    code = store_find(en->store, r->id, 0, &made, e);
    if (code == 0)
        code = create_files(en, &made, s, images, image, e);
    if (code == 0)
        code = create_mounts(en, who, &made, s, arena, e);
    if (code == 0)
        code = record_network_join(en, &made, s, e);
    if (code == 0) {
        made.state = STATE_CREATED;
        code = store_update(en->store, &made, e);
    }
    if (code == 0)
        engine_emit(en, &made, "create", NULL);
    if (code < 0 && made.name) {
        made.state = STATE_CREATING;
        record_forget(en, &made, NULL);
    }
    return code;
}

int engine_container_create(struct engine *en, struct principal who, const char *name,
                            const struct settings *asked, char *ret_id, struct wharf_error *e)
{
    __attribute__((cleanup(free_image))) struct image *image = NULL;
    auto_of(arena_free) struct arena *arena = arena_new(SETTINGS_ARENA_MAX);
    autofree char *text = NULL, *command = NULL;
    struct settings s = *asked;
    struct security security;
    struct record r = { .owner = who.uid,
                        .state = STATE_CREATING,
                        .auto_remove = asked->host->auto_remove };
    struct image_store *images;
    int code = arena ? settings_check(asked, e) : err_nomem(e);

    if (code == 0)
        code = security_parse(asked->host, &security, e);
    if (code == 0 && name)
        code = name_check(name, e);
    if (code == 0)
        code = open_image(en, who, s.image, &images, &image, e);
    if (code == 0 && id_random(r.id) < 0)
        code = err_code(e, -EIO, "cannot make an id");
    if (code == 0)
        code = complete(en, who, &s, image, r.id, arena, e);
    if (code == 0)
        code = settings_write(&s, &text, e);
    if (code < 0)
        return code;
    command = command_line(&s, arena, e);
    if (!command)
        return e && e->code ? -e->code : -EINVAL;
    r.image = s.image;
    r.image_id = (char *)image_info(image)->id;
    r.settings = text;
    r.command = command;
    r.created_ns = time_now_ns();
    code = create_record(en, who, &r, name, &s, images, image, arena, e);
    if (code == 0)
        snprintf(ret_id, ID_LENGTH + 1, "%s", r.id);
    return code;
}
