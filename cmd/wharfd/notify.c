/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/wharfd/notify.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include "base/macros.h"
#include "base/str.h"

void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t len = path ? strlen(path) : 0;
    struct timespec now;

    if (len < 2 || len >= sizeof address.sun_path)
        return;
    memcpy(address.sun_path, path, len);
    if (path[0] == '@') /* an abstract name */
        address.sun_path[0] = '\0';
    clock_gettime(CLOCK_MONOTONIC, &now);
    autofree char *text =
        str_format("%s\nMONOTONIC_USEC=%lld", state,
                   (long long)now.tv_sec * 1000000 + (long long)(now.tv_nsec / 1000));
    autoclose int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && text)
        sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
}
