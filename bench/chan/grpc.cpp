// SPDX-License-Identifier: Apache-2.0
// gRPC as a subject of chan-bench: one bidirectional stream of byte buffers over a unix socket.
// Each side lives in a process of its own and is made after the fork, as gRPC demands.
#include <cstdlib>
#include <memory>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include "bench/chan/grpc.h"

namespace
{
const char address[] = "unix-abstract:chan-bench-grpc";

struct Side {
    std::unique_ptr<grpc::Server> server;
    grpc::AsyncGenericService service;
    std::unique_ptr<grpc::ServerCompletionQueue> server_queue;
    grpc::CompletionQueue client_queue;
    grpc::CompletionQueue *queue = nullptr;
    grpc::GenericServerContext server_context;
    grpc::ClientContext client_context;
    std::unique_ptr<grpc::GenericStub> stub;
    std::unique_ptr<grpc::GenericServerAsyncReaderWriter> in_server;
    std::unique_ptr<grpc::GenericClientAsyncReaderWriter> in_client;

    void wait()
    {
        void *tag;
        bool ok = false;

        if (!queue->Next(&tag, &ok) || !ok)
            abort();
    }
};
} // namespace

void *grpc_side_new(bool server)
{
    auto side = new Side;

    if (server) {
        grpc::ServerBuilder builder;

        builder.AddListeningPort(address, grpc::InsecureServerCredentials());
        builder.RegisterAsyncGenericService(&side->service);
        side->server_queue = builder.AddCompletionQueue();
        side->queue = side->server_queue.get();
        side->server = builder.BuildAndStart();
        side->in_server.reset(new grpc::GenericServerAsyncReaderWriter(&side->server_context));
        side->service.RequestCall(&side->server_context, side->in_server.get(), side->queue,
                                  side->server_queue.get(), side);
    } else {
        auto channel = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());

        side->client_context.set_wait_for_ready(true);
        side->queue = &side->client_queue;
        side->stub.reset(new grpc::GenericStub(channel));
        side->in_client =
            side->stub->PrepareCall(&side->client_context, "/chan/bench", side->queue);
        side->in_client->StartCall(side);
    }
    side->wait();
    return side;
}

void grpc_side_send(void *object, const void *data, size_t size)
{
    auto side = static_cast<Side *>(object);
    grpc::Slice slice(data, size);
    grpc::ByteBuffer bytes(&slice, 1);

    if (side->in_server)
        side->in_server->Write(bytes, side);
    else
        side->in_client->Write(bytes, side);
    side->wait();
}

size_t grpc_side_recv(void *object)
{
    auto side = static_cast<Side *>(object);
    grpc::ByteBuffer bytes;

    if (side->in_server)
        side->in_server->Read(&bytes, side);
    else
        side->in_client->Read(&bytes, side);
    side->wait();
    return bytes.Length();
}
