#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""./dev bench: Signet's speed and memory, beside what this machine does without it, in one run.

Every figure of Signet is of closed-loop clients over the daemon's socket, measured by
`signet bench`. Beside it stand what other people's software does in the same run, and three ratios:
to an echo server on libnng's streams with the same framing and as many clients (what the transport
leaves), to an echo server on gRPC with messages of the same size, and to OpenSSL alone on the same
cores (what the cryptography leaves). Nothing here is asserted; it is to be read. Peers that are not
installed are named and left out.

As root, also what one user has of the daemon while two others attack it: flood.py.
"""
import argparse
import json
import os
import pathlib
import platform
import resource
import tempfile

from compare import ratios
from flood import measure_flood, print_flood
from local import measure_local
from peers import measure_crypto, measure_echo, measure_peers
from plots import write_plots
from processes import end_servers_on_signals, progress
from signet_rpc import KEYSETS, measure_memory, measure_signet
from table import print_ratios, print_table


def machine():
    model = "unknown processor"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {"processor": model, "cores": len(os.sched_getaffinity(0)),
            "kernel": platform.release()}


def main():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--quick", dest="seconds", action="store_const", const=0.3, default=3,
                        help="0.3 s a figure instead of 3")
    parser.add_argument("--seconds", type=float, help="so long a figure")
    parser.add_argument("--keyset", action="append", choices=KEYSETS,
                        help="only this keyset; may be repeated")
    parser.add_argument("--flood", action="store_true",
                        help="only what one user has while others attack; takes root")
    parser.add_argument("--plots", type=pathlib.Path, metavar="DIR",
                        help="also draw throughput.svg and latency.svg in DIR")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE",
                        help="also write the figures to FILE")
    options = parser.parse_args()
    if options.flood and options.plots:
        parser.error("--plots draws what --flood leaves out")
    seconds = options.seconds
    programs = options.build / "bin"
    tools = options.build / "tests" / "bench"

    end_servers_on_signals()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    about = machine()
    with tempfile.TemporaryDirectory(prefix="signet-bench.") as name:
        directory = pathlib.Path(name)
        result = {
            "machine": about,
            "seconds": seconds,
            "flood": measure_flood(programs, tools, directory, seconds),
        }
        result |= {} if options.flood else {
            "openssl": measure_crypto(tools, seconds, about["cores"]),
            "echo": {kind: measure_echo(tools, directory, seconds, kind)
                     for kind in ("unix", "nng")},
            "peers": measure_peers(tools, directory, seconds),
            "signet": measure_signet(programs, directory, seconds, options.keyset or KEYSETS),
            "local": measure_local(programs, tools, directory, seconds),
            "memory": measure_memory(programs, directory),
        }
    progress("")
    if not options.flood:
        result["ratios"] = ratios(result)
        print_table(result)
    print_flood(result["flood"])
    if not options.flood:
        print_ratios(result["ratios"])
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    if options.plots:
        write_plots(result, options.plots)


if __name__ == "__main__":
    main()
