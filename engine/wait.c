/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for a container's end. Its shim tells: nobody polls, and a thousand waiters cost nothing
 * until their own container ends. */
#include "engine/internal.h"

#include <poll.h>
#include "base/fd.h"
#include "base/str.h"

int engine_wait_parse(const char *text, enum engine_wait_condition *ret, struct wharf_error *e)
{
    static const char *const names[] = { [WAIT_NOT_RUNNING] = "not-running",
                                         [WAIT_NEXT_EXIT] = "next-exit",
                                         [WAIT_REMOVED] = "removed" };

    if (!text || !*text) {
        *ret = WAIT_NOT_RUNNING;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (streq(text, names[i])) {
            *ret = (enum engine_wait_condition)i;
            return 0;
        }
    }
    return err_invalid(e, "invalid condition: \"%s\"", text);
}

/* Waits until the shim has told of the end or is gone: 1 with its code, 0 gone, -ETIMEDOUT. */
int shim_wait_end(int socket, int64_t timeout_ms, int64_t *ret_code)
{
    int64_t deadline = timeout_ms < 0 ? -1 : time_now_ns() / 1000000 + timeout_ms;

    for (;;) {
        struct pollfd p = { socket, POLLIN, 0 };
        struct shim_message m;
        int64_t left = deadline < 0 ? -1 : MAX(deadline - time_now_ns() / 1000000, (int64_t)0);
        int n = poll(&p, 1, (int)MIN(left, (int64_t)INT32_MAX));

        if (n == 0)
            return -ETIMEDOUT;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || shim_receive(socket, &m) <= 0)
            return 0;
        shim_message_done(&m);
        if (m.op == SHIM_EXITED) {
            *ret_code = m.value[0];
            return 1;
        }
    }
}

int engine_container_wait(struct engine *en, struct principal who, const char *reference,
                          enum engine_wait_condition condition, int64_t *ret_code,
                          struct wharf_error *e)
{
    struct shim_message m = { .op = SHIM_WAIT };
    char id[ID_LENGTH + 1] = "";
    int64_t told = 0;
    bool heard = false;

    if (condition != WAIT_NOT_RUNNING)
        return err_unsupported(e, "this wait condition is not supported yet");
    for (;;) {
        autorecord struct record r = { 0 };
        int code = container_find(en, who, id[0] ? id : reference, &r, NULL, heard ? NULL : e);

        if (code == -ENOENT && heard) { /* --rm: it went with its end */
            *ret_code = told;
            return 0;
        }
        if (code < 0)
            return code;
        if (!record_is_running(&r)) {
            *ret_code = r.exit_code;
            return 0;
        }
        memcpy(id, r.id, sizeof(id));
        autoclose int fd = shim_connect(en, r.id, NULL);
        if (fd >= 0 && shim_send(fd, &m) == 0 && shim_wait_end(fd, -1, &told) == 1)
            heard = true;
        else
            poll(NULL, 0, 10); /* between the shim's end and its lock's */
    }
}

int engine_wait_begin(struct engine *en, struct principal who, const char *reference,
                      enum engine_wait_condition condition, struct engine_wait **ret,
                      struct wharf_error *e)
{
    return err_unsupported(e, "waiting beside other things is not supported yet");
}

int engine_wait_fd(const struct engine_wait *w)
{
    return -1;
}

int engine_wait_next(struct engine_wait *w, int64_t *ret_code, struct wharf_error *e)
{
    return err_unsupported(e, "waiting beside other things is not supported yet");
}

void engine_wait_end(struct engine_wait *w)
{
}
