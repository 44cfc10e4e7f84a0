/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: Dockerfiles. What parses has stages, in order, on lines that exist; every word of it
 * can be expanded or is refused with a message; a trigger that parses holds no FROM. */
#undef NDEBUG /* a fuzz target is its assertions, in every build */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include "libimage/build/expand.h"
#include "libimage/build/glob.h"
#include "libimage/build/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expand_all(const struct dockerfile *d, const struct instruction *i)
{
    struct expander x = { .escape = d->escape };

    assert(i->at.first >= 1 && i->at.last >= i->at.first);
    for (size_t n = 0; n < i->count; n++) {
        autobuf struct buf out = BUF(EXPAND_MAX);
        struct wharf_error e = { 0 };

        if (expand_word(&x, i->args[n], &out, &e) < 0)
            assert(e.message[0]);
        else
            assert(out.data);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_of(arena_free) struct arena *arena = arena_new(DOCKERFILE_ARENA_MAX);
    struct glob_list list = { 0 };
    struct wharf_error e = { 0 };
    struct span fault = { 0 };
    struct dockerfile d;
    instructions trigger;

    autofree char *text = strndup((const char *)data, size);
    if (trigger_parse(text, arena, &trigger, &e) == 0) {
        for (size_t i = 0; i < trigger.count; i++)
            assert(trigger.items[i].kind != INSTRUCTION_FROM);
    }
    if (size < 10000 && glob_list_read(&list, text, strlen(text), arena, &e) == 0)
        glob_list_excludes(&list, "some/path/of.some");
    e.message[0] = 0;
    if (dockerfile_parse((const char *)data, size, arena, &d, &fault, &e) < 0) {
        assert(e.message[0]);
        return 0;
    }
    assert(d.stages.count > 0);
    for (size_t s = 0; s < d.stages.count; s++) {
        expand_all(&d, &d.stages.items[s].from);
        for (size_t n = 0; n < d.stages.items[s].body.count; n++)
            expand_all(&d, &d.stages.items[s].body.items[n]);
    }
    return 0;
}
