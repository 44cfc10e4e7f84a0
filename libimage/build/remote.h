/* SPDX-License-Identifier: Apache-2.0 */
/* Sources that are not here: URLs, by the fetcher; git repositories, by the program of that name.
 */
#ifndef LIBIMAGE_BUILD_REMOTE_H
#define LIBIMAGE_BUILD_REMOTE_H

#include "libimage/build/work.h"

bool remote_is_url(const char *text);
/* git://.., git@host:.., ssh://git@.., http(s)://../x.git, all with `#ref:directory` behind. */
bool remote_is_git(const char *text);

/* What the URL gives, as a file without a name, read from its beginning. */
int remote_fetch(struct job *job, const char *url, int *ret_fd, struct build_fetched *ret,
                 struct wharf_error *e);
/* A checked-out tree: its directory, and the commit. `want`: the commit that it must be, or NULL.
 */
int remote_git(struct job *job, const char *url, bool keep_git_dir, const char *want, int *ret_dir,
               char commit[80], struct wharf_error *e);

#endif
