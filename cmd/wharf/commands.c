/* SPDX-License-Identifier: Apache-2.0 */
/* The table: every command of wharf and every flag it takes. Help is printed from here. */
#include "cmd/wharf/cli.h"

#define F(type, member) offsetof(struct type, member)

static const struct flag no_flags[] = { { NULL } };

/* run and create share these */
static const struct flag run_flags[] = {
    { "add-host", 0, FLAG_LIST, F(run_options, add_hosts), "HOST:IP", "Add a line to /etc/hosts" },
    { "attach", 'a', FLAG_LIST, F(run_options, attach), "STREAM",
      "Attach to stdin, stdout or stderr" },
    { "annotation", 0, FLAG_LIST, F(run_options, annotations), "NAME=VALUE",
      "Annotation for the runtime" },
    { "blkio-weight", 0, FLAG_INT, F(run_options, blkio_weight), "N",
      "Weight of its disk use (10-1000)" },
    { "cap-add", 0, FLAG_LIST, F(run_options, cap_add), "CAP", "Add a Linux capability" },
    { "cap-drop", 0, FLAG_LIST, F(run_options, cap_drop), "CAP", "Drop a Linux capability" },
    { "cgroup-parent", 0, FLAG_STR, F(run_options, cgroup_parent), "PATH", "Parent of the cgroup" },
    { "chan", 0, FLAG_LIST, F(run_options, channels), "NAME[:ro]",
      "Join a channel: address in $CHAN_NAME; ro: dial only" },
    { "cgroupns", 0, FLAG_STR, F(run_options, cgroupns), "MODE",
      "Cgroup namespace: private or host" },
    { "cidfile", 0, FLAG_STR, F(run_options, cidfile), "FILE",
      "Write the container's id to a file" },
    { "cpu-period", 0, FLAG_INT, F(run_options, cpu_period), "US", "Period of the CPU limit" },
    { "cpu-quota", 0, FLAG_INT, F(run_options, cpu_quota), "US", "CPU time in each period" },
    { "cpu-shares", 'c', FLAG_INT, F(run_options, cpu_shares), "N",
      "CPU shares (relative weight)" },
    { "cpus", 0, FLAG_COUNT, F(run_options, cpus), "N", "Number of CPUs, such as 1.5" },
    { "cpuset-cpus", 0, FLAG_STR, F(run_options, cpuset), "LIST", "CPUs it may use (0-3, 0,1)" },
    { "cpuset-mems", 0, FLAG_STR, F(run_options, cpuset_mems), "LIST",
      "Memory nodes it may use (0-3, 0,1)" },
    { "detach", 'd', FLAG_BOOL, F(run_options, detach), NULL,
      "Run in the background, print the id" },
    { "detach-keys", 0, FLAG_STR, F(run_options, detach_keys), "KEYS",
      "Keys that detach (ctrl-p,ctrl-q)" },
    { "device", 0, FLAG_LIST, F(run_options, devices), "HOST[:INSIDE][:rwm]",
      "Give it a device of the host" },
    { "device-cgroup-rule", 0, FLAG_LIST, F(run_options, device_rules), "RULE",
      "Allow devices, such as 'c 10:200 rwm'" },
    { "dns", 0, FLAG_LIST, F(run_options, dns), "IP", "Name server" },
    { "dns-opt", 0, FLAG_LIST, F(run_options, dns_options), "OPTION", "Option of resolv.conf" },
    { "dns-option", 0, FLAG_LIST, F(run_options, dns_options), "OPTION", "The same as --dns-opt" },
    { "dns-search", 0, FLAG_LIST, F(run_options, dns_search), "DOMAIN", "Search domain" },
    { "domainname", 0, FLAG_STR, F(run_options, domainname), "NAME", "NIS domain name" },
    { "entrypoint", 0, FLAG_STR, F(run_options, entrypoint), "PROGRAM",
      "Replace the image's entrypoint" },
    { "env", 'e', FLAG_LIST, F(run_options, env), "NAME[=VALUE]", "Set an environment variable" },
    { "env-file", 0, FLAG_LIST, F(run_options, env_file), "FILE",
      "Read environment variables from a file" },
    { "expose", 0, FLAG_LIST, F(run_options, expose), "PORT[/PROTOCOL]", "Port that -P publishes" },
    { "group-add", 0, FLAG_LIST, F(run_options, group_add), "GROUP", "Add a further group" },
    { "health-cmd", 0, FLAG_STR, F(run_options, health_cmd), "COMMAND",
      "Check its health by this" },
    { "health-interval", 0, FLAG_STR, F(run_options, health_interval), "TIME",
      "Between two checks (30s)" },
    { "health-retries", 0, FLAG_INT, F(run_options, health_retries), "N",
      "Failures in a row that make it unhealthy (3)" },
    { "health-start-interval", 0, FLAG_STR, F(run_options, health_start_interval), "TIME",
      "Between two checks while it starts (5s)" },
    { "health-start-period", 0, FLAG_STR, F(run_options, health_start_period), "TIME",
      "Failures so long after the start do not count" },
    { "health-timeout", 0, FLAG_STR, F(run_options, health_timeout), "TIME",
      "A check that takes longer has failed (30s)" },
    { "hostname", 'h', FLAG_STR, F(run_options, hostname), "NAME", "The container's host name" },
    { "interactive", 'i', FLAG_BOOL, F(run_options, interactive), NULL, "Keep stdin open" },
    { "ip", 0, FLAG_STR, F(run_options, ip), "ADDRESS", "IPv4 address in its network" },
    { "ip6", 0, FLAG_STR, F(run_options, ip6), "ADDRESS", "IPv6 address in its network" },
    { "ipc", 0, FLAG_STR, F(run_options, ipc), "MODE",
      "IPC: private, shareable, host, none, container:NAME" },
    { "label", 'l', FLAG_LIST, F(run_options, labels), "NAME[=VALUE]", "Set a label" },
    { "link", 0, FLAG_LIST, F(run_options, links), "CONTAINER[:NAME]",
      "Know another container by a name" },
    { "log-driver", 0, FLAG_STR, F(run_options, log_driver), "NAME",
      "json-file (default) or none" },
    { "log-opt", 0, FLAG_LIST, F(run_options, log_options), "NAME=VALUE",
      "max-size (20m), max-file (5)" },
    { "mac-address", 0, FLAG_STR, F(run_options, mac), "MAC", "Hardware address" },
    { "memory", 'm', FLAG_SIZE, F(run_options, memory), "BYTES", "Memory limit, such as 64m" },
    { "memory-reservation", 0, FLAG_SIZE, F(run_options, memory_reservation), "BYTES",
      "Soft memory limit" },
    { "memory-swap", 0, FLAG_SIZE, F(run_options, memory_swap), "BYTES",
      "Memory and swap together" },
    { "memory-swappiness", 0, FLAG_INT, F(run_options, memory_swappiness), "N",
      "How readily it swaps (1-100)" },
    { "mount", 0, FLAG_LIST, F(run_options, mounts), "SPEC",
      "type=volume|bind|tmpfs,src=,dst=[,ro]" },
    { "name", 0, FLAG_STR, F(run_options, name), "NAME", "The container's name" },
    { "network", 0, FLAG_LIST, F(run_options, networks), "NETWORK",
      "Network to be in, bridge (default), host, none, or container:NAME" },
    { "network-alias", 0, FLAG_LIST, F(run_options, network_aliases), "NAME",
      "Further name in its network" },
    { "net", 0, FLAG_LIST, F(run_options, networks), "NETWORK", "The same as --network" },
    { "net-alias", 0, FLAG_LIST, F(run_options, network_aliases), "NAME",
      "The same as --network-alias" },
    { "no-healthcheck", 0, FLAG_BOOL, F(run_options, no_health), NULL,
      "Leave out the image's health check" },
    { "oom-kill-disable", 0, FLAG_BOOL, F(run_options, oom_kill_disable), NULL,
      "Do not kill it for memory" },
    { "oom-score-adj", 0, FLAG_INT, F(run_options, oom_score_adj), "N", "-1000 to 1000" },
    { "pid", 0, FLAG_STR, F(run_options, pid), "MODE", "PID namespace: host, container:NAME" },
    { "pids-limit", 0, FLAG_INT, F(run_options, pids), "N", "Limit of processes; -1: none" },
    { "platform", 0, FLAG_STR, F(run_options, platform), "OS/ARCH", "Pull it for this platform" },
    { "privileged", 0, FLAG_BOOL, F(run_options, privileged), NULL,
      "All capabilities and devices, no confinement" },
    { "publish", 'p', FLAG_LIST, F(run_options, publish), "[[IP:]PORT:]PORT[/PROTOCOL]",
      "Publish a port, or a range, on the host" },
    { "publish-all", 'P', FLAG_BOOL, F(run_options, publish_all), NULL,
      "Publish all exposed ports on any ports of the host" },
    { "pull", 0, FLAG_STR, F(run_options, pull), "WHEN", "always, missing (default) or never" },
    { "quiet", 'q', FLAG_BOOL, F(run_options, quiet), NULL, "Pull without telling" },
    { "read-only", 0, FLAG_BOOL, F(run_options, read_only), NULL, "Mount the root read-only" },
    { "restart", 0, FLAG_STR, F(run_options, restart), "POLICY",
      "no, always, unless-stopped, on-failure[:N]" },
    { "rm", 0, FLAG_BOOL, F(run_options, rm), NULL, "Remove the container when it exits" },
    { "security-opt", 0, FLAG_LIST, F(run_options, security), "OPTION",
      "seccomp= no-new-privileges apparmor= label=disable" },
    { "shm-size", 0, FLAG_SIZE, F(run_options, shm_size), "BYTES", "Size of /dev/shm (64m)" },
    { "stop-signal", 0, FLAG_STR, F(run_options, stop_signal), "SIGNAL",
      "Signal that stops it (SIGTERM)" },
    { "stop-timeout", 0, FLAG_INT, F(run_options, stop_timeout), "SECONDS",
      "Until it is killed (10)" },
    { "sysctl", 0, FLAG_LIST, F(run_options, sysctls), "NAME=VALUE",
      "Kernel parameter of its namespaces" },
    { "tmpfs", 0, FLAG_LIST, F(run_options, tmpfs), "PATH[:OPTIONS]", "Mount a tmpfs" },
    { "tty", 't', FLAG_BOOL, F(run_options, tty), NULL, "Give it a terminal" },
    { "ulimit", 0, FLAG_LIST, F(run_options, ulimits), "NAME=SOFT[:HARD]", "Resource limit" },
    { "user", 'u', FLAG_STR, F(run_options, user), "USER[:GROUP]", "User name or uid" },
    { "userns", 0, FLAG_STR, F(run_options, userns), "MODE", "User namespace: host" },
    { "uts", 0, FLAG_STR, F(run_options, uts), "MODE", "UTS namespace: host" },
    { "volume", 'v', FLAG_LIST, F(run_options, volumes), "[SOURCE:]TARGET[:ro]",
      "Mount a host path or a volume" },
    { "volume-driver", 0, FLAG_STR, F(run_options, volume_driver), "NAME",
      "Driver of new volumes (local)" },
    { "volumes-from", 0, FLAG_LIST, F(run_options, volumes_from), "CONTAINER[:ro]",
      "Mount what another container mounts" },
    { "workdir", 'w', FLAG_STR, F(run_options, workdir), "PATH", "Working directory" },
    { NULL },
};

static const struct flag exec_flags[] = {
    { "detach", 'd', FLAG_BOOL, F(exec_options, detach), NULL, "Do not wait for it" },
    { "detach-keys", 0, FLAG_STR, F(exec_options, detach_keys), "KEYS",
      "Keys that detach (ctrl-p,ctrl-q)" },
    { "env", 'e', FLAG_LIST, F(exec_options, env), "NAME[=VALUE]", "Set an environment variable" },
    { "interactive", 'i', FLAG_BOOL, F(exec_options, interactive), NULL, "Keep stdin open" },
    { "privileged", 0, FLAG_BOOL, F(exec_options, privileged), NULL, "All capabilities" },
    { "tty", 't', FLAG_BOOL, F(exec_options, tty), NULL, "Give it a terminal" },
    { "user", 'u', FLAG_STR, F(exec_options, user), "USER[:GROUP]", "User name or uid" },
    { "workdir", 'w', FLAG_STR, F(exec_options, workdir), "PATH", "Working directory" },
    { NULL },
};

static const struct flag start_flags[] = {
    { "attach", 'a', FLAG_BOOL, F(start_options, attach), NULL,
      "Attach stdout and stderr, forward signals" },
    { "detach-keys", 0, FLAG_STR, F(start_options, detach_keys), "KEYS",
      "Keys that detach (ctrl-p,ctrl-q)" },
    { "interactive", 'i', FLAG_BOOL, F(start_options, interactive), NULL, "Attach stdin" },
    { NULL },
};

static const struct flag ps_flags[] = {
    { "all", 'a', FLAG_BOOL, F(ps_options, all), NULL, "Also those that do not run" },
    { "filter", 'f', FLAG_LIST, F(ps_options, filters), "NAME=VALUE",
      "id, name, status, label, ancestor, volume, ..." },
    { "format", 0, FLAG_STR, F(ps_options, format), "FORM",
      "table, json, or a template: '{{.ID}} {{.Names}}'" },
    { "last", 'n', FLAG_INT, F(ps_options, last), "N", "The newest N, in any state" },
    { "latest", 'l', FLAG_BOOL, F(ps_options, latest), NULL, "The newest, in any state" },
    { "no-trunc", 0, FLAG_BOOL, F(ps_options, no_trunc), NULL, "Do not shorten" },
    { "quiet", 'q', FLAG_BOOL, F(ps_options, quiet), NULL, "Ids only" },
    { "size", 's', FLAG_BOOL, F(ps_options, size), NULL, "Sizes on the disk" },
    { NULL },
};

static const struct flag logs_flags[] = {
    { "follow", 'f', FLAG_BOOL, F(logs_options, follow), NULL, "Go on until the container ends" },
    { "since", 0, FLAG_STR, F(logs_options, since), "TIME",
      "A time, or how long ago (10m, 1h30m)" },
    { "tail", 'n', FLAG_STR, F(logs_options, tail), "N", "The last N lines (all)" },
    { "timestamps", 't', FLAG_BOOL, F(logs_options, timestamps), NULL, "Show times" },
    { "until", 0, FLAG_STR, F(logs_options, until), "TIME", "As --since" },
    { NULL },
};

static const struct flag stop_flags[] = {
    { "time", 't', FLAG_STR, F(stop_options, time), "SECONDS", "Until it is killed; -1: never" },
    { "timeout", 0, FLAG_STR, F(stop_options, time), "SECONDS", "The same as --time" },
    { NULL },
};

static const struct flag kill_flags[] = {
    { "signal", 's', FLAG_STR, F(kill_options, signal), "SIGNAL", "Which (SIGKILL)" },
    { NULL },
};

static const struct flag rm_flags[] = {
    { "force", 'f', FLAG_BOOL, F(rm_options, force), NULL, "Kill it if it runs" },
    { "volumes", 'v', FLAG_BOOL, F(rm_options, volumes), NULL, "Also its anonymous volumes" },
    { NULL },
};

static const struct flag inspect_flags[] = {
    { "format", 'f', FLAG_STR, F(inspect_options, format), "TEMPLATE",
      "Such as '{{.State.Status}}'" },
    { "size", 's', FLAG_BOOL, F(inspect_options, size), NULL, "Sizes of containers on the disk" },
    { "type", 0, FLAG_STR, F(inspect_options, type), "TYPE", "container or image" },
    { NULL },
};

static const struct flag images_flags[] = {
    { "all", 'a', FLAG_BOOL, F(images_options, all), NULL, "Also those without a name" },
    { "digests", 0, FLAG_BOOL, F(images_options, digests), NULL, "Also their digests" },
    { "filter", 'f', FLAG_LIST, F(images_options, filters), "NAME=VALUE",
      "before, dangling, label, label!, reference, since, until" },
    { "format", 0, FLAG_STR, F(images_options, format), "FORM", "table, json, or a template" },
    { "no-trunc", 0, FLAG_BOOL, F(images_options, no_trunc), NULL, "Do not shorten" },
    { "quiet", 'q', FLAG_BOOL, F(images_options, quiet), NULL, "Ids only" },
    { "tree", 0, FLAG_BOOL, F(images_options, tree), NULL, "With platforms and shared sizes" },
    { NULL },
};

static const struct flag load_flags[] = {
    { "input", 'i', FLAG_STR, F(load_options, input), "FILE", "Read this file, not stdin" },
    { "quiet", 'q', FLAG_BOOL, F(load_options, quiet), NULL, "Say less" },
    { NULL },
};

static const struct flag import_flags[] = {
    { "change", 'c', FLAG_LIST, F(import_options, changes), "LINE",
      "A line of a Dockerfile: CMD, ENV, USER ..." },
    { "message", 'm', FLAG_STR, F(import_options, message), "TEXT", "Comment in the history" },
    { NULL },
};

static const struct flag rmi_flags[] = {
    { "force", 'f', FLAG_BOOL, F(rmi_options, force), NULL,
      "Although it is used or has several names" },
    { NULL },
};

static const struct flag volume_create_flags[] = {
    { "driver", 'd', FLAG_STR, F(volume_create_options, driver), "NAME", "Driver (local)" },
    { "label", 0, FLAG_LIST, F(volume_create_options, labels), "NAME[=VALUE]", "Set a label" },
    { "opt", 'o', FLAG_LIST, F(volume_create_options, options), "NAME=VALUE",
      "type=, device=, o= as mount(8) takes them" },
    { NULL },
};

static const struct flag volume_ls_flags[] = {
    { "filter", 'f', FLAG_LIST, F(list_options, filters), "NAME=VALUE",
      "dangling, driver, label, name" },
    { "format", 0, FLAG_STR, F(list_options, format), "FORM", "table, json, or a template" },
    { "quiet", 'q', FLAG_BOOL, F(list_options, quiet), NULL, "Names only" },
    { NULL },
};

static const struct flag registry_flags[] = {
    { "all-tags", 'a', FLAG_BOOL, F(registry_options, all_tags), NULL,
      "Every tag of the repository" },
    { "ca-file", 0, FLAG_STR, F(registry_options, ca_file), "FILE", "Authorities to trust (PEM)" },
    { "insecure", 0, FLAG_LIST, F(registry_options, insecure), "HOST[:PORT]",
      "A registry that may speak plain HTTP or show any certificate" },
    { "mirror", 0, FLAG_LIST, F(registry_options, mirrors), "URL", "Asked before docker.io" },
    { "platform", 0, FLAG_STR, F(registry_options, platform), "OS/ARCH[/VARIANT]",
      "Not this machine's" },
    { "quiet", 'q', FLAG_BOOL, F(registry_options, quiet), NULL, "Only the name, at the end" },
    { NULL },
};

static const struct flag save_flags[] = {
    { "output", 'o', FLAG_STR, F(save_options, output), "FILE", "Write to this file, not stdout" },
    { NULL },
};

static const struct flag history_flags[] = {
    { "format", 0, FLAG_STR, F(history_options, format), "FORM", "table, json, or a template" },
    { "human", 'H', FLAG_BOOL, F(history_options, human), NULL, "As it is shown anyway" },
    { "no-trunc", 0, FLAG_BOOL, F(history_options, no_trunc), NULL, "Do not shorten" },
    { "quiet", 'q', FLAG_BOOL, F(history_options, quiet), NULL, "Ids only" },
    { NULL },
};

static const struct flag prune_flags[] = {
    { "all", 'a', FLAG_BOOL, F(prune_options, all), NULL, "Also named ones" },
    { "filter", 0, FLAG_LIST, F(prune_options, filters), "NAME=VALUE", "label, label!, until" },
    { "force", 'f', FLAG_BOOL, F(prune_options, force), NULL, "Do not ask" },
    { NULL },
};

static const struct flag image_prune_flags[] = {
    { "all", 'a', FLAG_BOOL, F(prune_options, all), NULL, "Whatever no container uses" },
    { "filter", 0, FLAG_LIST, F(prune_options, filters), "NAME=VALUE", "until, label, label!" },
    { "force", 'f', FLAG_BOOL, F(prune_options, force), NULL, "Do not ask" },
    { NULL },
};

static const struct flag network_create_flags[] = {
    { "attachable", 0, FLAG_BOOL, F(network_create_options, attachable), NULL,
      "Accepted: every network is" },
    { "aux-address", 0, FLAG_LIST, F(network_create_options, auxiliary), "NAME=ADDRESS",
      "Address that no container gets" },
    { "driver", 'd', FLAG_STR, F(network_create_options, driver), "NAME", "Driver (bridge)" },
    { "gateway", 0, FLAG_LIST, F(network_create_options, gateways), "ADDRESS",
      "Gateway of the subnet" },
    { "internal", 0, FLAG_BOOL, F(network_create_options, internal), NULL, "Leads nowhere else" },
    { "ip-range", 0, FLAG_LIST, F(network_create_options, ranges), "SUBNET",
      "Give addresses from this part of the subnet" },
    { "ipam-driver", 0, FLAG_STR, F(network_create_options, ipam_driver), "NAME",
      "Who gives addresses (default)" },
    { "ipv6", 0, FLAG_BOOL, F(network_create_options, ipv6), NULL, "IPv6 too" },
    { "label", 0, FLAG_LIST, F(network_create_options, labels), "NAME[=VALUE]", "Set a label" },
    { "opt", 'o', FLAG_LIST, F(network_create_options, options), "NAME=VALUE",
      "Option of the driver" },
    { "subnet", 0, FLAG_LIST, F(network_create_options, subnets), "SUBNET",
      "Block of addresses, such as 10.9.0.0/24" },
    { NULL },
};

static const struct flag network_ls_flags[] = {
    { "filter", 'f', FLAG_LIST, F(list_options, filters), "NAME=VALUE",
      "dangling, driver, id, label, name, scope, type" },
    { "format", 0, FLAG_STR, F(list_options, format), "FORM", "table, json, or a template" },
    { "no-trunc", 0, FLAG_BOOL, F(list_options, no_trunc), NULL, "Do not shorten" },
    { "quiet", 'q', FLAG_BOOL, F(list_options, quiet), NULL, "Ids only" },
    { NULL },
};

static const struct flag network_connect_flags[] = {
    { "alias", 0, FLAG_LIST, F(network_connect_options, aliases), "NAME", "Further name in it" },
    { "ip", 0, FLAG_STR, F(network_connect_options, ip), "ADDRESS", "IPv4 address" },
    { "ip6", 0, FLAG_STR, F(network_connect_options, ip6), "ADDRESS", "IPv6 address" },
    { "link", 0, FLAG_LIST, F(network_connect_options, links), "CONTAINER[:NAME]",
      "Know another container by a name" },
    { NULL },
};

static const struct flag network_prune_flags[] = {
    { "filter", 0, FLAG_LIST, F(prune_options, filters), "NAME=VALUE", "label, label!, until" },
    { "force", 'f', FLAG_BOOL, F(prune_options, force), NULL, "Do not ask" },
    { NULL },
};

static const struct flag login_flags[] = {
    { "ca-file", 0, FLAG_STR, F(login_options, ca_file), "FILE", "Authorities to trust (PEM)" },
    { "insecure", 0, FLAG_LIST, F(login_options, insecure), "HOST[:PORT]",
      "A registry that may speak plain HTTP or show any certificate" },
    { "password", 'p', FLAG_STR, F(login_options, password), "TEXT", "Password" },
    { "password-stdin", 0, FLAG_BOOL, F(login_options, password_stdin), NULL,
      "Read the password from stdin" },
    { "username", 'u', FLAG_STR, F(login_options, username), "NAME", "User name" },
    { NULL },
};

static const struct flag serve_flags[] = {
    { "addr", 0, FLAG_STR, F(serve_options, address), "HOST:PORT",
      "Where it listens (127.0.0.1:5000)" },
    { "cert", 0, FLAG_STR, F(serve_options, certificate), "FILE", "Certificate: speak TLS" },
    { "key", 0, FLAG_STR, F(serve_options, key), "FILE", "Its key" },
    { "read-only", 0, FLAG_BOOL, F(serve_options, read_only), NULL, "Nothing may change" },
    { "root", 0, FLAG_STR, F(serve_options, root), "DIR", "Its directory (this engine's)" },
    { "users", 0, FLAG_STR, F(serve_options, users), "FILE",
      "Who may come in, as htpasswd -B writes it" },
    { NULL },
};

static const struct flag network_force_flags[] = {
    { "force", 'f', FLAG_BOOL, F(rm_options, force), NULL, "No error when there is nothing to do" },
    { NULL },
};

static const struct flag stats_flags[] = {
    { "all", 'a', FLAG_BOOL, F(stats_options, all), NULL, "Also those that do not run" },
    { "format", 0, FLAG_STR, F(stats_options, format), "FORM", "table, json, or a template" },
    { "no-stream", 0, FLAG_BOOL, F(stats_options, no_stream), NULL, "Once" },
    { "no-trunc", 0, FLAG_BOOL, F(stats_options, no_trunc), NULL, "Do not shorten" },
    { NULL },
};

static const struct flag update_flags[] = {
    { "blkio-weight", 0, FLAG_INT, F(update_options, blkio_weight), "N",
      "Weight of its disk use (10-1000)" },
    { "cpu-period", 0, FLAG_INT, F(update_options, cpu_period), "US", "Period of the CPU limit" },
    { "cpu-quota", 0, FLAG_INT, F(update_options, cpu_quota), "US", "CPU time in each period" },
    { "cpu-shares", 'c', FLAG_INT, F(update_options, cpu_shares), "N",
      "CPU shares (relative weight)" },
    { "cpus", 0, FLAG_COUNT, F(update_options, cpus), "N", "Number of CPUs, such as 1.5" },
    { "cpuset-cpus", 0, FLAG_STR, F(update_options, cpuset), "LIST", "CPUs it may use (0-3, 0,1)" },
    { "cpuset-mems", 0, FLAG_STR, F(update_options, cpuset_mems), "LIST",
      "Memory nodes it may use (0-3, 0,1)" },
    { "memory", 'm', FLAG_SIZE, F(update_options, memory), "BYTES", "Memory limit, such as 64m" },
    { "memory-reservation", 0, FLAG_SIZE, F(update_options, memory_reservation), "BYTES",
      "Soft memory limit" },
    { "memory-swap", 0, FLAG_SIZE, F(update_options, memory_swap), "BYTES",
      "Memory and swap together" },
    { "pids-limit", 0, FLAG_INT, F(update_options, pids), "N", "Limit of processes; -1: none" },
    { "restart", 0, FLAG_STR, F(update_options, restart), "POLICY",
      "no, always, unless-stopped, on-failure[:N]" },
    { NULL },
};

static const struct flag export_flags[] = {
    { "output", 'o', FLAG_STR, F(save_file_options, output), "FILE", "Write here, not to stdout" },
    { NULL },
};

static const struct flag commit_flags[] = {
    { "author", 'a', FLAG_STR, F(commit_options, author), "TEXT", "Who made it" },
    { "change", 'c', FLAG_LIST, F(commit_options, changes), "LINE",
      "A line of a Dockerfile: CMD, ENV, USER ..." },
    { "message", 'm', FLAG_STR, F(commit_options, message), "TEXT", "Comment in the history" },
    { "no-pause", 0, FLAG_BOOL, F(commit_options, no_pause), NULL,
      "Let the container run meanwhile" },
    { NULL },
};

static const struct flag cp_flags[] = {
    { "archive", 'a', FLAG_BOOL, F(cp_options, archive), NULL, "Keep owners" },
    { "quiet", 'q', FLAG_BOOL, F(cp_options, quiet), NULL, "Say nothing (it never does)" },
    { NULL },
};

static const struct flag version_flags[] = {
    { "format", 'f', FLAG_STR, F(version_options, format), "TEMPLATE", "Such as '{{.Version}}'" },
    { NULL },
};

#define OPTIONS(type) sizeof(struct type)

const struct command commands[] = {
    { "run", "container", NULL, "[FLAGS] IMAGE [COMMAND] [ARG...]",
      "Create a container from an image and run it", 1, -1, true, EXIT_WHARF, run_flags,
      OPTIONS(run_options), run_command },
    { "create", "container", NULL, "[FLAGS] IMAGE [COMMAND] [ARG...]",
      "Create a container, do not start it", 1, -1, true, 1, run_flags, OPTIONS(run_options),
      create_command },
    { "exec", "container", NULL, "[FLAGS] CONTAINER COMMAND [ARG...]",
      "Run one more process in a container", 2, -1, true, 1, exec_flags, OPTIONS(exec_options),
      exec_command },
    { "ps", "container", "ls", "[FLAGS]", "List containers", 0, 0, false, 1, ps_flags,
      OPTIONS(ps_options), ps_command },
    { "start", "container", NULL, "[FLAGS] CONTAINER...", "Start containers", 1, -1, false, 1,
      start_flags, OPTIONS(start_options), start_command },
    { "attach", "container", NULL, "[FLAGS] CONTAINER", "Join the streams of a running container",
      1, 1, false, 1, start_flags, OPTIONS(start_options), attach_command },
    { "logs", "container", NULL, "[FLAGS] CONTAINER", "Show what a container wrote", 1, 1, false, 1,
      logs_flags, OPTIONS(logs_options), logs_command },
    { "stop", "container", NULL, "[FLAGS] CONTAINER...", "Stop containers", 1, -1, false, 1,
      stop_flags, OPTIONS(stop_options), stop_command },
    { "kill", "container", NULL, "[FLAGS] CONTAINER...", "Send a signal to containers", 1, -1,
      false, 1, kill_flags, OPTIONS(kill_options), kill_command },
    { "pause", "container", NULL, "CONTAINER...", "Freeze containers", 1, -1, false, 1, no_flags, 0,
      pause_command },
    { "unpause", "container", NULL, "CONTAINER...", "Thaw containers", 1, -1, false, 1, no_flags, 0,
      unpause_command },
    { "wait", "container", NULL, "CONTAINER...", "Wait for containers, print their exit codes", 1,
      -1, false, 1, no_flags, 0, wait_command },
    { "rename", "container", NULL, "CONTAINER NAME", "Give a container another name", 2, 2, false,
      1, no_flags, 0, rename_command },
    { "rm", "container", NULL, "[FLAGS] CONTAINER...", "Remove containers", 1, -1, false, 1,
      rm_flags, OPTIONS(rm_options), rm_command },
    { "inspect", "container", NULL, "[FLAGS] NAME...", "Show all about containers and images", 1,
      -1, false, 1, inspect_flags, OPTIONS(inspect_options), inspect_command },
    { "images", "image", "ls", "[FLAGS] [NAME]", "List images", 0, 1, false, 1, images_flags,
      OPTIONS(images_options), images_command },
    { "load", "image", NULL, "[FLAGS]", "Load images from an archive (docker save, OCI)", 0, 0,
      false, 1, load_flags, OPTIONS(load_options), load_command },
    { "import", "image", NULL, "[FLAGS] FILE|- [NAME[:TAG]]",
      "Make an image of a root file system's tar", 1, 2, false, 1, import_flags,
      OPTIONS(import_options), import_command },
    { "rmi", "image", "rm", "[FLAGS] IMAGE...", "Remove images", 1, -1, false, 1, rmi_flags,
      OPTIONS(rmi_options), rmi_command },
    { "tag", "image", NULL, "IMAGE NAME[:TAG]", "Give an image a further name", 2, 2, false, 1,
      no_flags, 0, tag_command },
    { "pull", "image", NULL, "[FLAGS] NAME[:TAG|@DIGEST]", "Bring an image from its registry", 1, 1,
      false, 1, registry_flags, OPTIONS(registry_options), pull_command },
    { "push", "image", NULL, "[FLAGS] NAME[:TAG]", "Bring an image to its registry", 1, 1, false, 1,
      registry_flags, OPTIONS(registry_options), push_command },
    { "image copy", "image", NULL, "[FLAGS] SOURCE TARGET",
      "Copy an image from one registry to another, without keeping it", 2, 2, false, 1,
      registry_flags, OPTIONS(registry_options), copy_command },
    { "save", "image", NULL, "[FLAGS] IMAGE...", "Write images to an archive", 1, -1, false, 1,
      save_flags, OPTIONS(save_options), save_command },
    { "history", "image", NULL, "[FLAGS] IMAGE", "Show how an image was made", 1, 1, false, 1,
      history_flags, OPTIONS(history_options), history_command },
    { "image inspect", "image", NULL, "[FLAGS] IMAGE...", "Show all about images", 1, -1, false, 1,
      inspect_flags, OPTIONS(inspect_options), image_inspect_command },
    { "image prune", "image", NULL, "[FLAGS]", "Remove images that nothing uses", 0, 0, false, 1,
      image_prune_flags, OPTIONS(prune_options), image_prune_command },
    { "image tree", "image", NULL, "", "List images with their platforms and shared sizes", 0, 0,
      false, 1, no_flags, 0, image_tree_command },
    { "login", NULL, NULL, "[FLAGS] [SERVER]", "Log in to a registry", 0, 1, false, 1, login_flags,
      OPTIONS(login_options), login_command },
    { "logout", NULL, NULL, "[SERVER]", "Log out of a registry", 0, 1, false, 1, no_flags, 0,
      logout_command },
    { "registry serve", "registry", NULL, "[FLAGS]", "Serve a registry until a signal comes", 0, 0,
      false, 1, serve_flags, OPTIONS(serve_options), registry_serve_command },
    { "restart", "container", NULL, "[FLAGS] CONTAINER...", "Stop and start containers", 1, -1,
      false, 1, stop_flags, OPTIONS(stop_options), restart_command },
    { "top", "container", NULL, "CONTAINER [PS OPTIONS]", "Show the processes of a container", 1,
      -1, true, 1, no_flags, 0, top_command },
    { "stats", "container", NULL, "[FLAGS] [CONTAINER...]", "Show what containers use", 0, -1,
      false, 1, stats_flags, OPTIONS(stats_options), stats_command },
    { "diff", "container", NULL, "CONTAINER", "Show which files a container changed", 1, 1, false,
      1, no_flags, 0, diff_command },
    { "export", "container", NULL, "[FLAGS] CONTAINER", "Write a container's files as a tar", 1, 1,
      false, 1, export_flags, OPTIONS(save_file_options), export_command },
    { "commit", "container", NULL, "[FLAGS] CONTAINER [NAME[:TAG]]", "Make an image of a container",
      1, 2, false, 1, commit_flags, OPTIONS(commit_options), commit_command },
    { "cp", "container", NULL, "[FLAGS] CONTAINER:PATH|PATH|- PATH|CONTAINER:PATH|-",
      "Copy files into or out of a container", 2, 2, false, 1, cp_flags, OPTIONS(cp_options),
      cp_command },
    { "update", "container", NULL, "[FLAGS] CONTAINER...", "Change limits and restart policy", 1,
      -1, false, 1, update_flags, OPTIONS(update_options), update_command },
    { "container prune", "container", NULL, "[FLAGS]", "Remove containers that do not run", 0, 0,
      false, 1, prune_flags, OPTIONS(prune_options), container_prune_command },
    { "system df", "system", NULL, "[FLAGS]", "Show what takes space on the disk", 0, 0, false, 1,
      version_flags, OPTIONS(version_options), df_command },
    { "volume create", "volume", NULL, "[FLAGS] [NAME]", "Make a volume", 0, 1, false, 1,
      volume_create_flags, OPTIONS(volume_create_options), volume_create_command },
    { "volume inspect", "volume", NULL, "[FLAGS] VOLUME...", "Show all about volumes", 1, -1, false,
      1, inspect_flags, OPTIONS(inspect_options), volume_inspect_command },
    { "volume ls", "volume", "list", "[FLAGS]", "List volumes", 0, 0, false, 1, volume_ls_flags,
      OPTIONS(list_options), volume_ls_command },
    { "volume prune", "volume", NULL, "[FLAGS]", "Remove volumes that nobody uses", 0, 0, false, 1,
      prune_flags, OPTIONS(prune_options), volume_prune_command },
    { "volume rm", "volume", "remove", "[FLAGS] VOLUME...", "Remove volumes", 1, -1, false, 1,
      rm_flags, OPTIONS(rm_options), volume_rm_command },
    { "network connect", "network", NULL, "[FLAGS] NETWORK CONTAINER",
      "Connect a container to a network", 2, 2, false, 1, network_connect_flags,
      OPTIONS(network_connect_options), network_connect_command },
    { "network create", "network", NULL, "[FLAGS] NETWORK", "Make a network", 1, 1, false, 1,
      network_create_flags, OPTIONS(network_create_options), network_create_command },
    { "network disconnect", "network", NULL, "[FLAGS] NETWORK CONTAINER",
      "Disconnect a container from a network", 2, 2, false, 1, network_force_flags,
      OPTIONS(rm_options), network_disconnect_command },
    { "network inspect", "network", NULL, "[FLAGS] NETWORK...", "Show all about networks", 1, -1,
      false, 1, inspect_flags, OPTIONS(inspect_options), network_inspect_command },
    { "network ls", "network", "list", "[FLAGS]", "List networks", 0, 0, false, 1, network_ls_flags,
      OPTIONS(list_options), network_ls_command },
    { "network prune", "network", NULL, "[FLAGS]", "Remove networks that nobody uses", 0, 0, false,
      1, network_prune_flags, OPTIONS(prune_options), network_prune_command },
    { "network rm", "network", "remove", "[FLAGS] NETWORK...", "Remove networks", 1, -1, false, 1,
      network_force_flags, OPTIONS(rm_options), network_rm_command },
    { "version", NULL, NULL, "[FLAGS]", "Show the version", 0, 0, false, 1, version_flags,
      OPTIONS(version_options), version_command },
    { "info", "system", NULL, "", "Show what this engine holds", 0, 0, false, 1, no_flags, 0,
      info_command },
    { NULL },
};
