/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that this project does not use: a compile error, with the name of what to use instead.
 * Included into every file by the build (-include), so include nothing here but what they need. */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef __cplusplus
#undef alloca
#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#undef alloca
#pragma GCC poison strcpy strcat strncpy strncat strtok sprintf vsprintf gets atoi atol atoll strtol
#pragma GCC poison strtoul strtoll strtoull localtime localtime_r ctime asctime system popen mktemp
#pragma GCC poison tmpnam alloca
#endif

#endif
