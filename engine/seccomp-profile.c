/* SPDX-License-Identifier: Apache-2.0 */
/* See seccomp-profile.h. Rules whose conditions fail are dropped, the conditions of the others
 * too; everything else passes to the runtime, which checks it. */
#include "engine/seccomp-profile.h"

#include <stdio.h>
#include <sys/utsname.h>
#include "base/fields.h"
#include "base/json.h"
#include "base/str.h"
#include "libcontainer/credentials.h"

/* Docker's names of this machine's architecture, and the kernel's. */
#if defined(__x86_64__)
#define ARCH        "amd64"
#define NATIVE_ARCH "SCMP_ARCH_X86_64"
#elif defined(__aarch64__)
#define ARCH        "arm64"
#define NATIVE_ARCH "SCMP_ARCH_AARCH64"
#else
#define ARCH        "unknown"
#define NATIVE_ARCH ""
#endif

static bool holds_arch(json_t *list)
{
    json_t *item;
    size_t i;

    json_array_foreach (list, i, item) {
        if (json_is_string(item) && streq(json_string_value(item), ARCH))
            return true;
    }
    return false;
}

/* How many of the named capabilities the container has. */
static size_t count_caps(json_t *list, uint64_t capabilities)
{
    size_t i, found = 0;
    json_t *item;

    json_array_foreach (list, i, item) {
        const char *name = json_string_value(item);
        int64_t bit;

        if (name && field_word_find(capability_words, name, &bit) == 0)
            found += (capabilities & (uint64_t)bit) != 0;
    }
    return found;
}

/* "4.8" */
static bool kernel_is_at_least(const char *wanted)
{
    unsigned have[2] = { 0, 0 }, want[2] = { 0, 0 };
    struct utsname names;

    if (uname(&names) < 0 || sscanf(names.release, "%u.%u", &have[0], &have[1]) != 2 ||
        sscanf(wanted, "%u.%u", &want[0], &want[1]) < 1)
        return false;
    return have[0] != want[0] ? have[0] > want[0] : have[1] >= want[1];
}

static bool applies(json_t *rule, uint64_t capabilities)
{
    json_t *in = json_object_get(rule, "includes"), *out = json_object_get(rule, "excludes");
    json_t *in_arches = json_object_get(in, "arches"), *in_caps = json_object_get(in, "caps");
    const char *in_kernel = json_string_value(json_object_get(in, "minKernel"));
    const char *out_kernel = json_string_value(json_object_get(out, "minKernel"));

    if (json_array_size(in_arches) > 0 && !holds_arch(in_arches))
        return false;
    if (count_caps(in_caps, capabilities) < json_array_size(in_caps))
        return false;
    if (in_kernel && !kernel_is_at_least(in_kernel))
        return false;
    return !holds_arch(json_object_get(out, "arches")) &&
           count_caps(json_object_get(out, "caps"), capabilities) == 0 &&
           !(out_kernel && kernel_is_at_least(out_kernel));
}

/* "archMap" to "architectures": the native one and those that it runs too. */
static int map_architectures(json_t *profile, struct wharf_error *e)
{
    json_t *map = json_object_get(profile, "archMap"), *entry, *list = json_array();
    size_t i;

    json_array_foreach (map, i, entry) {
        const char *name = json_string_value(json_object_get(entry, "architecture"));

        if (!name || !streq(name, NATIVE_ARCH))
            continue;
        json_array_append_new(list, json_string(name));
        json_array_extend(list, json_object_get(entry, "subArchitectures"));
    }
    bool both =
        json_array_size(map) > 0 && json_array_size(json_object_get(profile, "architectures")) > 0;
    if (json_array_size(list) > 0 && !both)
        json_object_set(profile, "architectures", list);
    json_decref(list);
    json_object_del(profile, "archMap");
    return both ? err_invalid(e, "seccomp profile: 'architectures' and 'archMap' were specified in "
                                 "the seccomp profile, use either 'architectures' or 'archMap'")
                : 0;
}

/* Docker's older form has "name" in the place of "names". */
static int plain_rule(json_t *rule, struct wharf_error *e)
{
    json_t *name = json_object_get(rule, "name");

    if (json_is_string(name) && json_string_length(name) > 0) {
        if (json_array_size(json_object_get(rule, "names")) > 0)
            return err_invalid(e, "seccomp profile: use either 'name' or 'names'");
        json_object_set_new(rule, "names", json_pack("[O]", name));
    }
    json_object_del(rule, "name");
    json_object_del(rule, "comment");
    json_object_del(rule, "includes");
    json_object_del(rule, "excludes");
    if (json_is_null(json_object_get(rule, "args")))
        json_object_del(rule, "args");
    return 0;
}

int seccomp_profile(const char *text, uint64_t capabilities, struct buf *b, struct wharf_error *e)
{
    autojson json_t *profile = NULL;
    int r = json_read(text, strlen(text), JSON_LIMITS, "seccomp profile", &profile, e);

    if (r < 0)
        return r;
    if (!json_is_object(profile) || !json_object_get(profile, "defaultAction"))
        return err_invalid(e, "seccomp profile: there is no \"defaultAction\"");
    r = map_architectures(profile, e);
    json_t *rules = json_object_get(profile, "syscalls");
    if (json_is_null(rules))
        json_object_del(profile, "syscalls");
    for (size_t i = json_array_size(rules); r == 0 && i-- > 0;) {
        json_t *rule = json_array_get(rules, i);

        if (applies(rule, capabilities))
            r = plain_rule(rule, e);
        else
            json_array_remove(rules, i);
    }
    if (r < 0)
        return r;
    autofree char *out = json_dumps(profile, JSON_COMPACT);
    buf_str(b, out ? out : "");
    return out ? 0 : err_nomem(e);
}
