/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors and files: whole reads and writes, atomic replacement, paths resolved below a
 * directory. */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <sys/stat.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/macros.h"

/* All of it, restarted over EINTR and short counts: 0, or -errno. fd_read_exact: -ENODATA at an
 * early end of file. */
int fd_write_all(int fd, const void *data, size_t len);
int fd_read_exact(int fd, void *data, size_t len);

/* Appends to `b` until end of file: 0, -EFBIG past the buffer's maximum, or -errno. */
int fd_read_all(int fd, struct buf *b);

/* Reads a whole file below `dirfd` (AT_FDCWD allowed), `max` bytes at most, into a new string ended
 * by NUL: its length, or -errno (-EFBIG). Not for files in containers or archives: see
 * path_open_in. */
ssize_t file_read(int dirfd, const char *path, size_t max, char **ret);

/* Writes to an existing file (as in /proc, /sys, cgroups) in one write(2): 0 or -errno. */
int file_write(int dirfd, const char *path, const char *text);

/* Replaces a file so that after a crash there is the old or the new one, whole: temporary, fsync,
 * rename. `sync` false leaves out the fsync (state on tmpfs). 0 or -errno. */
int file_replace(int dirfd, const char *name, const void *data, size_t len, mode_t mode, bool sync);

/* openat2 with RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS below `root`: symbolic links are followed as
 * if `root` were "/"; nothing outside can be reached. O_CLOEXEC is added. fd or -errno. */
int path_open_in(int root, const char *path, int flags, mode_t mode);

/* openat2 with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS: a path that must be
 * plain. */
int path_open_plain(int dir, const char *path, int flags, mode_t mode);

/* Makes the directories of a path below `root` and opens the last one O_PATH|O_DIRECTORY. Symbolic
 * links are resolved as in path_open_in, also one whose target is missing; each part is made on its
 * parent's descriptor: nothing is created through a link that changes meanwhile. New ones get
 * `mode`. No allocation. fd or -errno. */
int path_make_dirs_in(int root, const char *path, mode_t mode);

/* The same for a file: directories on the way (0755) and an empty regular file are made where they
 * are missing; what is there already is opened, O_PATH, whatever it is. */
int path_make_file_in(int root, const char *path, mode_t mode);

/* Removes a file or a whole tree below `dirfd` by name, never crossing a mount or following a link.
 * A missing name is fine. 0 or -errno (the first error; goes on with the rest). */
int path_remove_tree(int dirfd, const char *name);

/* Whether a directory (perhaps O_PATH) has no entries: 1, 0 or -errno. */
int path_is_empty(int dir);

/* The bytes of all regular files in and below a directory, each file once; what cannot be read
 * counts as nothing. Does not cross mounts. */
int64_t path_tree_size(int dir);

/* mkdir -p for a host path that we own (a state directory): 0 or -errno. */
int path_make_dirs(const char *path, mode_t mode);

/* Cleans a path textually: no ".", "..", "//" or trailing "/"; ".." at the root stays at the root.
 * The result begins with "/" when `path` does. A new string, NULL when out of memory. */
char *path_clean(const char *path);

#endif
