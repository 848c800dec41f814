/* SPDX-License-Identifier: Apache-2.0
 *
 * Clients of echo_grpc: blocking stubs in threads, each with one call under way at a time.
 *
 *     grpc_load SOCKET_PATH THREADS SECONDS
 *
 * prints what load_run prints. Each thread has a channel, and so a connection, of its own: with 16 threads that is
 * faster than one channel for all of them.
 */
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "grpc_echo.grpc.pb.h"
#include "tests/bench/load.h"

namespace {

/* The messages of TokenService.Verify for an HS256 token of signet bench, without the envelope: what that is for us,
 * gRPC has in its headers. */
constexpr std::size_t echo_request_len = 346;
constexpr std::size_t echo_answer_len = 297;
constexpr std::chrono::seconds echo_timeout(5);

std::string echo_address; /* written before threads are started */

struct EchoClient {
    std::unique_ptr<signet::bench::EchoService::Stub> stub;
    signet::bench::EchoRequest request;
};

std::shared_ptr<grpc::Channel> echo_connect()
{
    grpc::ChannelArguments arguments;
    /* Or channels of the same arguments would share one connection. */
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(echo_address, grpc::InsecureChannelCredentials(), arguments);
}

enum load_verdict echo_call(void *state)
{
    const auto *client = static_cast<const EchoClient *>(state);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + echo_timeout);
    signet::bench::EchoResponse response;
    const grpc::Status status = client->stub->Echo(&context, client->request, &response);
    if (!status.ok()) {
        (void)std::fprintf(stderr, "gRPC: %s\n", status.error_message().c_str());
        return LOAD_FAILED;
    }
    return response.body().size() == echo_answer_len ? LOAD_DONE : LOAD_FAILED;
}

void echo_close(void *state)
{
    delete static_cast<EchoClient *>(state);
}

void *echo_open()
{
    auto client = std::make_unique<EchoClient>();
    client->stub = signet::bench::EchoService::NewStub(echo_connect());
    client->request.set_body(std::string(echo_request_len, 'e'));
    client->request.set_answer_len(echo_answer_len);
    /* Connects; not measured. */
    return echo_call(client.get()) == LOAD_DONE ? client.release() : nullptr;
}

} // namespace

int main(int argc, char **argv)
{
    static const struct load load = {echo_open, echo_call, echo_close};
    const unsigned long num = argc == 4 ? std::strtoul(argv[2], nullptr, 10) : 0;
    const double seconds = argc == 4 ? std::strtod(argv[3], nullptr) : 0;
    if (num < 1 || num > LOAD_MAX_THREADS || seconds <= 0) {
        (void)std::fprintf(stderr, "usage: %s SOCKET_PATH THREADS SECONDS\n", argv[0]);
        return 2;
    }
    echo_address = std::string("unix:") + argv[1];
    return load_run(&load, num, seconds);
}
