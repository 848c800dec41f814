#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""./dev bench: Signet's speed and memory, beside what this machine does without it, in one run.

Every figure of Signet is of closed-loop clients over the daemon's socket, measured by
`signet bench`. Beside it stand two ratios from the same run: to an echo server on libnng's streams
with the same framing and as many clients (what the transport leaves), and to OpenSSL alone on the
same cores (what the cryptography leaves). Nothing here is asserted; it is to be read.

As root, also what one user has of the daemon while two others attack it: one asks for RS4096 signatures on
64 connections whatever it is answered, one connects, sends noise and closes in a loop; both as fast as they
can, on the same processors. The victim verifies HS256 tokens, quiet and attacked in turn, and the medians of
both are compared. Its fair share is half of what it has alone: two attackers want all there is, but what
it does wants no more than one processor at a time.
"""
import argparse
import contextlib
import itertools
import json
import os
import pathlib
import platform
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

CLIENTS = (1, 16)
BATCH = 64
IDLE_CONNECTIONS = 1000
GREETING = b"\x00SP\x00\x00\x30\x00\x00"
ANSWER = b"\x00SP\x00\x00\x31\x00\x00"
START_SECONDS = 10

# No users need be there: only numbers count.
SIGNER, VANDAL, VICTIM = 61001, 61002, 61003
FLOOD_CONNECTIONS = 64
FLOOD_DEPTH = 4
FLOOD_ROUNDS = 5
FLOOD_NICE = ("nice", "-n", "-10")  # as signetd.service has it
FLOOD_SHARE = 0.5
FLOOD_BEGIN_SECONDS = 1

OPERATIONS = ("sign", "verify", "batch-sign", "batch-verify")

# Keyset -> what OpenSSL does for one token: signing, verifying.
KEYSETS = {
    "demo-hs256": ("hs256", "hs256"),
    "demo-es256": ("es256-sign", "es256-verify"),
    "demo-eddsa": ("eddsa-sign", "eddsa-verify"),
    "demo-rs256": ("rs256-sign", "rs256-verify"),
    "demo-ps256": ("ps256-sign", "ps256-verify"),
}


def fail(message):
    sys.exit(f"bench: {message}")


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def output_of(*command, timeout=600):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True,
                          timeout=timeout, check=False)
    if done.returncode != 0:
        fail(f"{' '.join(map(str, command))} ended with status {done.returncode}")
    return done.stdout


# ---- Servers ----

def connect(path):
    """A greeted connection; None if nobody answers yet."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(START_SECONDS)
        sock.connect(str(path))
        sock.sendall(GREETING)
        if sock.recv(len(ANSWER), socket.MSG_WAITALL) in (ANSWER, GREETING):
            return sock
    except (FileNotFoundError, ConnectionRefusedError):
        pass
    sock.close()
    return None


@contextlib.contextmanager
def running(path, *command):
    """The server that listens at path; ended on the way out."""
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL,
                                  stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + START_SECONDS
            while (probe := connect(path)) is None:
                if server.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    fail(f"{command[0]} did not start\n{log.read()}")
                time.sleep(0.01)
            probe.close()
            yield server
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


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


# ---- What is measured ----

def measure_crypto(tools, seconds, cores):
    """{threads: {name: operations per second}}"""
    rates = {}
    for threads in sorted({1, cores}):
        progress(f"OpenSSL, {threads} thread(s)")
        lines = output_of(tools / "bench_crypto", seconds, threads).splitlines()
        rates[threads] = {name: float(rate) for name, rate in map(str.split, lines)}
    return rates


def measure_echo(tools, directory, seconds, kind):
    """{clients: (rate, p50, p99)}"""
    path = directory / f"echo-{kind}"
    options = ("--plain",) if kind == "unix" else ()
    figures = {}
    with running(path, tools / f"echo_{kind}", path):
        for clients in CLIENTS:
            progress(f"{kind} echo, {clients} client(s)")
            line = output_of(tools / "echo_load", path, clients, seconds, *options)
            figures[clients] = tuple(float(figure) for figure in line.split())
    return figures


def measure_signet(programs, directory, seconds, keysets):
    """What `signet bench --json` says: one object a run."""
    rows = []
    operations = [part for name in OPERATIONS for part in ("--op", name)]
    with daemon(programs, directory, "--dev") as (_, path):
        for keyset, clients in itertools.product(keysets, CLIENTS):
            progress(f"signetd, {keyset}, {clients} client(s)")
            lines = output_of(programs / "signet", "bench", "--json", "--address", f"ipc://{path}",
                              "--keyset", keyset, "--duration", f"{int(seconds * 1000)}ms",
                              "--batch", BATCH, "--threads", clients, *operations)
            rows.extend(json.loads(line) for line in lines.splitlines())
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


# ---- One user against others ----

def flood_configuration(directory):
    path = directory / "signet.yaml"
    path.write_text("\n".join((
        "keystore:", "  key: ephemeral", 'socket_mode: "0666"', "keysets:",
        "  - name: victim", "    alg: HS256", "    issuer: https://bench.invalid",
        "  - name: slow", "    alg: RS256", "    rsa_bits: 4096",
        "    issuer: https://bench.invalid",
        "grants:", "  - name: flood", f"    who: {{user: {SIGNER}}}", "    may: [sign]",
        "    keysets: [slow]",
        "  - name: victim", f"    who: {{user: {VICTIM}}}", "    may: [sign, verify]",
        "    keysets: [victim]", "")))
    path.chmod(0o600)
    return path


def as_user(uid, *command):
    return [str(part) for part in ("setpriv", "--reuid", uid, "--regid", uid, "--clear-groups",
                                   *command)]


@contextlib.contextmanager
def flooding(tools, path):
    """Both attackers at work; gives a list that holds what came of them on the way out."""
    attackers = [
        subprocess.Popen(as_user(uid, tools / "flood", path, *arguments), stdout=subprocess.PIPE,
                         text=True)
        for uid, arguments in ((SIGNER, ("sign", "slow", FLOOD_CONNECTIONS, FLOOD_DEPTH)),
                               (VANDAL, ("garbage",)))]
    came_of_it = []
    try:
        time.sleep(FLOOD_BEGIN_SECONDS)  # what they had saved up is gone
        yield came_of_it
    finally:
        names = ("sent", "answered", "errors", "connected", "not_connected")
        for attacker in attackers:
            attacker.terminate()
        for attacker in attackers:
            line, _ = attacker.communicate(timeout=START_SECONDS)
            counts = [int(word) for word in line.split()]
            if len(counts) != len(names) or counts[0] + counts[3] == 0:
                fail(f"an attacker did not attack: exit status {attacker.returncode}, \"{line}\"")
            came_of_it.append(dict(zip(names, counts)))


@contextlib.contextmanager
def computing():
    """As many other programs as attackers, which want a processor each and nothing of the daemon."""
    programs = [subprocess.Popen(as_user(uid, "/bin/sh", "-c", "while :; do :; done"))
                for uid in (SIGNER, VANDAL)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def measure_victim(programs, path, seconds):
    line = output_of(*as_user(VICTIM, programs / "signet", "bench", "--json", "--address",
                              f"ipc://{path}", "--keyset", "victim", "--op", "verify",
                              "--threads", 1, "--duration", f"{int(seconds * 1000)}ms"))
    return json.loads(line)


def median(rows, name):
    values = sorted(row[name] for row in rows)
    return values[len(values) // 2]


def measure_flood(programs, tools, directory, seconds):
    """None where it cannot be measured."""
    if os.geteuid() != 0:
        print("bench: SKIPPED: one user against others takes root, to be three of them",
              file=sys.stderr)
        return None
    directory.chmod(0o711)
    rounds = {"quiet": [], "attacked": [], "busy": []}
    attackers = []
    with daemon(programs, directory, "--config", flood_configuration(directory), "--user",
                "root", prefix=FLOOD_NICE) as (_, path):
        path.parent.chmod(0o711)
        for number in range(FLOOD_ROUNDS):
            progress(f"one user alone and attacked, {number + 1} of {FLOOD_ROUNDS}")
            rounds["quiet"].append(measure_victim(programs, path, seconds))
            with flooding(tools, path) as came_of_it:
                rounds["attacked"].append(measure_victim(programs, path, seconds))
            with computing():
                rounds["busy"].append(measure_victim(programs, path, seconds))
            attackers.append(came_of_it)
    figures = {when: {name: median(rows, name) for name in ("per_second", "p50_us", "p99_us")}
               for when, rows in rounds.items()}
    figures["p99_ratio"] = figures["attacked"]["p99_us"] / figures["quiet"]["p99_us"]
    figures["of_fair_share"] = (figures["attacked"]["per_second"] /
                                (FLOOD_SHARE * figures["quiet"]["per_second"]))
    figures["attackers"] = attackers
    return figures


# ---- The table ----

def machine():
    model = "unknown processor"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {"processor": model, "cores": len(os.sched_getaffinity(0)),
            "kernel": platform.release()}


HEADINGS = ("what", "clients", "per second", "p50 us", "p99 us", "/ nng echo", "/ OpenSSL")


def number(value, digits=0):
    return "" if value is None else f"{value:,.{digits}f}"


def ratio(value, reference):
    return value / reference if reference > 0 else None


def table_rows(result):
    rows = []
    for threads, rates in result["openssl"].items():
        for name, rate in rates.items():
            rows.append((f"OpenSSL {name}", threads, rate, None, None, None, None))
    for kind in ("unix", "nng"):
        for clients, (rate, p50, p99) in result["echo"][kind].items():
            share = ratio(rate, result["echo"]["nng"][clients][0])
            rows.append((f"echo, {kind}", clients, rate, p50, p99, share, None))
    most = max(result["openssl"])
    for row in sorted(result["signet"], key=lambda row: (list(KEYSETS).index(row["keyset"]),
                                                         OPERATIONS.index(row["op"]))):
        clients = row["threads"]
        echo = result["echo"]["nng"][clients][0]
        primitive = KEYSETS[row["keyset"]][0 if row["op"].endswith("sign") else 1]
        raw = result["openssl"][min(clients, most)][primitive]
        rate = row["per_second"]
        rows.append((f"{row['keyset']} {row['op']}", clients, rate, row["p50_us"], row["p99_us"],
                     ratio(rate, echo), ratio(rate, raw)))
    return rows


def print_table(result):
    about = result["machine"]
    print(f"{about['processor']}, {about['cores']} cores, Linux {about['kernel']}")
    print(f"{result['seconds']} s a figure; batches of {BATCH}, counted in tokens; "
          "a batch's latency is the whole batch's\n")
    lines = [HEADINGS]
    for what, clients, rate, p50, p99, echo, raw in table_rows(result):
        lines.append((what, str(clients), number(rate), number(p50), number(p99), number(echo, 2),
                      number(raw, 2)))
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADINGS))]
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        print("  ".join(cells).rstrip())
    memory = result["memory"]
    print(f"\nsignetd resident: {memory['idle_kib'] / 1024:.1f} MiB idle, "
          f"{memory['connected_kib'] / 1024:.1f} MiB with {memory['connections']:,} idle "
          f"connections ({memory['per_connection_kib']:.1f} KiB each)")


def print_flood(flood):
    if flood is None:
        return
    print(f"\nHS256 verify of one user, alone and beside one who floods with {FLOOD_CONNECTIONS} "
          "connections of RS4096 signing\nand one who floods with garbage (attacked), or beside two "
          "programs that only compute (busy):")
    for when in ("quiet", "attacked", "busy"):
        row = flood[when]
        print(f"  {when:<8}  {number(row['per_second']):>8} per second, p50 "
              f"{number(row['p50_us'])} us, p99 {number(row['p99_us'])} us")
    print(f"  p99 {flood['p99_ratio']:.2f} times the quiet one; {flood['of_fair_share']:.2f} of the "
          f"fair share, which is {FLOOD_SHARE} of the quiet rate")


def main():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--quick", dest="seconds", action="store_const", const=0.5, default=3,
                        help="0.5 s a figure instead of 3")
    parser.add_argument("--seconds", type=float, help="so long a figure")
    parser.add_argument("--keyset", action="append", choices=KEYSETS,
                        help="only this keyset; may be repeated")
    parser.add_argument("--flood", action="store_true",
                        help="only what one user has while others attack; takes root")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE",
                        help="also write the figures to FILE")
    options = parser.parse_args()
    seconds = options.seconds
    programs = options.build / "bin"
    tools = options.build / "tests" / "bench"

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
            "signet": measure_signet(programs, directory, seconds, options.keyset or KEYSETS),
            "memory": measure_memory(programs, directory),
        }
    progress("")
    if not options.flood:
        print_table(result)
    print_flood(result["flood"])
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
