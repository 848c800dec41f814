# SPDX-License-Identifier: Apache-2.0
"""Which figures are held against which, and the ratios that we aim at. Nothing fails because of them."""

# What we do, by how much it is to be more than what a peer does with as many threads.
GOALS = (
    ("gRPC echo", 16, 3),
    ("MUNGE decode", 16, 2),
    ("gRPC echo", 1, 1.3),
)
OURS = "HS256 verify"


def ratio(value, reference):
    return value / reference if value is not None and reference else None


def contenders(result):
    """{name: {clients: figures}} of what does about the same work for its callers; only what was measured."""
    peers = result["peers"]
    ours = {row["threads"]: row for row in result["signet"]
            if row["alg"] == "HS256" and row["op"] == "verify"}
    everybody = {
        OURS: ours,
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
    return [{"what": f"{OURS} / {peer}", "threads": threads, "goal": goal,
             "ratio": ratio(rate_of(found.get(OURS, {}), threads),
                            rate_of(found.get(peer, {}), threads))}
            for peer, threads, goal in GOALS]
