/* SPDX-License-Identifier: Apache-2.0 */
/* See into.h. */
#include "libimage/into.h"

#include "libimage/extract.h"
#include "libimage/feed.h"

/* What goes into a container is the container's disk's matter: bombs are refused, size is not. */
static const struct image_limits limits = { .layer_bytes = INT64_C(1) << 50,
                                            .layer_entries = INT64_C(1) << 32,
                                            .layer_devices = 4096,
                                            .ratio = 1000,
                                            .ratio_after = 1 << 30 };

int archive_into(const struct into *ask, struct wharf_error *e)
{
    struct file_source in;
    struct extract x;
    int r = file_source_init(&in, ask->fd, "archive", e);

    if (r < 0)
        return r;
    extract_init(&x, ask->dir, "archive");
    x.limits = limits;
    x.plain = true;
    x.keep_kind = ask->keep_kind;
    x.owned = ask->owned;
    x.uid = ask->uid;
    x.gid = ask->gid;
    autofeed struct feed feed = { 0 };
    r = feed_open(&feed, &in.base,
                  (struct feed_options){ .what = "archive",
                                         .limits = &limits,
                                         .bytes_max = limits.layer_bytes,
                                         .bytes_name = "layer_bytes",
                                         .copy = -1,
                                         .total = -1 },
                  e);
    if (r == 0)
        r = extract_all(&x, &feed.tar, e);
    if (r == 0)
        r = feed_finish(&feed, e);
    extract_done(&x);
    file_source_done(&in);
    return r;
}
