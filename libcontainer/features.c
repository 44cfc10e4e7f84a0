/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this library knows (the OCI features document, features.md and features-linux.md of
 * runtime-spec) and what can be done here and now (container_has).
 *
 * The document is made of the very tables that the configuration is read with, so it cannot promise
 * a word that the parser refuses. It must not depend on the host, and the specification allows no
 * members of our own: Landlock and crun's extensions are announced in annotations.
 */
#include "container.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"
#include "libcontainer/config/mount-options.h"
#include "libcontainer/config/words.h"
#include "libcontainer/credentials.h"
#include "libcontainer/landlock.h"
#include "libcontainer/criu.h"

/* ---- the document ---- */

static json_t *strings(const char *const *list)
{
    json_t *array = json_array();

    for (; list && *list; list++)
        json_array_append_new(array, json_string(*list));
    return array;
}

static json_t *words(const struct field_word *set)
{
    json_t *array = json_array();

    for (; set->name; set++)
        json_array_append_new(array, json_string(set->name));
    return array;
}

/* Annotations are strings: "a,b,c". */
static json_t *joined(const struct field_word *set)
{
    autobuf struct buf text = BUF(4096);

    for (const struct field_word *word = set; word->name; word++)
        buf_printf(&text, "%s%s", word == set ? "" : ",", word->name);
    return json_string(text.data);
}

static json_t *mount_options(void)
{
    autofree const char **names = mount_options_names();

    return strings(names);
}

static json_t *features_linux(void)
{
    return json_pack(
        "{s:o, s:o, s:{s:b, s:b, s:b, s:b, s:b}, s:{s:b, s:o, s:o, s:o, s:o, s:o},"
        " s:{s:b}, s:{s:b}, s:{s:b, s:b, s:b}, s:{s:o, s:o}, s:{s:{s:b}}, s:{s:b}}",
        "namespaces", words(spec_namespace_words), "capabilities", words(capability_words),
        /**/
        "cgroup", "v1", 1, "v2", 1, "systemd", 1, "systemdUser", 1, "rdma", 1,
        /**/
        "seccomp", "enabled", 1, "actions", words(spec_seccomp_action_words), "operators",
        words(spec_seccomp_operator_words), "archs", words(spec_seccomp_arch_words), "knownFlags",
        words(spec_seccomp_flag_words), "supportedFlags", words(spec_seccomp_flag_words),
        /**/
        "apparmor", "enabled", 1, "selinux", "enabled", 1,
        /**/
        "intelRdt", "enabled", 1, "schemata", 1, "monitoring", 0,
        /**/
        "memoryPolicy", "modes", words(spec_memory_mode_words), "flags",
        words(spec_memory_flag_words),
        /**/
        "mountExtensions", "idmap", "enabled", 1, "netDevices", "enabled", 1);
}

static json_t *annotations(void)
{
    const struct scmp_version *v = seccomp_version();
    autofree char *version = str_format("%u.%u.%u", v->major, v->minor, v->micro);

    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", /**/
                     "io.github.seccomp.libseccomp.version", version ? version : "",
                     "org.wharf.version", WHARF_VERSION, "org.wharf.landlock.enabled", "true",
                     "org.wharf.landlock.accessFS", joined(spec_landlock_fs_words),
                     "org.wharf.landlock.accessNet", joined(spec_landlock_net_words),
                     "org.wharf.landlock.scoped", joined(spec_landlock_scope_words));
}

int container_features_json(char **ret_json, struct wharf_error *error)
{
    static const char *const hooks[] = {
        "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop",
        NULL
    };
    /* features.md: annotations of a config.json that could change more than the container */
    static const char *const unsafe[] = { "org.systemd.property.", NULL };
    autojson json_t *document =
        json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o}", /**/
                  "ociVersionMin", "1.0.0", "ociVersionMax", "1.3.0", "hooks", strings(hooks),
                  "mountOptions", mount_options(), "linux", features_linux(), "annotations",
                  annotations(), "potentiallyUnsafeConfigAnnotations", strings(unsafe));
    char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;

    if (!text)
        return err_nomem(error);
    *ret_json = text;
    return 0;
}

/* ---- what can be done here ---- */

static bool has_landlock(void)
{
    return landlock_abi() > 0;
}

static bool has_idmap(void)
{
    return syscall(SYS_mount_setattr, -1, "", 0, NULL, 0) < 0 && errno != ENOSYS;
}

/* /proc/filesystems: "nodev\tcgroup2\n" */
static bool has_file_system(const char *line)
{
    autofree char *list = NULL;

    return file_read(AT_FDCWD, "/proc/filesystems", 65536, &list) > 0 && strstr(list, line);
}

static bool has_cgroup_v1(void)
{
    return has_file_system("\tcgroup\n");
}

static bool has_cgroup_v2(void)
{
    return has_file_system("\tcgroup2\n");
}

static bool has_cgroup_hybrid(void)
{
    return has_cgroup_v1() && has_cgroup_v2();
}

static bool has_systemd(void)
{
    return access("/run/systemd/system", F_OK) == 0; /* sd_booted(3) */
}

static bool has_notify(void)
{
    uint32_t action = SECCOMP_RET_USER_NOTIF;

    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

static bool has_time_namespace(void)
{
    return access("/proc/self/ns/time", F_OK) == 0;
}

static bool has_checkpoint(void)
{
    return criu_installed();
}

static bool has_rdt(void)
{
    return access("/sys/fs/resctrl/info", F_OK) == 0;
}

int container_has(const char *feature)
{
    static const struct {
        const char *name;
        bool (*has)(void);
    } features[] = {
        { "landlock", has_landlock },           { "idmap", has_idmap },
        { "cgroup.v1", has_cgroup_v1 },         { "cgroup.v2", has_cgroup_v2 },
        { "cgroup.hybrid", has_cgroup_hybrid }, { "cgroup.systemd", has_systemd },
        { "seccomp.notify", has_notify },       { "time-namespace", has_time_namespace },
        { "selinux", lsm_selinux_enabled },     { "apparmor", lsm_apparmor_enabled },
        { "checkpoint", has_checkpoint },       { "rdt", has_rdt },
    };

    for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
        if (streq(features[i].name, feature))
            return features[i].has();
    }
    return 0;
}
