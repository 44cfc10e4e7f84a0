/* SPDX-License-Identifier: Apache-2.0 */
/* Remote sources. See remote.h. */
#include "libimage/build/remote.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include "base/fd.h"
#include "base/str.h"

extern char **environ;

bool remote_is_url(const char *text)
{
    return str_after(text, "http://") || str_after(text, "https://") || str_after(text, "ftp://");
}

bool remote_is_git(const char *text)
{
    size_t n = strcspn(text, "#");
    bool suffix = n > 4 && strncmp(text + n - 4, ".git", 4) == 0;

    return str_after(text, "git://") || str_after(text, "git@") || str_after(text, "ssh://git@") ||
           (remote_is_url(text) && suffix);
}

/* The last part of an URL's path. */
static void name_of(const char *url, char name[256])
{
    const char *path = strstr(url, "://");
    size_t end;

    path = path ? path + 3 : url;
    end = strcspn(path, "?#");
    const char *last = path + end;
    while (last > path && last[-1] != '/')
        last--;
    snprintf(name, 256, "%.*s", last == path ? 0 : (int)MIN((size_t)(path + end - last), 255u),
             last);
}

int remote_fetch(struct job *job, const char *url, int *ret_fd, struct build_fetched *ret,
                 struct wharf_error *e)
{
    const struct build_fetcher *f = job->o.fetcher;
    struct build_fetched fetched = { .modified = -1 };
    char part[INTAKE_NAME_MAX];
    autoclose int fd = -1;
    int r;

    if (!f || !f->fetch)
        return err_unsupported(e, "cannot download '%.200s': this program has no network client",
                               url);
    fd = intake_create(&job->intake, part, e);
    if (fd < 0)
        return fd;
    unlinkat(job->intake.dir, part, 0);
    r = f->fetch(f->self, url, fd, &fetched, e);
    if (r < 0)
        return r;
    if (!fetched.name[0])
        name_of(url, fetched.name);
    if (strchr(fetched.name, '/') || streq(fetched.name, "..") || streq(fetched.name, "."))
        return err_invalid(e, "'%.200s': '%.100s' is no name for a file", url, fetched.name);
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_sys(e, "cannot read what '%.200s' gave", url);
    *ret = fetched;
    *ret_fd = take_fd(&fd);
    return 0;
}

/* ---- git ------------------------------------------------------------------------------------- */

static int run_git(const char *const argv[], struct wharf_error *e)
{
    posix_spawn_file_actions_t actions;
    int status = -1, r;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    r = posix_spawnp(&pid, "git", &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (r == ENOENT)
        return err_unsupported(e, "git sources need the program 'git', which is not installed");
    if (r != 0)
        return err_code(e, -r, "cannot run git");
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return err_set(e, -EIO, WHARF_ERROR_UNAVAILABLE, "git failed (status %d)",
                   WIFEXITED(status) ? WEXITSTATUS(status) : 128);
}

/* `URL#ref:directory` taken apart, into new strings. */
static int split(const char *url, char **ret_repository, char **ret_ref, char **ret_dir)
{
    size_t n = strcspn(url, "#");
    const char *fragment = url[n] ? url + n + 1 : "";
    size_t ref = strcspn(fragment, ":");

    *ret_repository = strndup(url, n);
    *ret_ref = ref ? strndup(fragment, ref) : strdup("HEAD");
    *ret_dir = strdup(fragment[ref] ? fragment + ref + 1 : "");
    return *ret_repository && *ret_ref && *ret_dir ? 0 : -ENOMEM;
}

static int check_out(struct job *job, const char *repository, const char *ref, const char *path,
                     struct wharf_error *e)
{
    const char *const init[] = { "git", "-c", "init.defaultBranch=main", "init", "-q", "--",
                                 path,  NULL };
    const char *const fetch[] = { "git",      "-C", path,      "-c", "protocol.ext.allow=never",
                                  "fetch",    "-q", "--depth", "1",  "--",
                                  repository, ref,  NULL };
    const char *const checkout[] = { "git", "-C", path, "checkout", "-q", "FETCH_HEAD", NULL };
    const char *const modules[] = { "git",    "-C",          path,      "submodule", "-q", "update",
                                    "--init", "--recursive", "--depth", "1",         NULL };
    int r;

    if (*ref == '-' || *repository == '-')
        return err_invalid(e, "'%.200s' is no git reference", ref);
    r = run_git(init, e);
    if (r == 0)
        r = job_check(job, e);
    if (r == 0)
        r = run_git(fetch, e);
    if (r == 0)
        r = run_git(checkout, e);
    if (r == 0)
        r = run_git(modules, e);
    return r;
}

int remote_git(struct job *job, const char *url, bool keep_git_dir, const char *want, int *ret_dir,
               char commit[80], struct wharf_error *e)
{
    autofree char *repository = NULL, *ref = NULL, *below = NULL, *path = NULL, *head = NULL;
    char part[INTAKE_NAME_MAX];
    autoclose int top = -1, dir = -1;
    int r = split(url, &repository, &ref, &below);

    if (r < 0)
        return err_nomem(e);
    snprintf(part, sizeof(part), "part-%u", atomic_fetch_add(&job->intake.serial, 1));
    path = str_format("%s/layers/tmp/%s/%s", job->store->path, job->intake.name, part);
    if (!path)
        return err_nomem(e);
    r = check_out(job, repository, ref, path, e);
    if (r < 0)
        return err_wrap(e, r, "'%.200s'", url);
    top = openat(job->intake.dir, part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (top < 0 || file_read(top, ".git/HEAD", 4096, &head) < 40)
        return err_code(e, -EIO, "'%.200s': no commit was checked out", url);
    snprintf(commit, 80, "%.64s", head);
    commit[strcspn(commit, "\n")] = 0;
    if (want && strncmp(commit, want, strlen(want)) != 0)
        return err_set(e, -EBADMSG, WHARF_ERROR_CORRUPT, "digest mismatch: '%.200s' is commit %s",
                       url, commit);
    if (!keep_git_dir)
        path_remove_tree(top, ".git");
    dir = path_open_in(top, *below ? below : ".", O_RDONLY | O_DIRECTORY, 0);
    if (dir < 0)
        return err_code(e, dir, "'%.200s' has no directory '%.100s'", url, below);
    *ret_dir = take_fd(&dir);
    return 0;
}
