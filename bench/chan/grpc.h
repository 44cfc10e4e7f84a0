/* SPDX-License-Identifier: Apache-2.0 */
/* One end of a gRPC stream, for C: see grpc.cpp. Any failure ends the process. */
#ifndef BENCH_CHAN_GRPC_H
#define BENCH_CHAN_GRPC_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

void *grpc_side_new(bool server);
void grpc_side_send(void *side, const void *data, size_t size);
size_t grpc_side_recv(void *side);

#ifdef __cplusplus
}
#endif
#endif
