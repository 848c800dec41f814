# SPDX-License-Identifier: Apache-2.0
"""What one user has of the daemon while two others attack it; takes root.

One asks for RS4096 signatures on 64 connections whatever it is answered, one connects, sends noise and closes in
a loop; both as fast as they can, on the same processors. The victim verifies HS256 tokens, quiet and attacked in
turn, and the medians of both are compared. Its fair share is half of what it has alone: two attackers want all
there is, but what it does wants no more than one processor at a time.
"""
import contextlib
import json
import os
import subprocess
import sys
import time

from processes import START_SECONDS, fail, output_of, progress
from signet_rpc import daemon
from table import number

# No users need be there: only numbers count.
SIGNER, VANDAL, VICTIM = 61001, 61002, 61003
FLOOD_CONNECTIONS = 64
FLOOD_DEPTH = 4
FLOOD_ROUNDS = 5
FLOOD_NICE = ("nice", "-n", "-10")  # as signetd.service has it
FLOOD_SHARE = 0.5
FLOOD_BEGIN_SECONDS = 1


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
