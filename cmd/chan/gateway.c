/* SPDX-License-Identifier: Apache-2.0 */
/* chan gateway and chan connect: channels as ways to any other protocol; chan peer: who is there.
 */
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/str.h"
#include "cmd/chan/command.h"
#include "cmd/chan/dial.h"
#include "cmd/chan/line.h"
#include "cmd/chan/service.h"

static void gateway_connection(struct service *service)
{
    const char *target = service->settings->arguments[1];
    struct chan_rx *rx;

    if (chan_accept(service->session, CHAN_FOREVER, &rx, NULL) == 0) {
        chan_gateway(rx, streq(target, "-") ? NULL : target, CHAN_FOREVER, NULL);
        chan_rx_unref(rx);
    }
    chan_session_shutdown(service->session, chan_after_ms(5000), NULL);
    chan_session_unref(service->session);
}

int command_gateway(const struct settings *s)
{
    return service_listen(s, gateway_connection);
}

static void *copy_in(void *fd)
{
    copy_bytes(STDIN_FILENO, *(int *)fd);
    shutdown(*(int *)fd, SHUT_WR);
    return NULL;
}

int command_connect(const struct settings *s)
{
    struct wharf_error e = { 0 };
    struct chan_session *session;
    struct chan_tx *tx;
    pthread_t thread;
    int fd, r = dial_channel(s, &session, &tx, &e);

    if (r < 0)
        return settings_fail(&e);
    r = chan_connect(tx, s->arguments[1], settings_deadline(s), &fd, &e);
    if (r < 0)
        return settings_fail(&e);
    if (pthread_create(&thread, NULL, copy_in, &fd) == 0)
        pthread_detach(thread);
    copy_bytes(fd, STDOUT_FILENO);
    return 0;
}

int command_peer(const struct settings *s)
{
    struct wharf_error e = { 0 };
    struct chan_session *session;
    struct chan_peer p;

    if (dial_session(s, &session, &e) < 0 ||
        chan_session_peer(session, settings_deadline(s), &p, &e) < 0)
        return settings_fail(&e);
    printf("transport %s\n", p.transport);
    if (p.has_credentials)
        printf("uid %u\ngid %u\npid %d\n", p.uid, p.gid, p.pid);
    if (p.subject[0])
        printf("subject %s\nfingerprint %s\n", p.subject, p.fingerprint);
    fd_close(p.pidfd);
    chan_session_unref(session);
    return 0;
}
