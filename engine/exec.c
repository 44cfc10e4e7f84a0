/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Execs. Each has an id that begins with its container's, so that it is found without an index and
 * looked up with its container's owner. An exec object is the file exec/ID in the container's
 * directory: a line of JSON, what was asked for, and behind it the process document, whose rest of
 * the file the shim reads as it is. exec/ID.state, made once by who starts it, is written by the
 * shim from then on. So an exec survives the daemon, and is gone with its container.
 */
#include "engine/internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include "base/fd.h"
#include "base/str.h"

#define EXEC_CONTAINER_DIGITS 24 /* of the container's id, at the beginning of the exec's */
#define EXEC_FILE_MAX         (OCI_TEXT_MAX + (1u << 20))
#define EXEC_PATH_MAX         96
#define EXEC_SWEPT            SHIM_EXEC_DIR "/swept" /* its time: when that was done last */
#define EXEC_SWEEP_EVERY_S    30

static field_strings strings_of(const char *const *list)
{
    return (field_strings){ (char **)list, list ? strv_count(list) : 0 };
}

static void exec_path(char path[EXEC_PATH_MAX], const char *id, const char *suffix)
{
    snprintf(path, EXEC_PATH_MAX, SHIM_EXEC_DIR "/%.64s%s", id, suffix);
}

static int no_such_exec(const char *id, struct wharf_error *e)
{
    return err_not_found(e, "No such exec instance: %s", id);
}

static int exec_id(const char *container, char ret[ID_LENGTH + 1], struct wharf_error *e)
{
    unsigned char random[(ID_LENGTH - EXEC_CONTAINER_DIGITS) / 2];

    if (getrandom(random, sizeof(random), 0) != sizeof(random))
        return err_code(e, -EIO, "cannot make an id");
    memcpy(ret, container, EXEC_CONTAINER_DIGITS);
    hex_encode(random, sizeof(random), ret + EXEC_CONTAINER_DIGITS);
    return 0;
}

static int check_running(const struct record *r, const char *reference, struct wharf_error *e)
{
    if (r->state == STATE_PAUSED)
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT,
                       "Container %s is paused, unpause the container before exec", reference);
    if (r->state == STATE_RESTARTING)
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT,
                       "Container %s is restarting, wait until the container is running", r->id);
    if (!record_is_running(r))
        return err_set(e, -ESRCH, WHARF_ERROR_CONFLICT, "Container %s is not running", r->id);
    return 0;
}

static void emit(struct engine *en, const struct record *r, const char *what, const char *command,
                 const char *id)
{
    const char *extra[] = { "execID", id, NULL };
    autofree char *action = str_format("%s: %s", what, command);

    if (action)
        engine_emit(en, r, action, extra);
}

static char *command_line(const char *const *argv)
{
    autobuf struct buf b = BUF(64u << 10);

    for (size_t i = 0; argv[i]; i++)
        buf_printf(&b, "%s%s", i ? " " : "", argv[i]);
    return b.error ? strdup(argv[0]) : buf_take(&b);
}

/* ---- the process document -------------------------------------------------------------------- */

/* Users are looked up in the container's own root. */
static int exec_document(struct engine *en, const struct record *r, const struct engine_exec *exec,
                         const struct engine_streams *streams, struct buf *json,
                         struct wharf_error *e)
{
    char path[64];
    autoplan struct plan plan = { 0 };
    struct oci_exec process = {
        .args = strings_of(exec->argv),
        .env = strings_of(exec->env),
        .working_dir = exec->working_dir,
        .tty = exec->tty,
        .privileged = exec->privileged,
        .rows = streams ? streams->rows : exec->rows,
        .columns = streams ? streams->columns : exec->columns,
    };

    snprintf(path, sizeof(path), "/proc/%lld/root", (long long)r->pid);
    autoclose int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_sys(e, "cannot look into container %s", r->id);
    int code = plan_make(en, r, root, exec->user, &plan, e);
    return code == 0 ? oci_process(&plan.input, &process, plan.arena, json, e) : code;
}

static int document_memory(const struct buf *json, struct wharf_error *e)
{
    autoclose int memory = memfd_create("wharf-exec", MFD_CLOEXEC);
    int code = memory < 0 ? -errno : fd_write_all(memory, json->data, json->len);

    if (code < 0 || lseek(memory, 0, SEEK_SET) < 0)
        return err_code(e, code < 0 ? code : -errno, "cannot hand over the process document");
    return take_fd(&memory);
}

/* ---- at once, on descriptors ----------------------------------------------------------------- */

int engine_container_exec(struct engine *en, struct principal who, const char *reference,
                          const struct engine_exec *exec, const struct engine_streams *streams,
                          struct session **ret_session, struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    autobuf struct buf json = BUF(OCI_TEXT_MAX);
    struct shim_message m = { .op = SHIM_EXEC };
    char id[ID_LENGTH + 1];
    int code = container_find(en, who, reference, &r, NULL, e);

    if (code < 0)
        return code;
    if (!exec->argv[0])
        return err_invalid(e, "No exec command specified");
    code = check_running(&r, reference, e);
    if (code == 0)
        code = exec_document(en, &r, exec, streams, &json, e);
    if (code == 0)
        code = exec_id(r.id, id, e);
    autoclose int document = code < 0 ? code : document_memory(&json, e);
    autoclose int fd = document < 0 ? document : shim_connect(en, r.id, e);
    if (fd < 0)
        return fd;
    m.fds[m.fd_count++] = document;
    streams_fill(exec->detach ? NULL : streams, &m);
    m.flags |= (exec->tty ? SHIM_TTY : 0) | (exec->detach ? SHIM_DETACH : 0);
    m.value[0] = streams ? (int64_t)streams->rows : 0;
    m.value[1] = streams ? (int64_t)streams->columns : 0;
    autofree char *keys = strdup(m.text), *command = command_line(exec->argv);
    snprintf(m.text, sizeof(m.text), "%s%s", id, keys ? keys : "");
    emit(en, &r, "exec_create", command ? command : "", id);
    emit(en, &r, "exec_start", command ? command : "", id); /* as docker: before it can end */
    code = shim_call(fd, &m, NULL, e);
    if (code < 0)
        return code;
    return ret_session ? session_begin(take_fd(&fd), ret_session, e) : 0;
}

/* ---- objects --------------------------------------------------------------------------------- */

/* Those that ended long ago. */
static void sweep(int dir)
{
    struct stat st;
    time_t now = time(NULL);

    if (fstatat(dir, EXEC_SWEPT, &st, 0) == 0 && now - st.st_mtime < EXEC_SWEEP_EVERY_S)
        return;
    file_replace(dir, EXEC_SWEPT, "", 0, 0600, false);
    int fd = openat(dir, SHIM_EXEC_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        struct shim_exec state;
        char id[ID_LENGTH + 1];

        if (!str_ends(entry->d_name, ".state") || strlen(entry->d_name) != ID_LENGTH + 6)
            continue;
        memcpy(id, entry->d_name, ID_LENGTH);
        id[ID_LENGTH] = '\0';
        if (shim_exec_read(dir, id, &state) == 0 && state.ended_ns > 0 &&
            now - state.ended_ns / 1000000000 > EXEC_SWEEP_S) {
            unlinkat(fd, id, 0);
            unlinkat(fd, entry->d_name, 0);
        }
    }
    if (list)
        closedir(list);
}

static json_t *list_json(const char *const *items, size_t from)
{
    json_t *list = json_array();

    for (size_t i = 0; items && items[i]; i++) {
        if (i >= from)
            json_array_append_new(list, json_string(items[i]));
    }
    return list;
}

/* The first line: docker's inspect document as far as it is known now, and what the start needs. */
static char *exec_line(const char *id, const struct record *r, const struct engine_exec *x)
{
    autojson json_t *tree = json_pack(
        "{s:s s:s s:s s:b s:b s:b s:{s:b s:s s:o s:b s:s} s:s s:I s:I}", "ID", id, "ContainerID",
        r->id, "DetachKeys", "", "OpenStdin", x->streams[0], "OpenStdout", x->streams[1],
        "OpenStderr", x->streams[2], "ProcessConfig", "tty", x->tty, "entrypoint", x->argv[0],
        "arguments", list_json(x->argv, 1), "privileged", x->privileged, "user",
        x->user ? x->user : "", "keys", x->detach_keys ? x->detach_keys : "", "rows",
        (json_int_t)x->rows, "columns", (json_int_t)x->columns);

    return tree ? json_dumps(tree, JSON_COMPACT) : NULL;
}

static int write_object(int dir, const char *id, const char *line, const struct buf *json)
{
    autobuf struct buf b = BUF(EXEC_FILE_MAX);
    char path[EXEC_PATH_MAX];

    buf_str(&b, line);
    buf_char(&b, '\n');
    buf_add(&b, json->data, json->len);
    if (b.error)
        return b.error;
    if (mkdirat(dir, SHIM_EXEC_DIR, 0700) < 0 && errno != EEXIST)
        return -errno;
    sweep(dir);
    exec_path(path, id, "");
    return file_replace(dir, path, b.data, b.len, 0600, false);
}

int engine_exec_create(struct engine *en, struct principal who, const char *reference,
                       const struct engine_exec *exec, char *ret_id, struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    autobuf struct buf json = BUF(OCI_TEXT_MAX);
    char id[ID_LENGTH + 1];
    int code = container_find(en, who, reference, &r, NULL, e);

    if (code < 0)
        return code;
    if (!exec->argv[0])
        return err_invalid(e, "No exec command specified");
    code = check_running(&r, reference, e);
    if (code == 0)
        code = exec_document(en, &r, exec, NULL, &json, e);
    if (code == 0)
        code = exec_id(r.id, id, e);
    if (code < 0)
        return code;
    autofree char *line = exec_line(id, &r, exec), *command = command_line(exec->argv);
    autoclose int dir = container_directory(en, r.id);
    if (!line || !command)
        return err_nomem(e);
    code = dir < 0 ? dir : write_object(dir, id, line, &json);
    if (code < 0)
        return err_code(e, code, "cannot keep the exec of container %s", r.id);
    emit(en, &r, "exec_create", command, id);
    memcpy(ret_id, id, sizeof(id));
    return 0;
}

/* An object that was found. */
struct exec {
    struct record r;
    int dir, file; /* the file is read up to the process document */
    json_t *line;
};
static void exec_done(struct exec *x)
{
    record_done(&x->r);
    x->dir = fd_close(x->dir);
    x->file = fd_close(x->file);
    json_decref(x->line);
}
#define autoexec __attribute__((cleanup(exec_done)))

static int read_line(struct exec *x, struct wharf_error *e)
{
    autobuf struct buf text = BUF(EXEC_FILE_MAX);
    int r = fd_read_all(x->file, &text);
    char *end = r == 0 && text.len ? memchr(text.data, '\n', text.len) : NULL;

    if (!end)
        return err_code(e, r < 0 ? r : -EBADMSG, "cannot read an exec of container %s", x->r.id);
    if (lseek(x->file, end + 1 - text.data, SEEK_SET) < 0)
        return err_sys(e, "cannot read an exec of container %s", x->r.id);
    return json_read(text.data, (size_t)(end - text.data), JSON_LIMITS, "exec", &x->line, e);
}

static int exec_find(struct engine *en, struct principal who, const char *id, struct exec *x,
                     struct wharf_error *e)
{
    char prefix[EXEC_CONTAINER_DIGITS + 1], path[EXEC_PATH_MAX];

    *x = (struct exec){ .dir = -1, .file = -1 };
    if (strlen(id) != ID_LENGTH || id[strspn(id, "0123456789abcdef")])
        return no_such_exec(id, e);
    memcpy(prefix, id, EXEC_CONTAINER_DIGITS);
    prefix[EXEC_CONTAINER_DIGITS] = '\0';
    if (container_find(en, who, prefix, &x->r, NULL, NULL) < 0)
        return no_such_exec(id, e);
    exec_path(path, id, "");
    x->dir = container_directory(en, x->r.id);
    x->file = x->dir < 0 ? -1 : openat(x->dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return x->file < 0 ? no_such_exec(id, e) : read_line(x, e);
}

static char *exec_command(const struct exec *x)
{
    const json_t *process = json_object_get(x->line, "ProcessConfig");
    const char *first = json_string_value(json_object_get(process, "entrypoint"));
    const json_t *list = json_object_get(process, "arguments");
    autobuf struct buf b = BUF(64u << 10);
    const json_t *word;
    size_t i;

    buf_str(&b, first ? first : "");
    json_array_foreach (list, i, word)
        buf_printf(&b, " %s", json_string_value(word));
    return b.error ? strdup(first ? first : "") : buf_take(&b);
}

/* Once: whoever makes the state file starts it. */
static int claim(const struct exec *x, const char *id, struct wharf_error *e)
{
    char path[EXEC_PATH_MAX];
    struct shim_exec state = { 0 };

    exec_path(path, id, ".state");
    autoclose int fd = openat(x->dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST) {
        if (shim_exec_read(x->dir, id, &state) == 0 && state.ended_ns > 0)
            return err_set(e, -EALREADY, WHARF_ERROR_CONFLICT,
                           "Error: Exec command %s has already run", id);
        return err_set(e, -EALREADY, WHARF_ERROR_CONFLICT,
                       "Error: Exec command %s is already running", id);
    }
    return fd < 0 ? err_sys(e, "cannot start exec %s", id) : 0;
}

static int64_t number(const struct exec *x, const char *key)
{
    return json_integer_value(json_object_get(x->line, key));
}

static bool yes(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

/* What the shim is asked; the document's descriptor stays in `x`. */
static void fill_start(const struct exec *x, const char *id, struct shim_message *m)
{
    const char *keys = json_string_value(json_object_get(x->line, "keys"));

    *m = (struct shim_message){ .op = SHIM_EXEC, .flags = SHIM_RECORD, .fd_count = 1 };
    m->fds[0] = x->file;
    m->value[0] = number(x, "rows");
    m->value[1] = number(x, "columns");
    if (yes(json_object_get(x->line, "ProcessConfig"), "tty"))
        m->flags |= SHIM_TTY;
    snprintf(m->text, sizeof(m->text), "%s%s", id, keys ? keys : "");
}

/* A program that cannot be run is how the exec ended: docker-api 3.3. */
static void record_failure(int dir, const char *id, const struct wharf_error *e)
{
    struct shim_exec state = { .code = wharf_error_exit(e), .ended_ns = time_now_ns() };

    shim_exec_write(dir, id, &state);
}

int engine_exec_start(struct engine *en, struct principal who, const char *exec_id,
                      struct wharf_error *e)
{
    autoexec struct exec x;
    struct wharf_error own = { 0 };
    struct shim_message m;
    int code = exec_find(en, who, exec_id, &x, e);

    if (code == 0)
        code = check_running(&x.r, x.r.id, e);
    if (code == 0)
        code = claim(&x, exec_id, e);
    autoclose int fd = code < 0 ? code : shim_connect(en, x.r.id, e);
    if (fd < 0)
        return fd;
    fill_start(&x, exec_id, &m);
    m.flags |= SHIM_DETACH;
    autofree char *command = exec_command(&x);
    emit(en, &x.r, "exec_start", command ? command : "", exec_id);
    code = shim_call(fd, &m, NULL, e ? e : &own);
    if (code < 0)
        record_failure(x.dir, exec_id, e ? e : &own);
    return code < 0 ? code : 0;
}

int engine_exec_start_begin(struct engine *en, struct principal who, const char *exec_id,
                            uint64_t rows, uint64_t columns, struct session **ret_session,
                            struct wharf_error *e)
{
    autoexec struct exec x;
    int code = exec_find(en, who, exec_id, &x, e);

    if (code == 0)
        code = check_running(&x.r, x.r.id, e);
    if (code == 0)
        code = claim(&x, exec_id, e);
    autoclose int fd = code < 0 ? code : shim_connect(en, x.r.id, e);
    if (fd < 0)
        return fd;
    struct exec_begun *begun = calloc(1, sizeof(*begun));
    if (!begun)
        return err_nomem(e);
    begun->engine = en;
    memcpy(begun->id, exec_id, sizeof(begun->id));
    fill_start(&x, exec_id, &begun->start);
    begun->command = exec_command(&x);
    begun->dir = take_fd(&x.dir);
    take_fd(&x.file); /* it is begun->start's now */
    begun->record = x.r;
    memset(&x.r, 0, sizeof(x.r));
    begun->start.flags |= SHIM_SOCKET | (yes(x.line, "OpenStdin") ? SHIM_STDIN : 0) |
                          (yes(x.line, "OpenStdout") ? SHIM_STDOUT : 0) |
                          (yes(x.line, "OpenStderr") ? SHIM_STDERR : 0);
    if (rows && columns) {
        begun->start.value[0] = (int64_t)rows;
        begun->start.value[1] = (int64_t)columns;
    }
    code = session_begin(take_fd(&fd), ret_session, e);
    if (code < 0) {
        exec_begun_free(begun);
        return code;
    }
    (*ret_session)->exec = begun;
    (*ret_session)->terminal = (begun->start.flags & SHIM_TTY) != 0;
    return 0;
}

void exec_begun_free(struct exec_begun *x)
{
    if (!x)
        return;
    shim_message_done(&x->start);
    record_done(&x->record);
    fd_close(x->dir);
    free(x->command);
    free(x);
}

/* The reason goes to the client as the exec's output, in docker's place for it. */
static void tell_failure(int fd, bool terminal, const struct wharf_error *e)
{
    autobuf struct buf b = BUF(2 * WHARF_ERROR_MESSAGE_MAX);
    size_t len = strlen(e->message) + 2;
    const char head[8] = { 1, 0, 0, 0, 0, 0, (char)(len >> 8), (char)len };

    if (!terminal)
        buf_add(&b, head, sizeof(head));
    buf_printf(&b, "%s\r\n", e->message);
    send(fd, b.data, b.len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int exec_connect(struct exec_begun *x, int socket, int fd, struct wharf_error *e)
{
    struct wharf_error own = { 0 };

    if (!e)
        e = &own;
    emit(x->engine, &x->record, "exec_start", x->command ? x->command : "", x->id);
    if (shim_call(socket, &x->start, NULL, e) < 0) {
        record_failure(x->dir, x->id, e);
        tell_failure(fd, x->start.flags & SHIM_TTY, e);
    }
    return 0;
}

int engine_exec_resize(struct engine *en, struct principal who, const char *exec_id, uint64_t rows,
                       uint64_t columns, struct wharf_error *e)
{
    struct shim_message m = { .op = SHIM_RESIZE, .value = { (int64_t)rows, (int64_t)columns } };
    autoexec struct exec x;
    int code = exec_find(en, who, exec_id, &x, e);

    if (code == 0)
        code = check_running(&x.r, x.r.id, e);
    if (code < 0)
        return code;
    snprintf(m.text, sizeof(m.text), "%s", exec_id);
    return shim_ask(en, x.r.id, &m, e);
}

/* What is true now. The shim writes the state as long as it lives; an exec that runs in a container
 * that does not was killed with it. */
static void exec_state(const struct exec *x, const char *id, struct shim_exec *ret, bool *ret_ended)
{
    *ret = (struct shim_exec){ 0 };
    *ret_ended = shim_exec_read(x->dir, id, ret) == 0 && ret->ended_ns > 0;
    if (ret->running && !record_is_running(&x->r)) {
        *ret = (struct shim_exec){ .code = 128 + SIGKILL, .ended_ns = x->r.finished_ns };
        *ret_ended = true;
    }
}

int engine_exec_inspect(struct engine *en, struct principal who, const char *exec_id, json_t **ret,
                        struct wharf_error *e)
{
    autoexec struct exec x;
    struct shim_exec state;
    bool ended;
    int code = exec_find(en, who, exec_id, &x, e);

    if (code < 0)
        return code;
    exec_state(&x, exec_id, &state, &ended);
    json_object_del(x.line, "keys");
    json_object_del(x.line, "rows");
    json_object_del(x.line, "columns");
    json_object_set_new(x.line, "Running", json_boolean(state.running));
    json_object_set_new(x.line, "ExitCode", ended ? json_integer(state.code) : json_null());
    json_object_set_new(x.line, "Pid", json_integer(state.running ? state.pid : 0));
    json_object_set_new(x.line, "CanRemove", json_boolean(ended));
    *ret = json_incref(x.line);
    return 0;
}

json_t *engine_exec_ids(struct engine *en, const char *id)
{
    autoclose int dir = container_directory(en, id);
    int fd = dir < 0 ? -1 : openat(dir, SHIM_EXEC_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    json_t *ids = json_null();

    if (!list) {
        fd_close(fd);
        return ids;
    }
    for (struct dirent *entry; (entry = readdir(list));) {
        struct shim_exec state = { 0 };

        if (strlen(entry->d_name) != ID_LENGTH ||
            (shim_exec_read(dir, entry->d_name, &state) == 0 && state.ended_ns > 0))
            continue;
        if (json_is_null(ids))
            ids = json_array();
        json_array_append_new(ids, json_string(entry->d_name));
    }
    closedir(list);
    return ids;
}
