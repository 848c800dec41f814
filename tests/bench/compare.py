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


# Of libsignet-local: name in local_load, name for people, by how much of OpenSSL's verification alone.
LOCAL_GOALS = (("es256", "ES256", 0.92), ("eddsa", "Ed25519", 0.95), ("rs256", "RS256", 0.75))


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


def row(what, threads, goal, found):
    return {"what": what, "threads": threads, "goal": goal, "ratio": found}


def hit_ratios(result):
    """Of the verdict cache. The first is no ratio, but a rate."""
    hits = result["local"]["hits"]
    most = max(hits)
    one = rate_of(hits[0], 1)
    jwt = rate_of(result["peers"].get("libjwt", {}).get("verify", {}), 1)
    return [row("cache hits, millions a second", 1, 3, one / 1e6),
            row("cache hits, 2 threads / 1", 2, 1.8, ratio(rate_of(hits[0], 2), one)),
            row("cache hit / libjwt verify", 1, 8, ratio(one, jwt)),
            row(f"cache hit, {most:,} revoked / none", 1, 0.8, ratio(rate_of(hits[most], 1), one))]


def local_ratios(result):
    """Of libsignet-local, each to what OpenSSL did in turn with it."""
    by_revocations = result["local"]["by_revocations"]
    most = max(by_revocations)
    rows = [row(f"local {name} / OpenSSL", 1, goal, by_revocations[0][f"{key}-ratio"])
            for key, name, goal in LOCAL_GOALS]
    return rows + [row(f"local {name}, {most:,} revoked / none", 1, 0.95,
                       ratio(by_revocations[most][f"{key}-ratio"], by_revocations[0][f"{key}-ratio"]))
                   for key, name, _ in LOCAL_GOALS]


def ratios(result):
    """What became of all goals; "ratio" is None where one of both was not measured."""
    return rpc_ratios(result) + hit_ratios(result) + local_ratios(result)


def rpc_ratios(result):
    """What became of GOALS."""
    found = contenders(result)
    return [{"what": f"{ours} / {peer}", "threads": threads, "goal": goal,
             "ratio": ratio(rate_of(found.get(ours, {}), threads),
                            rate_of(found.get(peer, {}), threads))}
            for ours in (OURS, OURS_NEW) for peer, threads, goal in GOALS]
