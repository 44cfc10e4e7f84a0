/* SPDX-License-Identifier: Apache-2.0 */
/* What older API versions mean by a body (docker-api 4.2), said in the newest one's words. */
#ifndef DOOR_OLD_API_H
#define DOOR_OLD_API_H

#include "swarm.h"

/* Changes `body`, a request of m->op by m->api. 0, or -EINVAL: that version cannot say this. */
int old_api_body(const struct message *m, json_t *body, struct wharf_error *e);

#endif
