# SPDX-License-Identifier: Apache-2.0
"""Other people's software on this machine: OpenSSL alone, libjwt in process, echo servers on a Unix socket
(plain, libnng's streams, gRPC), and MUNGE. Servers are our own processes on sockets in a temporary directory.
"""
import os
import secrets
import shutil
import sys

from processes import output_of, progress, reach, running
from signet_rpc import CLIENTS, THREADS

LIBJWT = ("encode", "verify")
MUNGE = ("encode", "decode")
MUNGED_THREADS = 2  # at least; munged's own default


def load_figures(line):
    """What the program of a load (load.h) printed."""
    names = ("per_second", "p50_us", "p90_us", "p99_us", "p999_us")
    return dict(zip(names, map(float, line.split()), strict=True))


def measure_crypto(tools, seconds, cores):
    """{threads: {name: operations per second}}"""
    rates = {}
    for threads in sorted({min(number, cores) for number in THREADS}):
        progress(f"OpenSSL, {threads} thread(s)")
        lines = output_of(tools / "bench_crypto", seconds, threads).splitlines()
        rates[threads] = {name: float(rate) for name, rate in map(str.split, lines)}
    return rates


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


# ---- Those that need not be there ----

def measure_grpc(tools, directory, seconds):
    """{clients: figures}"""
    path = directory / "echo-grpc"
    figures = {}
    with running(path, tools / "echo_grpc", path, probe=reach):
        for clients in CLIENTS:
            progress(f"gRPC echo, {clients} client(s)")
            figures[clients] = load_figures(
                output_of(tools / "grpc_load", path, clients, seconds))
    return figures


def measure_libjwt(tools, _, seconds):
    """{operation: {threads: figures}}"""
    figures = {operation: {} for operation in LIBJWT}
    for operation in LIBJWT:
        for threads in sorted({1, len(os.sched_getaffinity(0))}):
            progress(f"libjwt {operation}, {threads} thread(s)")
            figures[operation][threads] = load_figures(
                output_of(tools / "jwt_load", operation, threads, seconds))
    return figures


def munged():
    """Debian has it where not everybody's PATH leads; None if it is not there."""
    return shutil.which("munged", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")


def munged_command(directory):
    """(socket path, command) of a munged with a key of its own, which keeps all it has in directory."""
    key = directory / "key"
    with open(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(128))
    path = directory / "socket"
    threads = max(MUNGED_THREADS, len(os.sched_getaffinity(0)))
    # --force: it would rather have its socket where everybody gets to.
    return path, (munged(), "--foreground", "--force", "--num-threads", threads, "--socket", path,
                  "--key-file", key, "--pid-file", directory / "pid", "--log-file",
                  directory / "log", "--seed-file", directory / "seed")


def measure_munge(tools, directory, seconds):
    """{operation: {threads: figures}}"""
    own = directory / "munge"
    own.mkdir(mode=0o700)
    path, command = munged_command(own)
    figures = {operation: {} for operation in MUNGE}
    with running(path, *command, probe=reach):
        for operation in MUNGE:
            for threads in CLIENTS:
                progress(f"MUNGE {operation}, {threads} thread(s)")
                figures[operation][threads] = load_figures(
                    output_of(tools / "munge_load", path, operation, threads, seconds))
    return figures


# Name in figures -> name for people, our programs that it takes, and what measures it.
PEERS = {
    "grpc": ("gRPC", ("echo_grpc", "grpc_load"), measure_grpc),
    "munge": ("MUNGE", ("munge_load",), measure_munge),
    "libjwt": ("libjwt", ("jwt_load",), measure_libjwt),
}


def what_is_missing(tools, peer):
    _, programs, _ = PEERS[peer]
    missing = [f"no {tools / program}" for program in programs if not (tools / program).exists()]
    if peer == "munge" and munged() is None:
        missing.append("no munged")
    return missing


def measure_peers(tools, directory, seconds):
    """{peer: figures}, without those that are not there, which are named."""
    figures = {}
    for peer, (title, _, measure) in PEERS.items():
        missing = what_is_missing(tools, peer)
        if missing:
            progress("")
            print(f"bench: MISSING: {title} is not measured, there is {' and '.join(missing)}; "
                  "./dev bench installs and builds it", file=sys.stderr)
        else:
            figures[peer] = measure(tools, directory, seconds)
    return figures
