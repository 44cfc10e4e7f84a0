/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nf_tables spoken directly (linux/netfilter/nf_tables.h): one transaction is one message of many
 * requests, which the kernel carries out whole or not at all.
 *
 *     struct nft *nft;
 *     nft_open(&nft, e);                               // of the caller's network namespace
 *     nft_begin(nft, "wharf");
 *     nft_element(nft, true, "bridges", key, 16, NULL, 0);
 *     nft_commit(nft, e);                              // -ENOENT: there is no such set
 *
 * Building never fails visibly: what went wrong comes out of nft_commit. Everything belongs to the
 * one table (of family inet) named at nft_begin.
 */
#ifndef NETWORK_NFT_H
#define NETWORK_NFT_H

#include "base/err.h"
#include "base/macros.h"

struct nft;

int nft_open(struct nft **ret, struct wharf_error *e);
void nft_close(struct nft *nft);
DEFINE_AUTO(struct nft, nft_close)

void nft_begin(struct nft *nft, const char *table);
/* Sends it all. 0, or the first error that the kernel gave; nothing has changed then. */
int nft_commit(struct nft *nft, struct wharf_error *e);

/* Whether the table is there. */
int nft_has_table(struct nft *nft, const char *table, struct wharf_error *e);

/* What an element of a map leads to: its bytes into `data` (`length` of them); 1, or 0 when there
 * is no such element, set or table. Not inside a transaction. */
int nft_find_element(struct nft *nft, const char *table, const char *set, const void *key,
                     size_t key_length, void *data, size_t length, struct wharf_error *e);

void nft_add_table(struct nft *nft);
void nft_delete_table(struct nft *nft); /* -ENOENT when there is none */

/* A set, or a map when data_length is not 0. The types are those of nft(8)'s own numbering, for its
 * listing alone: 6 bits a part. */
struct nft_set {
    const char *name;
    uint32_t key_type, key_length;
    uint32_t data_type, data_length;
    bool text; /* keys are strings: told to nft(8), which takes them for numbers otherwise */
};
void nft_add_set(struct nft *nft, const struct nft_set *set);

/* One element more or less; `data` NULL for sets. */
void nft_element(struct nft *nft, bool add, const char *set, const void *key, size_t key_length,
                 const void *data, size_t data_length);

/* A base chain. */
void nft_add_chain(struct nft *nft, const char *name, const char *type, uint32_t hook,
                   int32_t priority);

/* A rule: expressions between the two. Registers are 32-bit words, 0..15. */
void nft_rule(struct nft *nft, const char *chain);
void nft_rule_end(struct nft *nft);

void nft_meta(struct nft *nft, uint32_t key, unsigned reg);
void nft_payload(struct nft *nft, uint32_t base, uint32_t offset, uint32_t length, unsigned reg);
void nft_ct(struct nft *nft, uint32_t key, unsigned reg);
/* The type of the packet's destination: RTN_LOCAL ... */
void nft_fib_type(struct nft *nft, unsigned reg);
void nft_compare(struct nft *nft, bool equal, unsigned reg, const void *value, size_t length);
void nft_mask(struct nft *nft, unsigned reg, const void *mask, size_t length);
/* Is what begins at `reg` in the set? `data` >= 0: a map, whose answer goes there. */
void nft_lookup(struct nft *nft, const char *set, bool wanted, unsigned reg, int data);
void nft_dnat(struct nft *nft, int family, unsigned address, unsigned port);
void nft_masquerade(struct nft *nft);
void nft_verdict(struct nft *nft, int verdict); /* NF_ACCEPT, NF_DROP, NFT_RETURN */

#endif
