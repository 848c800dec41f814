# SPDX-License-Identifier: Apache-2.0
"""Any language, any nng client: stock protoc's Python classes make the requests and read the
answers, and nng's own nngcat carries them."""

import argparse
import os
import sys
import tempfile

import harness
from harness import check

NNGCAT_TIMEOUT_S = "20"


def import_protos(proto_dir, out_dir):
    """Compiles the contract with stock protoc and imports it."""
    harness.need_program("protoc", "protobuf-compiler")
    files = [os.path.join(folder, name)
             for folder, _, names in os.walk(proto_dir)
             for name in names if name.endswith(".proto")]
    result = harness.run(["protoc", "-I", proto_dir, "--python_out", out_dir, *sorted(files)])
    check(result.returncode == 0, f"protoc: {result.stderr}")
    sys.path.insert(0, out_dir)
    try:
        from signet.rpc.v1 import rpc_pb2
        from signet.v1 import health_pb2, token_pb2
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("google"):
            raise harness.Missing(
                "google.protobuf is not there; install the Debian package python3-protobuf")
        raise
    return rpc_pb2, health_pb2, token_pb2


class Nngcat:
    """One call is one run of nngcat."""

    def __init__(self, address, scratch, rpc_pb2):
        harness.need_program("nngcat", "nng-utils")
        self._address = address
        self._request_file = os.path.join(scratch, "request.bin")
        self._rpc = rpc_pb2

    def exchange(self, request_bytes):
        """Whatever bytes, as one REQ message; the envelope of the answer."""
        with open(self._request_file, "wb") as file:
            file.write(request_bytes)
        result = harness.run(
            ["nngcat", "--req", "--dial", self._address, "--file", self._request_file, "--raw",
             "--recv-timeout", NNGCAT_TIMEOUT_S, "--send-timeout", NNGCAT_TIMEOUT_S],
            stdin=b"")
        check(result.returncode == 0, f"nngcat: {result.stderr!r}")
        response = self._rpc.Response()
        response.ParseFromString(result.stdout)
        return response

    def call(self, method, message, answer_type):
        request = self._rpc.Request(method=method, timeout_ms=10000,
                                    payload=message.SerializeToString())
        response = self.exchange(request.SerializeToString())
        outcome = response.WhichOneof("outcome")
        check(outcome == "payload", f"{method}: {outcome or 'no outcome'} {response.status}")
        answer = answer_type()
        answer.ParseFromString(response.payload)
        return answer


def check_health(nngcat, health):
    answer = nngcat.call("signet.v1.HealthService/Check", health.HealthCheckRequest(),
                         health.HealthCheckResponse)
    check(answer.status == health.HealthCheckResponse.SERVING, f"health: {answer}")


def check_sign_and_verify(nngcat, token):
    signed = nngcat.call(
        "signet.v1.TokenService/Sign",
        token.SignRequest(keyset="demo-es256", subject="alice", audience=["orders"], ttl_s=60,
                          claims_json='{"role":"admin","n":42}'),
        token.SignResponse)
    check(signed.expires_at - signed.issued_at == 60, f"life of the token: {signed}")

    good = nngcat.call("signet.v1.TokenService/Verify",
                       token.VerifyRequest(token=signed.token, audiences=["orders"]),
                       token.VerifyResponse)
    check(good.WhichOneof("outcome") == "token", f"a good token: {good}")
    check(good.token.subject == "alice" and good.token.kid == signed.kid, f"claims: {good}")
    claims = {claim.name: getattr(claim, claim.WhichOneof("value")) for claim in good.token.claims}
    check(claims == {"role": "admin", "n": 42}, f"other claims: {claims}")

    wrong = nngcat.call("signet.v1.TokenService/Verify",
                        token.VerifyRequest(token=signed.token, audiences=["billing"]),
                        token.VerifyResponse)
    check(wrong.WhichOneof("outcome") == "rejection" and
          wrong.rejection.reason == token.WRONG_AUDIENCE, f"a wrong audience: {wrong}")


def check_bad_requests(nngcat, rpc):
    invalid_argument, unimplemented = 3, 12
    cases = {
        "garbage": (b"\xff\xff\xff\xff\x00\x7f", invalid_argument),
        "a method that is not there":
            (rpc.Request(method="signet.v1.TokenService/Export").SerializeToString(),
             unimplemented),
        "a message that cannot be decoded":
            (rpc.Request(method="signet.v1.TokenService/Sign",
                         payload=b"\x0a\xff").SerializeToString(), invalid_argument),
    }
    for name, (request, code) in cases.items():
        response = nngcat.exchange(request)
        check(response.WhichOneof("outcome") == "status" and response.status.code == code,
              f"{name}: expected code {code}, got {response}")
        check(response.status.reason and response.status.message, f"{name}: says nothing")


def body():
    parser = argparse.ArgumentParser()
    parser.add_argument("--daemon", required=True)
    parser.add_argument("--proto", required=True)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="signet-") as scratch:
        rpc, health, token = import_protos(args.proto, scratch)
        with harness.Daemon(args.daemon, "--dev") as daemon:
            nngcat = Nngcat(daemon.address, scratch, rpc)
            check_health(nngcat, health)
            check_sign_and_verify(nngcat, token)
            check_bad_requests(nngcat, rpc)
            check_health(nngcat, health)
    print("nngcat: health, sign, verify, a wrong audience and 3 bad requests are answered as they "
          "must be")


harness.main(body)
