# SPDX-License-Identifier: Apache-2.0
"""What Signet does in the caller's process: verification by the trust board, the verdict cache, and how
soon a revocation reaches it.
"""
import os

from peers import load_figures
from processes import output_of, progress
from signet_rpc import daemon

REVOCATIONS = (0, 10, 1000, 100_000, 1_000_000)
KEYS = (1, 100, 10_000)
# Name in local_load -> name for people.
ALGORITHMS = {"es256": "ES256", "eddsa": "Ed25519", "rs256": "RS256 (2048)", "ps256": "PS256 (2048)"}
REACH_KEYSET = "demo-es256"
REACH_REVOCATIONS = 2000


def revocations_for(seconds):
    """A million take a while to be made."""
    return REVOCATIONS if seconds >= 0.3 else REVOCATIONS[:2]


def measure_verify(tools, seconds, keys, revocations):
    """{name: figure} of local_load."""
    lines = output_of(tools / "local_load", seconds, keys, revocations).splitlines()
    return {name: float(value) for name, value in (line.split() for line in lines)}


def measure_hits(tools, seconds):
    """{revocations: {threads: figures}}"""
    threads = sorted({1, min(2, len(os.sched_getaffinity(0)))})
    figures = {}
    for revocations in (0, revocations_for(seconds)[-1]):
        progress(f"verdict cache, {revocations} revocations")
        figures[revocations] = {
            num: load_figures(output_of(tools / "cache_load", num, seconds, revocations))
            for num in threads}
    return figures


def measure_reach(programs, tools, directory, seconds):
    """How long revocations take, and until another process refuses the token."""
    num = REACH_REVOCATIONS if seconds >= 1 else 50
    with daemon(programs, directory, "--dev") as (_, path):
        progress(f"{num} revocations")
        fields = output_of(tools / "revoke_load", f"ipc://{path}", REACH_KEYSET, num).split()
    names = ("per_second", "call_p50_us", "call_p99_us", "seen_p50_us", "seen_p99_us", "late")
    return dict(zip(names, map(float, fields))) | {"revocations": num}


def measure_local(programs, tools, directory, seconds):
    by_revocations = {}
    for num in revocations_for(seconds):
        progress(f"libsignet-local, {num} revocations")
        by_revocations[num] = measure_verify(tools, seconds, 0, num)
    by_keys = {}
    for num in KEYS if seconds >= 0.3 else KEYS[:1]:
        progress(f"libsignet-local, {num} keys")
        by_keys[num] = measure_verify(tools, seconds, num, 0)
    return {"by_revocations": by_revocations, "by_keys": by_keys,
            "hits": measure_hits(tools, seconds),
            "reach": measure_reach(programs, tools, directory, seconds)}
