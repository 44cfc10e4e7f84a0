/* SPDX-License-Identifier: Apache-2.0 */
/* See lock.h. The offset is the id's first 60 bits times two: two containers would have to agree in
 * fifteen digits to share a lock, which costs them a wait and nothing else. */
#include "engine/lock.h"

#include <fcntl.h>

static off_t lock_offset(const char *id, enum lock_kind kind)
{
    uint64_t bits = 0;

    for (size_t i = 0; i < 15 && id[i]; i++)
        bits = bits << 4 | (uint64_t)(id[i] <= '9' ? id[i] - '0' : id[i] - 'a' + 10);
    return (off_t)(bits * 2 + (kind == LOCK_ALIVE));
}

static struct flock lock_range(const char *id, enum lock_kind kind)
{
    return (struct flock){
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = lock_offset(id, kind), .l_len = 1
    };
}

int lock_take(int root, const char *id, enum lock_kind kind, bool wait)
{
    struct flock range = lock_range(id, kind);
    autoclose int fd = openat(root, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return -errno;
    while (fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &range) < 0) {
        if (errno != EINTR)
            return errno == EACCES ? -EAGAIN : -errno;
    }
    return take_fd(&fd);
}

bool lock_held(int lock_file, const char *id, enum lock_kind kind)
{
    struct flock range = lock_range(id, kind);

    return fcntl(lock_file, F_OFD_GETLK, &range) == 0 && range.l_type != F_UNLCK;
}
