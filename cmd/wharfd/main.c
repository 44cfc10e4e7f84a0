/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wharfd: the engine behind the Docker API, for whatever starts dockerd (options.h).
 *
 *     wharfd                                      unix:///var/run/docker.sock, /var/lib/wharf
 *     wharfd -H unix:///run/w.sock --data-root /srv/w --pidfile /run/w.pid
 *     kill -HUP $(cat /run/w.pid)                 reads daemon.json again
 *
 * Ends on SIGTERM and SIGINT with status 0; containers run on. Its own log goes to stderr.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include "base/fd.h"
#include "base/str.h"
#include "cmd/wharfd/daemon.h"
#include "cmd/wharfd/notify.h"
#include "cmd/wharfd/options.h"

static void tell(const char *text)
{
    fprintf(stderr, "wharfd: %s\n", text);
}

/* The pid file is locked as long as the daemon lives: one that a killed daemon left is not. */
static int pid_file(const char *path, int *ret, struct wharf_error *e)
{
    autoclose int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    autofree char *text = str_format("%d", getpid());

    if (fd < 0)
        return err_sys(e, "cannot open the pid file '%s'", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return err_set(e, -EEXIST, WHARF_ERROR_CONFLICT,
                       "pid file found, ensure wharfd is not running or delete %s", path);
    if (!text || ftruncate(fd, 0) < 0 || pwrite(fd, text, strlen(text), 0) < 0)
        return err_sys(e, "cannot write the pid file '%s'", path);
    *ret = take_fd(&fd);
    return 0;
}

static void reload(struct daemon *d, const json_t *flags)
{
    struct wharf_error e = { 0 };
    autojson json_t *config = NULL;
    int r = options_load(flags, &config, &e);

    notify("RELOADING=1");
    if (r == 0)
        r = daemon_reload(d, config, &e);
    tell(r < 0 ? e.message : "Reloaded configuration");
    notify("READY=1");
}

static void wait_for_end(struct daemon *d, const json_t *flags, const sigset_t *signals)
{
    for (;;) {
        int signal = sigwaitinfo(signals, NULL);

        if (signal == SIGHUP)
            reload(d, flags);
        else if (signal > 0)
            return;
    }
}

/* libcurl reads its proxies from there. Before any thread. */
static void set_proxies(const json_t *config)
{
    static const struct {
        const char *key, *variable;
    } proxies[] = { { "http-proxy", "http_proxy" },
                    { "https-proxy", "HTTPS_PROXY" },
                    { "no-proxy", "NO_PROXY" } };

    for (size_t i = 0; i < ARRAY_SIZE(proxies); i++)
        if (options_text(config, proxies[i].key))
            setenv(proxies[i].variable, options_text(config, proxies[i].key), 1);
}

static int serve(const json_t *flags, const json_t *config, struct wharf_error *e)
{
    static const int wanted[] = { SIGTERM, SIGINT, SIGHUP };
    const char *pid = options_text(config, "pidfile");
    autoclose int held = -1;
    struct daemon *d;
    sigset_t signals;
    int r = pid ? pid_file(pid, &held, e) : 0;

    if (r < 0)
        return r;
    sigemptyset(&signals);
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
        sigaddset(&signals, wanted[i]);
    sigprocmask(SIG_BLOCK, &signals, NULL); /* before any thread */
    signal(SIGPIPE, SIG_IGN);
    set_proxies(config);
    options_warn(config, tell);
    r = daemon_start(&d, config, tell, e);
    if (r == 0) {
        tell("Daemon has completed initialization");
        notify("READY=1");
        wait_for_end(d, flags, &signals);
        notify("STOPPING=1");
        /* the second one ends what does not end by itself */
        signal(SIGTERM, SIG_DFL);
        sigprocmask(SIG_UNBLOCK, &signals, NULL);
        daemon_stop(d);
    }
    if (pid)
        unlink(pid);
    return r;
}

int main(int argc, char **argv)
{
    struct wharf_error e = { 0 };
    autojson json_t *flags = NULL, *config = NULL;
    enum options_what what = OPTIONS_RUN;
    int r = options_parse(argc, argv, &flags, &what, &e);

    if (r < 0) {
        fprintf(stderr, "%s\n", e.message);
        return 125;
    }
    if (what == OPTIONS_HELP) {
        options_help();
        return 0;
    }
    if (what == OPTIONS_VERSION) {
        printf("wharfd version %s\n", WHARF_VERSION);
        return 0;
    }
    r = options_load(flags, &config, &e);
    if (r == 0 && what == OPTIONS_VALIDATE) {
        puts("configuration OK");
        return 0;
    }
    if (r == 0)
        r = serve(flags, config, &e);
    if (r < 0)
        fprintf(stderr, "wharfd: failed to start daemon: %s\n", e.message);
    return r < 0 ? 1 : 0;
}
