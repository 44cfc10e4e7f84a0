/* SPDX-License-Identifier: Apache-2.0 */
/* HOME for a process whose environment names none: from /etc/passwd of the root it runs in. */
#ifndef LIBCONTAINER_HOME_H
#define LIBCONTAINER_HOME_H

#include <stddef.h>
#include <stdint.h>

/* Child-safe. The home directory of `uid` by the passwd file below `root` (a descriptor), "/" where
 * there is none; always fits and ends with NUL. */
void home_find(int root, uint32_t uid, char *home, size_t size);

/* The same on passwd's text, for the test. */
void home_find_in(const char *text, size_t len, uint32_t uid, char *home, size_t size);

#endif
