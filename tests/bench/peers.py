# SPDX-License-Identifier: Apache-2.0
"""What this machine does without Signet: OpenSSL alone, and echo servers on a Unix socket.
"""
from processes import output_of, progress, running
from signet_rpc import CLIENTS


def measure_crypto(tools, seconds, cores):
    """{threads: {name: operations per second}}"""
    rates = {}
    for threads in sorted({1, cores}):
        progress(f"OpenSSL, {threads} thread(s)")
        lines = output_of(tools / "bench_crypto", seconds, threads).splitlines()
        rates[threads] = {name: float(rate) for name, rate in map(str.split, lines)}
    return rates


def load_figures(line):
    """What the program of a load (load.h) printed."""
    names = ("per_second", "p50_us", "p90_us", "p99_us", "p999_us")
    return dict(zip(names, map(float, line.split()), strict=True))


def measure_echo(tools, directory, seconds, kind):
    """{clients: figures}"""
    path = directory / f"echo-{kind}"
    options = ("--plain",) if kind == "unix" else ()
    figures = {}
    with running(path, tools / f"echo_{kind}", path):
        for clients in CLIENTS:
            progress(f"{kind} echo, {clients} client(s)")
            figures[clients] = load_figures(
                output_of(tools / "echo_load", path, clients, seconds, *options))
    return figures
