/* SPDX-License-Identifier: Apache-2.0 */
/*
 * About this engine: GET /version and GET /info (docker-api 2.7, 2.8). Members that tell of things
 * wharf does not have are there with the value that says so, because clients look for them.
 */
#include "engine/internal.h"

#include <fcntl.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <time.h>
#include "base/fd.h"
#include "base/str.h"
#include "libtrust/key.h"

#define OS_RELEASE_MAX 4096

static const char *machine(const struct utsname *u)
{
    static const struct {
        const char *kernel, *docker; /* docker says GOARCH in version, uname's in info */
    } names[] = { { "x86_64", "amd64" }, { "aarch64", "arm64" },   { "armv7l", "arm" },
                  { "i686", "386" },     { "riscv64", "riscv64" }, { "ppc64le", "ppc64le" },
                  { "s390x", "s390x" } };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (streq(u->machine, names[i].kernel))
            return names[i].docker;
    return u->machine;
}

json_t *engine_version(void)
{
    struct utsname u;
    char api[16], oldest[16];
    autojson json_t *component = NULL;

    uname(&u);
    snprintf(api, sizeof api, "1.%u", API_NEWEST);
    snprintf(oldest, sizeof oldest, "1.%u", API_OLDEST);
    /* GoVersion and BuildTime: clients print them; what is not there is empty */
    component = json_pack("{sssss{ssssssssssssssss}}", "Name", "Engine", "Version", WHARF_VERSION,
                          "Details", "ApiVersion", api, "Arch", machine(&u), "BuildTime", "",
                          "Experimental", "false", "GitCommit", "", "GoVersion", "",
                          "KernelVersion", u.release, "MinAPIVersion", oldest);
    if (component)
        json_object_set_new(json_object_get(component, "Details"), "Os", json_string("linux"));
    return json_pack("{s{ss}s[O]ssssssssssssssssss}", "Platform", "Name", "wharf", "Components",
                     component, "Version", WHARF_VERSION, "ApiVersion", api, "MinAPIVersion",
                     oldest, "GitCommit", "", "GoVersion", "", "Os", "linux", "Arch", machine(&u),
                     "KernelVersion", u.release, "BuildTime", "");
}

/* A value of /etc/os-release (os-release(5)) without its quotes; "" if there is none. */
static char *os_release(const char *key)
{
    autofree char *text = NULL;
    ssize_t n = file_read(AT_FDCWD, "/etc/os-release", OS_RELEASE_MAX, &text);
    size_t len = strlen(key);

    for (char *line = n > 0 ? text : NULL; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (!strncmp(line, key, len) && line[len] == '=') {
            char *value = line + len + 1;

            value += *value == '"';
            return strndup(value, strcspn(value, "\"\n"));
        }
    }
    return strdup("");
}

/* The engine's identity: the fingerprint of its key, as dockerd's (docker-api 2.8). */
static int engine_identity(struct engine *en, char ret[KEY_ID_MAX], struct wharf_error *e)
{
    autofree char *path = str_format("%s/engine-key.pem", en->root);

    return path ? key_file(path, ret, e) : err_nomem(e);
}

struct counts {
    int running, paused, stopped;
};

static int count_container(void *user, struct record *r)
{
    struct counts *c = user;

    if (r->state == STATE_RUNNING)
        c->running++;
    else if (r->state == STATE_PAUSED)
        c->paused++;
    else
        c->stopped++;
    return 0;
}

static int count_image(const struct image *image, void *user)
{
    (*(int *)user)++;
    return 0;
}

static bool is_readable(const char *path)
{
    return access(path, R_OK) == 0;
}

/* cgroup2fs at the usual place, with controllers of its own: v2 (cgroups(7)). */
static bool has_unified_cgroups(void)
{
    struct statfs fs;

    return statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == 0x63677270;
}

static void add_host(json_t *info)
{
    autofree char *pretty = os_release("PRETTY_NAME"), *version = os_release("VERSION_ID");
    struct utsname u;
    struct sysinfo memory = { 0 };
    struct timespec now;
    struct tm tm;
    char time_text[64];

    uname(&u);
    sysinfo(&memory);
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(time_text, sizeof time_text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(time_text + strlen(time_text), sizeof time_text - strlen(time_text), ".%09ldZ",
             now.tv_nsec);
    json_object_set_new(info, "Name", json_string(u.nodename));
    json_object_set_new(info, "OperatingSystem", json_string(pretty ? pretty : ""));
    json_object_set_new(info, "OSVersion", json_string(version ? version : ""));
    json_object_set_new(info, "OSType", json_string("linux"));
    json_object_set_new(info, "Architecture", json_string(u.machine));
    json_object_set_new(info, "KernelVersion", json_string(u.release));
    json_object_set_new(info, "NCPU", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
    json_object_set_new(info, "MemTotal",
                        json_integer((json_int_t)memory.totalram * memory.mem_unit));
    json_object_set_new(info, "SystemTime", json_string(time_text));
    json_object_set_new(info, "CgroupVersion", json_string(has_unified_cgroups() ? "2" : "1"));
    json_object_set_new(info, "IPv4Forwarding", json_true());
}

/* What containers of this host can be limited in. */
static void add_limits(json_t *info)
{
    bool unified = has_unified_cgroups();
    const struct {
        const char *name, *v1;
    } limits[] = { { "MemoryLimit", "/sys/fs/cgroup/memory" },
                   { "SwapLimit", "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes" },
                   { "CpuCfsPeriod", "/sys/fs/cgroup/cpu/cpu.cfs_period_us" },
                   { "CpuCfsQuota", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us" },
                   { "CPUShares", "/sys/fs/cgroup/cpu" },
                   { "CPUSet", "/sys/fs/cgroup/cpuset" },
                   { "PidsLimit", "/sys/fs/cgroup/pids" },
                   { "OomKillDisable", "/sys/fs/cgroup/memory/memory.oom_control" } };

    for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
        json_object_set_new(info, limits[i].name,
                            json_boolean(unified ? !streq(limits[i].name, "OomKillDisable")
                                                 : is_readable(limits[i].v1)));
}

static json_t *constants(void)
{
    return json_pack(
        "{ss s[[ss]] s{s[s] s[sssss] sn s[sss]} sb sb sb ss ss ss s{s{sss[]s{}}s{sss[]s{}}} ss "
        "s{ss sb ss ss ss sn}"
        " sb ss ss s{ss} s{ss} s{ss} s[ss] s[] s[] sn ss ss ss s[]}",
        "Driver", "overlay2", "DriverStatus", "Backing Filesystem", "overlayfs", "Plugins",
        "Volume", "local", "Network", "bridge", "host", "ipvlan", "none", "null", "Authorization",
        "Log", "json-file", "local", "none", "Debug", 0, "ExperimentalBuild", 0,
        "LiveRestoreEnabled", 1, "LoggingDriver", "json-file", "CgroupDriver", "cgroupfs",
        "IndexServerAddress", "https://index.docker.io/v1/", "Runtimes", "wharf", "path",
        "wharf-shim", "runtimeArgs", "status", "runc", "path", "wharf-shim", "runtimeArgs",
        "status", "DefaultRuntime", "wharf", "Swarm", "LocalNodeState", "inactive",
        "ControlAvailable", 0, "NodeID", "", "NodeAddr", "", "Error", "", "RemoteManagers",
        "BridgeNfIptables", 0, "Isolation", "", "InitBinary", "wharf-init", "ContainerdCommit",
        "ID", "", "RuncCommit", "ID", "", "InitCommit", "ID", "", "SecurityOptions",
        "name=seccomp,profile=builtin", "name=cgroupns", "Labels", "Warnings", "GenericResources",
        "HttpProxy", "", "HttpsProxy", "", "NoProxy", "", "DefaultAddressPools");
}

int engine_info(struct engine *en, struct principal who, json_t **ret, struct wharf_error *e)
{
    autojson json_t *info = constants();
    char identity[KEY_ID_MAX];
    struct counts counts = { 0 };
    struct image_store *store;
    int images = 0, r = engine_container_list(en, who, count_container, &counts, e);

    if (r == 0)
        r = engine_images(en, who, &store, e);
    if (r == 0 && (r = image_list(store, count_image, &images, e)) > 0)
        r = 0;
    if (r == 0)
        r = engine_identity(en, identity, e);
    if (r < 0)
        return r;
    if (!info)
        return err_nomem(e);
    json_object_set_new(info, "ID", json_string(identity));
    json_object_set_new(info, "ServerVersion", json_string(WHARF_VERSION));
    json_object_set_new(info, "DockerRootDir", json_string(en->root));
    json_object_set_new(info, "Containers",
                        json_integer(counts.running + counts.paused + counts.stopped));
    json_object_set_new(info, "ContainersRunning", json_integer(counts.running));
    json_object_set_new(info, "ContainersPaused", json_integer(counts.paused));
    json_object_set_new(info, "ContainersStopped", json_integer(counts.stopped));
    json_object_set_new(info, "Images", json_integer(images));
    json_object_set_new(info, "NFd", json_integer(0));
    json_object_set_new(info, "NGoroutines", json_integer(0));
    json_object_set_new(info, "NEventsListener", json_integer(0));
    json_object_set_new(info, "RegistryConfig",
                        json_pack("{s[s]s{s{sss[]sbsb}}s[]}", "InsecureRegistryCIDRs",
                                  "127.0.0.0/8", "IndexConfigs", "docker.io", "Name", "docker.io",
                                  "Mirrors", "Secure", 1, "Official", 1, "Mirrors"));
    add_host(info);
    add_limits(info);
    *ret = take_ptr(&info);
    return 0;
}
