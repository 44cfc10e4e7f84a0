/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who we are to a registry: credentials from the caller or from docker's config.json, and the
 * Authorization header that a challenge asks for. (distribution-spec has no login of its own; the
 * token flow is that of the distribution project, "Docker Registry v2 authentication".)
 *
 * The trap: a realm is named by the registry. A password goes there only over https, or over plain
 * http when the registry itself is spoken to that way.
 */
#ifndef LIBIMAGE_AUTH_H
#define LIBIMAGE_AUTH_H

#include "libimage/registry-http.h"

enum {
    AUTH_PARAMETER_MAX = 2048, /* bytes of one parameter of a challenge */
    AUTH_TOKEN_MAX = 32 << 10,
    AUTH_CONFIG_MAX = 1 << 20,
    AUTH_HELPER_MAX = 64 << 10, /* bytes of a credential helper's answer */
};

/* One challenge of a Www-Authenticate header. */
struct challenge {
    bool bearer; /* else Basic */
    char realm[AUTH_PARAMETER_MAX], service[AUTH_PARAMETER_MAX], scope[AUTH_PARAMETER_MAX];
};
/* Takes the best challenge of a header value: Bearer before Basic. False: none that is known. */
bool challenge_parse(struct challenge *ret, const char *value);

struct auth {
    const char *host;                     /* as in the reference */
    char *username, *password, *identity; /* identity: a refresh token. NULL: none */
    char *scope;                          /* what every token is asked for */
    char *header;                         /* "Authorization: ..", NULL: nothing asked for one yet */
    const struct http_trust *trust;
    bool plain; /* the registry is spoken to by plain http */
};

/* Looks for credentials: those given, else config.json's. A missing file means anonymous. */
int auth_init(struct auth *a, const char *host, const struct image_remote_options *options,
              struct wharf_error *e);
void auth_done(struct auth *a);
/* `a` is a plain copy of `from`: gives it strings of its own. -ENOMEM. */
int auth_copy(struct auth *a, const struct auth *from);
/* Answers the 401 of an exchange: sets a->header anew. -EACCES: nothing to answer with. */
int auth_answer(struct auth *a, struct exchange *refused, struct wharf_error *e);

#endif
