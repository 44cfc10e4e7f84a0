/* SPDX-License-Identifier: Apache-2.0 */
/* runtime-spec speaks v1's numbers; these are the ones that v2 measures differently. */
#include <math.h>
#include "libcontainer/cgroup/limits.h"

enum {
    SHARES_MIN = 2,
    SHARES_MAX = 262144,
    WEIGHT_MAX = 10000,
    BLKIO_MIN = 10,
    BLKIO_MAX = 1000,
};

/* 10 ^ ((l^2 + 125 l) / 612 - 7/34) with l = log2(shares): exact at 2 -> 1, 1024 -> 100 and
 * 262144 -> 10000; a straight line would make docker's default of 1024 a 39. */
uint64_t cpu_weight(uint64_t shares)
{
    double l, weight;

    if (shares <= SHARES_MIN)
        return 1;
    if (shares >= SHARES_MAX)
        return WEIGHT_MAX;
    l = log2((double)shares);
    weight = pow(10, (l * l + 125 * l) / 612 - 7.0 / 34);
    return (uint64_t)ceil(weight - 1e-6); /* 100.00000000000001 is 100 */
}

uint64_t io_weight(uint64_t weight)
{
    weight = MIN(MAX(weight, (uint64_t)BLKIO_MIN), (uint64_t)BLKIO_MAX);
    return 1 + (weight - BLKIO_MIN) * (WEIGHT_MAX - 1) / (BLKIO_MAX - BLKIO_MIN);
}

int swap_alone(const struct opt_i64 *memory, int64_t swap, int64_t *ret)
{
    if (swap < 0)
        *ret = -1;
    else if (!memory->set || memory->value <= 0 || swap < memory->value)
        return -EINVAL;
    else
        *ret = swap - memory->value;
    return 0;
}
