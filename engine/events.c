/* SPDX-License-Identifier: Apache-2.0 */
/* See events.h and engine.h. */
#include "engine/internal.h"

void engine_emit(struct engine *en, const struct record *r, const char *action,
                 const char *const *extra)
{
}

int engine_events(struct engine *en, struct principal who, const struct engine_events *ask,
                  struct wharf_error *e)
{
    return err_unsupported(e, "events are not supported yet");
}
