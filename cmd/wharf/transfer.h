/* SPDX-License-Identifier: Apache-2.0 */
/* Pulling, for commands that need an image. */
#ifndef WHARF_TRANSFER_H
#define WHARF_TRANSFER_H

#include <stdio.h>
#include "cmd/wharf/cli.h"

int pull_image(struct cli *cli, const struct registry_options *o, const char *reference, FILE *out);

#endif
