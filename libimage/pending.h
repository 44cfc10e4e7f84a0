/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is published, but perhaps not on the disk yet. Making an image durable before a load or pull
 * returns costs more than all the rest of it (twice the image through the disk), and a kill cannot
 * hurt what the kernel has. So before things get their names, `layers/pending` says which they are
 * and in which run of the machine that was; it is synced, they are not. Whoever opens the store
 *  - in the same run, a minute later: the kernel has written most; one syncfs, the record is empty;
 *  - in another run, so after a power cut: checks each blob against its digest and removes what is
 *    damaged, removes the unpacked layers (the next root makes them again), empties the record.
 * The record is its own lock, so it is emptied, never removed.
 */
#ifndef LIBIMAGE_PENDING_H
#define LIBIMAGE_PENDING_H

#include "libimage/store.h"

/* Notes what an intake is about to publish; all of it is written by now. */
int pending_add(struct image_store *store, char *const *blobs, char *const *layers,
                struct wharf_error *e);
/* Brings the record to an end if it can be, see above. Cheap when there is nothing. */
int pending_check(struct image_store *store, struct wharf_error *e);

#endif
