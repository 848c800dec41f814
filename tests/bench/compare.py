# SPDX-License-Identifier: Apache-2.0
"""Which figures are held against which, and the ratios that we aim at. Nothing fails because of them."""

# What we do, by how much it is to be more than what a peer does with as many threads.
GOALS = (
    ("gRPC echo", 16, 3),
    ("MUNGE decode", 16, 2),
    ("gRPC echo", 1, 1.3),
)
OURS = "HS256 verify"  # of tokens that pass several services: the daemon knows their MACs
OURS_NEW = "HS256 verify-new"  # of tokens that it meets for the first time


def ratio(value, reference):
    return value / reference if value is not None and reference else None


def contenders(result):
    """{name: {clients: figures}} of what does about the same work for its callers; only what was measured."""
    peers = result["peers"]
    ours = {op: {row["threads"]: row for row in result["signet"]
                 if row["alg"] == "HS256" and row["op"] == op} for op in ("verify", "verify-new")}
    everybody = {
        OURS: ours["verify"],
        OURS_NEW: ours["verify-new"],
        "Unix echo": result["echo"]["unix"],
        "nng echo": result["echo"]["nng"],
        "gRPC echo": peers.get("grpc", {}),
        "MUNGE decode": peers.get("munge", {}).get("decode", {}),
    }
    return {name: figures for name, figures in everybody.items() if figures}


def rate_of(figures, clients):
    """None if it was not measured with so many."""
    return figures[clients]["per_second"] if clients in figures else None


def ratios(result):
    """What became of GOALS; "ratio" is None where one of both was not measured."""
    found = contenders(result)
    return [{"what": f"{ours} / {peer}", "threads": threads, "goal": goal,
             "ratio": ratio(rate_of(found.get(ours, {}), threads),
                            rate_of(found.get(peer, {}), threads))}
            for ours in (OURS, OURS_NEW) for peer, threads, goal in GOALS]
