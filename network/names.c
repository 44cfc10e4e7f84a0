/* SPDX-License-Identifier: Apache-2.0 */
/* See names.h. The files are scanned, not indexed: a network of a thousand containers is 100 KB. */
#include "network/names.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "base/fd.h"
#include "base/str.h"

void names_network_file(const char *id, char name[NAMES_FILE_NAME_MAX])
{
    snprintf(name, NAMES_FILE_NAME_MAX, "n-%.64s", id);
}

void names_container_file(const char *id, char name[NAMES_FILE_NAME_MAX])
{
    snprintf(name, NAMES_FILE_NAME_MAX, "c-%.64s", id);
}

/* Takes the next word of the line at *at, which becomes a string; NULL at the line's end. The line
 * ends with NUL. */
static char *word(char **at)
{
    char *start = *at + strspn(*at, " ");
    size_t n = strcspn(start, " ");

    if (n == 0)
        return NULL;
    *at = start + n + (start[n] != '\0');
    start[n] = '\0';
    return start;
}

/* Takes the next line of the text, as a string; NULL at its end. */
static char *line(char **at)
{
    char *start = *at;
    size_t n = strcspn(start, "\n");

    if (*start == '\0')
        return NULL;
    *at = start + n + (start[n] != '\0');
    start[n] = '\0';
    return start;
}

static char *read_names(const struct names *names, const char *file)
{
    char *text = NULL;

    return file_read(names->directory, file, NAMES_FILE_MAX, &text) < 0 ? NULL : text;
}

/* One attached container. `rest` is where its names begin. */
struct entry {
    struct ipaddr address[2];
    char *container, *rest;
};

static bool read_entry(char *text, struct entry *ret)
{
    *ret = (struct entry){ 0 };
    for (int i = 0; i < 2; i++) {
        char *address = word(&text);

        if (!address)
            return false;
        ipaddr_parse(address, &ret->address[i]); /* "-": none */
    }
    ret->container = word(&text);
    ret->rest = text;
    return ret->container != NULL;
}

/* Is it one of the names, or the beginning of the id as docker cuts it? */
static bool is_called(struct entry *entry, const char *name)
{
    char *at = entry->rest, *one;

    while ((one = word(&at))) {
        if (strcasecmp(one, name) == 0)
            return true;
    }
    return strlen(name) >= 12 && strncmp(entry->container, name, strlen(name)) == 0;
}

struct search {
    const char *name;
    int family;
    struct ipaddr *found;
    int count;
    bool exists;
};

static void search_network(const struct names *names, const char *network, struct search *s)
{
    char file[NAMES_FILE_NAME_MAX], *at, *one;
    struct entry entry;

    names_network_file(network, file);
    autofree char *text = read_names(names, file);
    at = text;
    while (at && (one = line(&at))) {
        if (!read_entry(one, &entry) || !is_called(&entry, s->name))
            continue;
        s->exists = true;
        const struct ipaddr *a = &entry.address[s->family == AF_INET6];
        if (a->family && s->count < NAMES_FOUND_MAX)
            s->found[s->count++] = *a;
    }
}

/* A line of the container's file: what of `name` it answers, if anything. */
static void search_line(const struct names *names, char *at, const char *name, struct search *s)
{
    char *kind = word(&at), *network = kind ? word(&at) : NULL, *first = network ? word(&at) : NULL;
    char *target = first ? word(&at) : NULL;
    char asked[NAME_MAX_DNS + 1];

    if (!first)
        return;
    s->name = asked;
    if (streq(kind, "link") && target && strcasecmp(first, name) == 0) {
        snprintf(asked, sizeof(asked), "%s", target);
        search_network(names, network, s);
    } else if (streq(kind, "network")) {
        size_t n = strlen(name), m = strlen(first);
        bool qualified =
            n > m + 1 && name[n - m - 1] == '.' && strcasecmp(name + n - m, first) == 0;

        snprintf(asked, sizeof(asked), "%s", name);
        search_network(names, network, s);
        if (qualified && !s->exists) {
            asked[n - m - 1] = '\0';
            search_network(names, network, s);
        }
    }
}

int names_find(const struct names *names, const char *name, int family,
               struct ipaddr ret[NAMES_FOUND_MAX])
{
    struct search s = { .family = family, .found = ret };
    char file[NAMES_FILE_NAME_MAX], *at, *one;

    names_container_file(names->container, file);
    autofree char *text = read_names(names, file);
    at = text;
    while (at && !s.exists && (one = line(&at)))
        search_line(names, one, name, &s);
    return s.exists ? s.count : -ENOENT;
}

static bool reverse_network(const struct names *names, const char *network,
                            const char *network_name, const struct ipaddr *address,
                            char ret[NAME_MAX_DNS + 1])
{
    char file[NAMES_FILE_NAME_MAX], *at, *one;
    struct entry entry;

    names_network_file(network, file);
    autofree char *text = read_names(names, file);
    at = text;
    while (at && (one = line(&at))) {
        char *name;

        if (!read_entry(one, &entry) ||
            ipaddr_compare(&entry.address[address->family == AF_INET6], address) != 0 ||
            !(name = word(&entry.rest)))
            continue;
        snprintf(ret, NAME_MAX_DNS + 1, "%s.%s", name, network_name);
        return true;
    }
    return false;
}

int names_reverse(const struct names *names, const struct ipaddr *address,
                  char ret[NAME_MAX_DNS + 1])
{
    char file[NAMES_FILE_NAME_MAX], *at, *one;

    names_container_file(names->container, file);
    autofree char *text = read_names(names, file);
    at = text;
    while (at && (one = line(&at))) {
        char *kind = word(&one), *id = kind ? word(&one) : NULL, *name = id ? word(&one) : NULL;

        if (name && streq(kind, "network") && reverse_network(names, id, name, address, ret))
            return 0;
    }
    return -ENOENT;
}

int names_servers(const struct names *names, struct ipaddr ret[NAMES_SERVERS])
{
    char file[NAMES_FILE_NAME_MAX], *at, *one;
    int count = 0;

    names_container_file(names->container, file);
    autofree char *text = read_names(names, file);
    at = text;
    while (at && count < NAMES_SERVERS && (one = line(&at))) {
        char *kind = word(&one), *address = kind ? word(&one) : NULL;

        if (address && streq(kind, "server") && ipaddr_parse(address, &ret[count]) == 0)
            count++;
    }
    return count;
}
