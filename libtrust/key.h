/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys: P-256 key pairs in files, and the fingerprint that names who has one.
 *
 *     char id[KEY_ID_MAX];
 *     key_file("/var/lib/wharf/engine-key.pem", id, &e);
 *
 * A key's id is libtrust's of 2014: the first 30 bytes of the SHA-256 of its public half
 * (SubjectPublicKeyInfo, DER; RFC 5480), in base32 (RFC 4648 section 6), twelve groups of four:
 * "ABCD:EFGH:...". The same key has the same id everywhere.
 */
#ifndef LIBTRUST_KEY_H
#define LIBTRUST_KEY_H

#include "base/err.h"

#define KEY_ID_MAX  60   /* bytes, with the NUL */
#define KEY_PEM_MAX 4096 /* bytes of a key's file */

/* The id of the key in the file at `path` (PEM, PKCS #8), which is made (mode 0600) if it is not
 * there; of several processes that find none, one makes it and all get the same. -EBADMSG: what
 * the file holds is no P-256 private key; -EACCES: others may read it. */
int key_file(const char *path, char ret_id[KEY_ID_MAX], struct wharf_error *e);

#endif
