/* SPDX-License-Identifier: Apache-2.0 */
/* The build context: a directory as it is, or an archive unpacked into the intake. */
#ifndef LIBIMAGE_BUILD_CONTEXT_H
#define LIBIMAGE_BUILD_CONTEXT_H

#include "libimage/build/work.h"

/* Opens job->context out of `fd`, -1: none. */
int context_open(struct job *job, int fd, struct wharf_error *e);
/* The Dockerfile's text, of the job's arena; and the patterns of .dockerignore. */
int context_dockerfile(struct job *job, const char **ret_text, size_t *ret_len,
                       struct wharf_error *e);
/* True if a tar, perhaps compressed, begins at the descriptor's offset, which stays. */
bool is_archive(int fd);

#endif
