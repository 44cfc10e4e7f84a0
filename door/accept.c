/* SPDX-License-Identifier: Apache-2.0 */
#include "door/accept.h"

#include <fcntl.h>
#include <sys/socket.h>
#include "base/macros.h"

int accept_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int accept_connection(int listener, int *spare)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
        *spare = fd_close(*spare);
        fd_close(accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
        *spare = accept_spare();
    }
    return fd;
}
