/* SPDX-License-Identifier: Apache-2.0
 *
 * What gRPC for C++ does with messages of our sizes on a Unix socket and nothing behind: its synchronous server
 * with the defaults that it has.
 *
 *     echo_grpc SOCKET_PATH      until it is killed
 */
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <memory>
#include <string>

#include "grpc_echo.grpc.pb.h"

namespace {

class EchoService final : public signet::bench::EchoService::Service {
    grpc::Status Echo(grpc::ServerContext * /*context*/, const signet::bench::EchoRequest *request,
                      signet::bench::EchoResponse *response) override
    {
        /* substr gives no more than there is. */
        response->set_body(request->body().substr(0, request->answer_len()));
        return grpc::Status::OK;
    }
};

} // namespace

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)std::fprintf(stderr, "usage: %s SOCKET_PATH\n", argv[0]);
        return 2;
    }
    EchoService service;
    grpc::ServerBuilder builder;
    builder.AddListeningPort(std::string("unix:") + argv[1], grpc::InsecureServerCredentials());
    builder.RegisterService(&service);
    const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
    if (server == nullptr) {
        (void)std::fprintf(stderr, "%s: gRPC cannot listen there\n", argv[1]);
        return 1;
    }
    server->Wait();
    return 0;
}
