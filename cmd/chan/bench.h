/* SPDX-License-Identifier: Apache-2.0 */
/* Measures a round trip and a stream between two threads over a unix socket, and prints them. */
#ifndef CHAN_BENCH_H
#define CHAN_BENCH_H

#include "chan.h"

int bench(struct wharf_error *e);

#endif
