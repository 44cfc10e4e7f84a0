/* SPDX-License-Identifier: Apache-2.0 */
/* Execs as objects. */
#include "engine/internal.h"

static int not_yet(struct wharf_error *e)
{
    return err_unsupported(e, "exec objects are not supported yet");
}

int engine_exec_create(struct engine *en, struct principal who, const char *reference,
                       const struct engine_exec *exec, char *ret_id, struct wharf_error *e)
{
    return not_yet(e);
}

int engine_exec_start(struct engine *en, struct principal who, const char *exec_id,
                      struct wharf_error *e)
{
    return not_yet(e);
}

int engine_exec_start_begin(struct engine *en, struct principal who, const char *exec_id,
                            uint64_t rows, uint64_t columns, struct session **ret_session,
                            struct wharf_error *e)
{
    return not_yet(e);
}

int engine_exec_resize(struct engine *en, struct principal who, const char *exec_id, uint64_t rows,
                       uint64_t columns, struct wharf_error *e)
{
    return not_yet(e);
}

int engine_exec_inspect(struct engine *en, struct principal who, const char *exec_id, json_t **ret,
                        struct wharf_error *e)
{
    return not_yet(e);
}

json_t *engine_exec_ids(struct engine *en, const char *id)
{
    return json_null();
}
