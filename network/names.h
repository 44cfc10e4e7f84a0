/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is called what: the files that containers' name servers answer from. Whoever changes a
 * network replaces its file by rename; a name server reads the files again for each question, so it
 * never holds an old truth, nor memory. They live in one directory below RUN:
 *
 *     n-NETWORK    a line per attached container:  IPV4|- IPV6|- CONTAINER NAME ALIAS...
 *     c-CONTAINER  what its name server must know, a line each:
 *                      network ID NAME             in the order in which names are looked for
 *                      link ID ALIAS NAME          a name that this container alone has for another
 *                      server ADDRESS              where other questions go
 */
#ifndef NETWORK_NAMES_H
#define NETWORK_NAMES_H

#include "network/address.h"

#define NAMES_FILE_MAX  (16u << 20)
#define NAMES_FOUND_MAX 32  /* addresses of one name that are told */
#define NAMES_SERVERS   8   /* that are asked, one after the other */
#define NAME_MAX_DNS    255 /* bytes of a domain name */

/* The file's name in its directory. */
#define NAMES_FILE_NAME_MAX 72
void names_network_file(const char *id, char name[NAMES_FILE_NAME_MAX]);
void names_container_file(const char *id, char name[NAMES_FILE_NAME_MAX]);

struct names {
    int directory;
    const char *container; /* id */
};

/* The addresses of `name` (lower case, without the last dot) as the container sees it; `name.net`
 * asks one network. -ENOENT: nobody is called so. The number found may be 0: somebody is, but has
 * no address of this family. */
int names_find(const struct names *names, const char *name, int family,
               struct ipaddr ret[NAMES_FOUND_MAX]);
/* "web.net" for an address; -ENOENT. */
int names_reverse(const struct names *names, const struct ipaddr *address,
                  char ret[NAME_MAX_DNS + 1]);
/* The number of servers. */
int names_servers(const struct names *names, struct ipaddr ret[NAMES_SERVERS]);

#endif
