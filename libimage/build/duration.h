/* SPDX-License-Identifier: Apache-2.0 */
/* Durations as Go writes them: "1h30m", "1.5s", "300ms", "-2us". */
#ifndef LIBIMAGE_BUILD_DURATION_H
#define LIBIMAGE_BUILD_DURATION_H

#include <stdint.h>

/* Nanoseconds. -EINVAL. */
int duration_parse(const char *text, int64_t *ret_ns);

#define DURATION_TEXT_MAX 48
/* "1h2m3.5s", "1.5ms", "0s" */
void duration_format(int64_t ns, char ret[DURATION_TEXT_MAX]);

#endif
