/* SPDX-License-Identifier: Apache-2.0 */
/* Principals that are Unix users; others: subject.c, apart because it needs a hash. */
#include <stdio.h>
#include "swarm.h"

struct principal principal_of_user(uid_t uid, pid_t pid)
{
    struct principal p = { .uid = uid, .pid = pid };

    snprintf(p.name, sizeof p.name, "user:%u", uid);
    return p;
}
