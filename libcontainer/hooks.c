/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running hooks. See hooks.h.
 *
 * State and output go through memory files, not pipes: nothing can block on a hook that does not
 * read, or that writes much, and its last words are there for the message. A hook gets stdin,
 * stdout, stderr and no other descriptor.
 */
#include "libcontainer/hooks.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include "base/fd.h"
#include "libcontainer/system.h"

enum { HOOK_STATE_MAX = 4 << 20, HOOK_WORDS_MAX = 200 };

struct hook_run {
    const char *path;
    char **argv, **env;
    int64_t timeout; /* seconds; 0: none */
};

/* ---- parent ---- */

static char **list_of(struct arena *arena, const field_strings *list)
{
    char **copy = arena_array(arena, list->count + 1, sizeof(*copy));

    for (size_t i = 0; copy && i < list->count; i++)
        copy[i] = list->items[i];
    return copy;
}

int hooks_prepare(const spec_hook_list *list, const char *moment, struct arena *arena,
                  struct hooks *ret, struct wharf_error *e)
{
    struct hooks h = { arena_array(arena, list->count, sizeof(*h.items)), list->count, moment };
    const field_strings none = { 0 };

    if (!h.items)
        return err_nomem(e);
    for (size_t i = 0; i < list->count; i++) {
        const struct spec_hook *from = &list->items[i];
        char *path = from->path;
        const field_strings only_path = { &path, 1 };

        h.items[i] = (struct hook_run){
            .path = from->path,
            .argv = list_of(arena, from->args.count > 0 ? &from->args : &only_path),
            .env = list_of(arena, from->env.count > 0 ? &from->env : &none),
            .timeout = from->timeout.set ? from->timeout.value : 0,
        };
        if (!h.items[i].argv || !h.items[i].env)
            return err_nomem(e);
    }
    *ret = h;
    return 0;
}

int hook_state_prepare(const struct container_spec *spec, const char *id, const char *bundle,
                       struct arena *arena, struct hook_state *ret, struct wharf_error *e)
{
    autobuf struct buf head = BUF(HOOK_STATE_MAX), tail = BUF(HOOK_STATE_MAX);
    const char *version = spec->oci_version ? spec->oci_version : "1.0.0";

    buf_str(&head, "{\"ociVersion\":");
    buf_json(&head, version, strlen(version));
    buf_str(&head, ",\"id\":");
    buf_json(&head, id, strlen(id));
    buf_str(&head, ",\"status\":\"");
    buf_str(&tail, ",\"bundle\":");
    buf_json(&tail, bundle, strlen(bundle));
    if (spec->annotations.count > 0) {
        buf_str(&tail, ",\"annotations\":{");
        for (size_t i = 0; i < spec->annotations.count; i++) {
            const struct field_pair *p = &spec->annotations.items[i];

            if (i > 0)
                buf_char(&tail, ',');
            buf_json(&tail, p->key, strlen(p->key));
            buf_char(&tail, ':');
            buf_json(&tail, p->value, strlen(p->value));
        }
        buf_char(&tail, '}');
    }
    buf_char(&tail, '}');
    if (head.error || tail.error)
        return err_code(e, head.error ? head.error : tail.error,
                        "the state document is too long for hooks");
    ret->head = arena_strn(arena, head.data, head.len);
    ret->tail = arena_strn(arena, tail.data, tail.len);
    return ret->head && ret->tail ? 0 : err_nomem(e);
}

/* ---- both sides: system calls only ---- */

/* The document in a memory file, ready to be read from its beginning. */
static int state_file(const struct hook_state *state, const char *status, pid_t pid)
{
    autoclose int fd = memfd_create("wharf-state", MFD_CLOEXEC);
    char middle[80];
    int n = snprintf(middle, sizeof(middle), "%s\",\"pid\":%d", status, (int)pid), r;

    if (fd < 0)
        return -errno;
    if ((r = fd_write_all(fd, state->head, strlen(state->head))) < 0 ||
        (r = fd_write_all(fd, middle, (size_t)n)) < 0 ||
        (r = fd_write_all(fd, state->tail, strlen(state->tail))) < 0)
        return r;
    return lseek(fd, 0, SEEK_SET) < 0 ? -errno : take_fd(&fd);
}

static void __attribute__((noreturn)) become(const struct hook_run *h, int state, int output)
{
    const char *text;

    if (dup2(state, 0) == 0 && dup2(output, 1) == 1 && dup2(output, 2) == 2 &&
        syscall(SYS_close_range, 3, ~0U, 0) == 0) {
        system_reset_signals();
        execve(h->path, h->argv, h->env);
    }
    text = strerrordesc_np(errno);
    if (text && write(2, text, strlen(text)) < 0)
        _exit(126);
    _exit(127);
}

/* The hook's last words, as one line behind ": "; empty when it said nothing. */
static void last_words(int output, char words[HOOK_WORDS_MAX + 3])
{
    ssize_t n = pread(output, words + 2, HOOK_WORDS_MAX, 0);

    words[0] = 0;
    while (n > 0 && (unsigned char)words[2 + n - 1] <= ' ')
        n--;
    if (n <= 0)
        return;
    words[2 + n] = 0;
    for (char *c = words + 2; *c; c++)
        *c = (unsigned char)*c < ' ' ? ' ' : *c;
    words[0] = ':';
    words[1] = ' ';
}

static int judge(const struct hooks *hooks, const struct hook_run *h, int code, int status,
                 int output, struct wharf_error *e)
{
    char words[HOOK_WORDS_MAX + 3];

    if (code == CLD_EXITED && status == 0)
        return 0;
    last_words(output, words);
    if (code == CLD_EXITED)
        return err_set(e, -EIO, WHARF_ERROR_INVALID, "%s hook '%s' failed with exit status %d%s",
                       hooks->moment, h->path, status, words);
    return err_set(e, -EIO, WHARF_ERROR_INVALID, "%s hook '%s' was killed by signal %d%s",
                   hooks->moment, h->path, status, words);
}

static int run_one(const struct hooks *hooks, const struct hook_run *h, int state,
                   struct wharf_error *e)
{
    autoclose int output = memfd_create("wharf-hook", MFD_CLOEXEC), pidfd = -1;
    bool late = false;
    siginfo_t end;
    pid_t pid;
    int r;

    if (output < 0)
        return err_sys(e, "%s hook '%s': cannot make a memory file", hooks->moment, h->path);
    pid = system_clone(CLONE_PIDFD, -1, &pidfd);
    if (pid == 0)
        become(h, state, output);
    if (pid < 0)
        return err_code(e, pid, "%s hook '%s': cannot make a process", hooks->moment, h->path);
    if (h->timeout > 0 &&
        (r = system_wait_readable(
             pidfd, h->timeout > INT32_MAX / 1000 ? -1 : (int)h->timeout * 1000)) == 0) {
        late = true;
        syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    }
    r = system_wait_child(pidfd, &end);
    if (r < 0)
        return err_code(e, r, "%s hook '%s': cannot wait for it", hooks->moment, h->path);
    if (late)
        return err_set(e, -ETIMEDOUT, WHARF_ERROR_TIMEOUT,
                       "%s hook '%s' was killed: it took longer than its timeout of %lld s",
                       hooks->moment, h->path, (long long)h->timeout);
    return judge(hooks, h, end.si_code, end.si_status, output, e);
}

static int run_nth(const struct hooks *hooks, size_t i, const struct hook_state *state,
                   const char *status, pid_t pid, struct wharf_error *e)
{
    autoclose int fd = state_file(state, status, pid);

    if (fd < 0)
        return err_code(e, fd, "%s hook: cannot write the state document", hooks->moment);
    return run_one(hooks, &hooks->items[i], fd, e);
}

int hooks_run(const struct hooks *hooks, const struct hook_state *state, const char *status,
              pid_t pid, struct wharf_error *e)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < hooks->count; i++)
        r = run_nth(hooks, i, state, status, pid, e);
    return r;
}

void hooks_run_all(const struct hooks *hooks, const struct hook_state *state, const char *status,
                   void (*failed)(void *user, const struct wharf_error *error), void *user)
{
    for (size_t i = 0; i < hooks->count; i++) {
        struct wharf_error e = { 0 };

        if (run_nth(hooks, i, state, status, 0, &e) < 0)
            failed(user, &e);
    }
}
