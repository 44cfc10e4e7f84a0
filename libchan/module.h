/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the libraries of dialects and layers (libchan-spdy, -tls, -websocket) call of this one,
 * beside chan.h. A dynamic symbol may clash with one of the program's own, so there these functions
 * carry the library's prefix. Not for others: the libraries are built together, of one version.
 */
#ifndef LIBCHAN_MODULE_H
#define LIBCHAN_MODULE_H

#include "chan.h"

#define FOR_MODULES(name) __asm__("chan_private_" name) CHAN_API

#endif
