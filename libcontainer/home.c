/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user's home from the container's own passwd(5).
 *
 * The file is the image's, so it is read as hostile input: opened inside the root as a regular
 * file, at most HOME_PASSWD_MAX bytes, the uid compared as a strict decimal number. Runs between
 * clone and exec: the text is on the stack and nothing of libc's user database is asked
 * (CVE-2016-3697: an id is a number, never a name).
 */
#include "libcontainer/home.h"

#include <fcntl.h>
#include <string.h>
#include "base/fd.h"
#include "base/str.h"

enum { HOME_PASSWD_MAX = 64 * 1024 };

/* A line is name:password:uid:gid:gecos:home:shell. */
static bool line_home(char *line, uint32_t uid, const char **ret)
{
    char *field[6];
    uint64_t id;

    for (int i = 0; i < 6; i++) {
        char *end = strchr(line, ':');

        field[i] = line;
        if (!end)
            return false;
        *end = 0;
        line = end + 1;
    }
    if (parse_u64(field[2], 0, UINT32_MAX, &id) < 0 || id != uid)
        return false;
    *ret = field[5];
    return true;
}

static void find_in(char *text, uint32_t uid, char *home, size_t size)
{
    const char *found = "/";

    while (*text) {
        char *end = text + strcspn(text, "\n");
        bool last = !*end;

        *end = 0;
        if (line_home(text, uid, &found) || last)
            break;
        text = end + 1;
    }
    if (*found != '/' || strlen(found) >= size)
        found = "/";
    memcpy(home, found, strlen(found) + 1);
}

void home_find_in(const char *text, size_t len, uint32_t uid, char *home, size_t size)
{
    char copy[HOME_PASSWD_MAX + 1];

    len = MIN(len, (size_t)HOME_PASSWD_MAX);
    memcpy(copy, text, len);
    copy[len] = 0;
    find_in(copy, uid, home, size);
}

void home_find(int root, uint32_t uid, char *home, size_t size)
{
    char text[HOME_PASSWD_MAX + 1];
    autoclose int fd = path_open_in(root, "/etc/passwd", O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    struct stat st;
    size_t len = 0;

    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        ssize_t n;

        while (len < HOME_PASSWD_MAX && (n = read(fd, text + len, HOME_PASSWD_MAX - len)) > 0)
            len += (size_t)n;
    }
    text[len] = 0;
    find_in(text, uid, home, size);
}
