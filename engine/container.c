/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a container, but its start: create, list, signals, wait, rename, remove. */
#include "engine/internal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "base/str.h"
#include "engine/names.h"

#define NAME_ATTEMPTS 20
#define FILE_COPY_MAX (64u << 10)

/* ---- finding --------------------------------------------------------------------------------- */

int container_find(struct engine *en, struct principal who, const char *reference,
                   struct record *ret, int *ret_lock, struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    autoclose int lock = -1;
    int code = principal_check(en, who, e);

    if (code == 0)
        code = store_find(en->store, reference, who.uid, &r, e);
    if (code == 0 && ret_lock) {
        lock = lock_take(en->root_fd, r.id, LOCK_CHANGE, true);
        if (lock < 0)
            return err_code(e, lock, "cannot lock container %s", reference);
        struct record fresh = { 0 }; /* it may have changed while we waited */
        code = store_find(en->store, r.id, who.uid, &fresh, e);
        if (code == 0) {
            record_done(&r);
            r = fresh;
        }
    }
    if (code == 0)
        code = record_repair(en, &r, ret_lock != NULL, e);
    if (code == -ENOENT)
        return err_not_found(e, "No such container: %s", reference);
    if (code < 0)
        return code;
    *ret = r;
    memset(&r, 0, sizeof(r));
    if (ret_lock)
        *ret_lock = take_fd(&lock);
    return 0;
}

int engine_container_find(struct engine *en, struct principal who, const char *reference,
                          struct record *ret, struct wharf_error *e)
{
    return container_find(en, who, reference, ret, NULL, e);
}

struct listing {
    struct engine *en;
    int (*each)(void *user, struct record *r);
    void *user;
    struct wharf_error *e;
};

static int list_one(void *user, struct record *r)
{
    struct listing *l = user;
    int code = record_repair(l->en, r, false, l->e);

    if (code == -ENOENT)
        return 0;
    return code < 0 ? code : l->each(l->user, r);
}

int engine_container_list(struct engine *en, struct principal who,
                          int (*each)(void *user, struct record *r), void *user,
                          struct wharf_error *e)
{
    struct listing l = { en, each, user, e };
    int r = principal_check(en, who, e);

    return r < 0 ? r : store_each(en->store, who.uid, list_one, &l, e);
}

/* ---- create ---------------------------------------------------------------------------------- */

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

/* The files that are mounted over the image's in /etc. */
static int write_etc(int dir, const struct settings *s, const char *id, struct wharf_error *e)
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
    return write_etc(dir, s, r->id, e);
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

static char *command_line(const struct settings *s, const struct image_info *info,
                          struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(SETTINGS_ARENA_MAX);
    struct oci_image image = { .entrypoint = info->entrypoint, .cmd = info->cmd };
    struct buf b = BUF(64u << 10);
    field_strings args;

    if (!arena || oci_command(s, &image, arena, &args, e) < 0)
        return NULL;
    for (size_t i = 0; i < args.count && !b.error; i++)
        buf_printf(&b, "%s%s", i ? " " : "", args.items[i]);
    return buf_take(&b);
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

int engine_container_create(struct engine *en, struct principal who, const char *name,
                            const struct settings *s, char *ret_id, struct wharf_error *e)
{
    __attribute__((cleanup(free_image))) struct image *image = NULL;
    struct record r = { .owner = who.uid,
                        .state = STATE_CREATING,
                        .auto_remove = s->host->auto_remove };
    autofree char *settings = NULL, *command = NULL;
    struct image_store *images;
    int code = settings_check(s, e);

    if (code == 0 && name)
        code = name_check(name, e);
    if (code == 0)
        code = open_image(en, who, s->image, &images, &image, e);
    if (code == 0)
        code = settings_write(s, &settings, e);
    if (code < 0)
        return code;
    command = command_line(s, image_info(image), e);
    if (!command)
        return e && e->code ? -e->code : -ENOMEM;
    if (id_random(r.id) < 0)
        return err_code(e, -EIO, "cannot make an id");
    r.image = s->image;
    r.image_id = (char *)image_info(image)->id;
    r.settings = settings;
    r.command = command;
    r.created_ns = time_now_ns();
    autoclose int lock = lock_take(en->root_fd, r.id, LOCK_CHANGE, true);
    code = lock < 0 ? err_code(e, lock, "cannot lock container %s", r.id)
                    : insert_record(en, &r, name, e);
    if (code < 0)
        return code;
    autorecord struct record made = { 0 }; /* its strings are its own */
    code = store_find(en->store, r.id, 0, &made, e);
    if (code == 0)
        code = create_files(en, &made, s, images, image, e);
    made.state = STATE_CREATED;
    if (code == 0)
        code = store_update(en->store, &made, e);
    if (code < 0) {
        if (made.name)
            record_forget(en, &made, NULL);
        return code;
    }
    snprintf(ret_id, ID_LENGTH + 1, "%s", r.id);
    return 0;
}

/* ---- signals and waiting --------------------------------------------------------------------- */

int engine_container_kill(struct engine *en, struct principal who, const char *reference,
                          int signal, struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    struct shim_message m = { .op = SHIM_KILL, .value = { signal } };
    int code = container_find(en, who, reference, &r, NULL, e);

    if (code < 0)
        return code;
    code = record_is_running(&r) ? shim_ask(en, r.id, &m, e) : -ESRCH;
    if (code == -ESRCH)
        return err_set(e, -ESRCH, WHARF_ERROR_CONFLICT,
                       "Cannot kill container: %s: Container %s is not running", reference, r.id);
    return code;
}

/* The signal that stops it: the settings', the image's, or SIGTERM; and its patience. */
static void stop_habits(struct engine *en, const struct record *r, int *ret_signal,
                        int64_t *timeout)
{
    autoplan struct plan plan = { 0 };
    autoclose int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

    *ret_signal = SIGTERM;
    int code = plan_make(en, r, root, "0", &plan, NULL);
    if (code == 0) {
        const char *own = plan.settings.stop_signal;
        const char *text = own && *own ? own : image_info(plan.image)->stop_signal;
        int signal = *text ? signal_parse(text, NULL) : 0;

        if (signal > 0)
            *ret_signal = signal;
        if (*timeout == -2 && plan.settings.stop_timeout.set)
            *timeout = plan.settings.stop_timeout.value;
    }
    if (*timeout == -2)
        *timeout = STOP_TIMEOUT_DEFAULT;
}

/* Signals and waits; with SIGKILL and a shim that does not answer the repair does the rest. */
static int kill_and_wait(struct engine *en, const char *id, int signal, int64_t timeout_ms)
{
    struct shim_message wait = { .op = SHIM_WAIT }, kill = { .op = SHIM_KILL, .value = { signal } };
    autoclose int fd = shim_connect(en, id, NULL);
    int64_t code;

    if (fd < 0 || shim_send(fd, &wait) < 0 || shim_send(fd, &kill) < 0)
        return 0;
    return shim_wait_end(fd, timeout_ms, &code);
}

int engine_container_stop(struct engine *en, struct principal who, const char *reference,
                          int64_t timeout, struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    int signal, code = container_find(en, who, reference, &r, NULL, e);

    if (code < 0 || !record_is_running(&r))
        return MIN(code, 0);
    if (r.state == STATE_PAUSED) {
        struct shim_message resume = { .op = SHIM_RESUME };

        shim_ask(en, r.id, &resume, NULL);
    }
    stop_habits(en, &r, &signal, &timeout);
    if (kill_and_wait(en, r.id, signal, timeout < 0 ? -1 : timeout * 1000) == -ETIMEDOUT)
        kill_and_wait(en, r.id, SIGKILL, -1);
    code = engine_container_wait(en, who, r.id, WAIT_NOT_RUNNING, &r.exit_code, e);
    return code == -ENOENT ? 0 : code; /* --rm: it went with its end */
}

int engine_container_pause(struct engine *en, struct principal who, const char *reference,
                           bool pause, struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    autoclose int lock = -1;
    struct shim_message m = { .op = pause ? SHIM_PAUSE : SHIM_RESUME };
    int code = container_find(en, who, reference, &r, &lock, e);

    if (code < 0)
        return code;
    if (!record_is_running(&r))
        return err_set(e, -ESRCH, WHARF_ERROR_CONFLICT, "Container %s is not running", r.id);
    if (pause == (r.state == STATE_PAUSED))
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT, "Container %s is %s paused", r.id,
                       pause ? "already" : "not");
    code = shim_ask(en, r.id, &m, e);
    r.state = pause ? STATE_PAUSED : STATE_RUNNING;
    return code < 0 ? code : store_update(en->store, &r, e);
}

/* ---- rename, remove -------------------------------------------------------------------------- */

int engine_container_rename(struct engine *en, struct principal who, const char *reference,
                            const char *name, struct wharf_error *e)
{
    autorecord struct record r = { 0 }, other = { 0 };
    autoclose int lock = -1;
    int code = name_check(name, e);

    if (code == 0)
        code = container_find(en, who, reference, &r, &lock, e);
    if (code < 0)
        return code;
    if (streq(r.name, name))
        return err_invalid(e, "Renaming a container with the same name as its current name");
    if (store_find(en->store, name, 0, &other, NULL) == 0 && streq(other.name, name))
        return err_set(
            e, -EEXIST, WHARF_ERROR_CONFLICT,
            "Conflict. The container name \"/%s\" is already in use by container \"%s\". You "
            "have to remove (or rename) that container to be able to reuse that name.",
            name, other.id);
    free(r.name);
    r.name = strdup(name);
    return r.name ? store_update(en->store, &r, e) : err_nomem(e);
}

/* A shim that does not answer is the parent of the container's first process, which it has not
 * reaped: as long as its lock is held, neither pid can be another's. */
static void kill_silent_shim(struct engine *en, const struct record *r)
{
    autofree char *path = str_format("/proc/%lld/status", (long long)r->pid), *status = NULL;
    char *line = NULL;
    uint64_t parent;

    if (!lock_held(en->lock_file, r->id, LOCK_ALIVE) || !path)
        return;
    if (file_read(AT_FDCWD, path, FILE_COPY_MAX, &status) > 0)
        line = strstr(status, "\nPPid:\t");
    if (!line)
        return;
    line += strlen("\nPPid:\t");
    line[strcspn(line, "\n")] = '\0';
    if (parse_u64(line, 2, INT32_MAX, &parent) == 0)
        kill((pid_t)parent, SIGKILL);
}

int engine_container_remove(struct engine *en, struct principal who, const char *reference,
                            bool force, struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    autoclose int lock = -1;
    int code = container_find(en, who, reference, &r, &lock, e);

    if (code < 0)
        return code;
    if (record_is_running(&r) && !force)
        return err_set(
            e, -EBUSY, WHARF_ERROR_CONFLICT,
            "cannot remove container \"/%s\": container is %s: stop the container before "
            "removing or force remove",
            r.name, state_name((enum state)r.state));
    if (record_is_running(&r)) {
        struct shim_message resume = { .op = SHIM_RESUME };

        if (r.state == STATE_PAUSED) /* a frozen process does not die (cgroup-v1 freezer) */
            shim_ask(en, r.id, &resume, NULL);
        if (kill_and_wait(en, r.id, SIGKILL, 10000) == -ETIMEDOUT)
            kill_silent_shim(en, &r);
    }
    return record_forget(en, &r, e);
}
