/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URLs, for the fetcher of build.h. It stands in a library and a module (`wharf-fetch.so`) of its
 * own: few builds need it, and libcurl takes long to load.
 */
#ifndef LIBIMAGE_BUILD_FETCH_H
#define LIBIMAGE_BUILD_FETCH_H

#include "libimage/build/build.h"
#include "libimage/module.h"

enum {
    FETCH_REDIRECTS_MAX = 10,
    FETCH_SECONDS_IDLE = 60, /* without a byte */
};
#define FETCH_BYTES_MAX ((int64_t)64 << 30)

#define FETCH_MODULE "wharf-fetch.so"

struct fetch_module {
    struct module_head head;
    int (*fetch)(const char *url, int fd, struct build_fetched *ret, struct wharf_error *e);
};

/* Writes what an http, https or ftp URL gives to a file. -ENOENT, -EACCES, -EIO, -EFBIG. */
int fetch_url(const char *url, int fd, struct build_fetched *ret, struct wharf_error *e);

#endif
