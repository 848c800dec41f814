# SPDX-License-Identifier: Apache-2.0
"""What Signet does: its calls over the socket, measured by `signet bench`, and the memory it takes.
"""
import contextlib
import itertools
import json
import os
import pathlib
import shutil

from processes import connect, fail, output_of, progress, running

CLIENTS = (1, 16)  # of batches, and of whatever stands beside Signet
THREADS = (1, 4, 16, 64)
BATCHES = (1, 16, 256)
IDLE_CONNECTIONS = 1000
PATIENCE = "60s"  # a queue that the bench itself makes is no reason to refuse

SINGLE = ("sign", "verify")
BATCH = ("batch-sign", "batch-verify")
NEW = "verify-new"  # of HMACs only, which the daemon remembers
OPERATIONS = SINGLE + (NEW,) + BATCH

# Keyset -> what OpenSSL does for one token: signing, verifying.
KEYSETS = {
    "demo-hs256": ("hs256", "hs256"),
    "demo-es256": ("es256-sign", "es256-verify"),
    "demo-eddsa": ("eddsa-sign", "eddsa-verify"),
    "demo-rs256": ("rs256-sign", "rs256-verify"),
    "demo-ps256": ("ps256-sign", "ps256-verify"),
}


@contextlib.contextmanager
def daemon(programs, directory, *arguments, prefix=()):
    """(process, socket path) of a signetd, started by the command of prefix."""
    runtime = directory / "run"
    runtime.mkdir(mode=0o700)
    path = runtime / "signet.sock"
    with running(path, *prefix, programs / "signetd", "--runtime-dir", runtime,
                 *arguments) as server:
        yield server, path
    shutil.rmtree(runtime)


def resident_kib(process):
    for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return fail("the daemon has no VmRSS")


def measure_calls(programs, path, seconds, keyset, threads, operations, batch=1):
    """What `signet bench --json` says: one object an operation."""
    options = [part for name in operations for part in ("--op", name)]
    lines = output_of(programs / "signet", "bench", "--json", "--address", f"ipc://{path}",
                      "--timeout", PATIENCE, "--keyset", keyset, "--threads", threads, "--batch",
                      batch, "--duration", f"{int(seconds * 1000)}ms", *options)
    return [json.loads(line) for line in lines.splitlines()]


def measure_signet(programs, directory, seconds, keysets):
    """All rows of measure_calls."""
    rows = []
    with daemon(programs, directory, "--dev") as (_, path):
        for keyset, threads in itertools.product(keysets, THREADS):
            progress(f"signetd, {keyset}, {threads} thread(s)")
            rows += measure_calls(programs, path, seconds, keyset, threads,
                                  SINGLE + (NEW,) if keyset == "demo-hs256" else SINGLE)
        for keyset, batch, threads in itertools.product(keysets, BATCHES, CLIENTS):
            progress(f"signetd, {keyset}, batches of {batch}, {threads} thread(s)")
            rows += measure_calls(programs, path, seconds, keyset, threads, BATCH, batch)
    return rows


def idle_configuration(directory):
    """As --dev, but one user may have all the connections; its path."""
    lines = ["keystore:", "  key: ephemeral", "limits:", "  max_connections: 2048",
             "  max_connections_per_uid: 2048", "grants:", "  - name: all", "    who: {anybody: true}",
             "    may: [sign, verify]", "    keysets: [\"*\"]", "keysets:"]
    for keyset in KEYSETS:
        alg = "EdDSA" if keyset == "demo-eddsa" else keyset.removeprefix("demo-").upper()
        lines += [f"  - name: {keyset}", f"    alg: {alg}", "    issuer: https://bench.invalid"]
    path = directory / "signet.yaml"
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return path


def measure_memory(programs, directory):
    arguments = ["--config", idle_configuration(directory)]
    if os.geteuid() == 0:
        arguments += ["--user", "root"]
    with daemon(programs, directory, *arguments) as (server, path):
        idle = resident_kib(server)
        progress(f"{IDLE_CONNECTIONS} idle connections")
        connections = []
        for _ in range(IDLE_CONNECTIONS):
            connection = connect(path)
            if connection is None:
                fail(f"the daemon took {len(connections)} of {IDLE_CONNECTIONS} connections")
            connections.append(connection)
        connected = resident_kib(server)
        for connection in connections:
            connection.close()
    return {"idle_kib": idle, "connected_kib": connected, "connections": IDLE_CONNECTIONS,
            "per_connection_kib": (connected - idle) / IDLE_CONNECTIONS}
