# SPDX-License-Identifier: Apache-2.0
"""The figures as tables for people. Nothing is measured here."""
from compare import contenders, rate_of, ratio
from local import ALGORITHMS
from signet_rpc import BATCH, KEYSETS, OPERATIONS

HEADINGS = ("what", "clients", "per second", "p50 us", "p99 us", "/ nng echo", "/ gRPC echo",
            "/ OpenSSL")
LATENCY_HEADINGS = ("latency of a call, us", "clients", "p50", "p90", "p99", "p99.9")


def number(value, digits=0):
    return "" if value is None else f"{value:,.{digits}f}"


def print_lines(lines):
    """Cells in columns, the first to the left."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        print("  ".join(cells).rstrip())


def openssl_rate(result, primitive, threads):
    """Of as many threads; more than there are processors do no more."""
    return result["openssl"].get(min(threads, max(result["openssl"])), {}).get(primitive)


def row_of(result, what, clients, figures, primitive=None):
    rate = figures["per_second"]
    nng = rate_of(result["echo"]["nng"], clients)
    grpc = rate_of(result["peers"].get("grpc", {}), clients)
    raw = openssl_rate(result, primitive, clients)
    return (what, str(clients), number(rate), number(figures["p50_us"]), number(figures["p99_us"]),
            number(ratio(rate, nng), 2), number(ratio(rate, grpc), 2), number(ratio(rate, raw), 2))


def peer_rows(result):
    peers = result["peers"]
    for threads, rates in result["openssl"].items():
        for name, rate in rates.items():
            yield (f"OpenSSL {name}", str(threads), number(rate), "", "", "", "", "")
    for operation, by_threads in peers.get("libjwt", {}).items():
        for threads, figures in by_threads.items():
            raw = openssl_rate(result, "hs256", threads)
            yield (f"libjwt HS256 {operation}", str(threads), number(figures["per_second"]),
                   number(figures["p50_us"], 1), number(figures["p99_us"], 1), "", "",
                   number(ratio(figures["per_second"], raw), 2))
    echoes = result["echo"] | {"gRPC": peers.get("grpc", {})}
    for kind, by_clients in echoes.items():
        for clients, figures in by_clients.items():
            yield row_of(result, f"echo, {kind}", clients, figures)
    for operation, by_clients in peers.get("munge", {}).items():
        for clients, figures in by_clients.items():
            yield row_of(result, f"MUNGE {operation}", clients, figures)


def signet_order(row):
    return (list(KEYSETS).index(row["keyset"]), OPERATIONS.index(row["op"]), row["batch"],
            row["threads"])


def signet_rows(result):
    for row in sorted(result["signet"], key=signet_order):
        what = f"{row['keyset']} {row['op']}"
        if row["op"] in BATCH:
            what += f" {row['batch']}"
        primitive = KEYSETS[row["keyset"]][0 if row["op"].endswith("sign") else 1]
        yield row_of(result, what, row["threads"], row, primitive)


def print_latencies(result):
    lines = [LATENCY_HEADINGS]
    for name, by_clients in contenders(result).items():
        for clients, figures in by_clients.items():
            lines.append((name, str(clients)) + tuple(
                number(figures[percentile]) for percentile in ("p50_us", "p90_us", "p99_us",
                                                               "p999_us")))
    print()
    print_lines(lines)


def print_ratios(rows):
    print("\nwhat we aim at, of calls per second in this run:")
    for row in rows:
        found = "not measured" if row["ratio"] is None else f"{row['ratio']:.2f}"
        threads = f"{row['threads']} thread{'s' if row['threads'] > 1 else ''} each"
        print(f"  {row['what']:<40}  {threads:<15}  {found:>12}  (goal {row['goal']})")


def print_local(result):
    """What happens in the caller's process."""
    local = result["local"]
    lines = [("in the caller's process", "revoked", "keys", "per second", "/ OpenSSL")]
    cases = [(num, 0, figures) for num, figures in local["by_revocations"].items()]
    cases += [(0, num, figures) for num, figures in local["by_keys"].items()]
    for key, name in ALGORITHMS.items():
        lines += [(f"local {name} verify", number(revoked), number(keys),
                   number(figures[f"{key}-local"]), number(figures[f"{key}-ratio"], 3))
                  for revoked, keys, figures in cases]
    for revoked, by_threads in local["hits"].items():
        lines += [(f"cache hit, {threads} thread{'s' if threads > 1 else ''}", number(revoked), "",
                   number(figures["per_second"]), "") for threads, figures in by_threads.items()]
    print()
    print_lines(lines)
    reach = local["reach"]
    print(f"\n{reach['revocations']:,.0f} revocations: {reach['per_second']:,.0f} per second; "
          f"acknowledged after {reach['call_p50_us']:,.0f} us (p99 {reach['call_p99_us']:,.0f}); "
          f"the first check of another process that refuses the token begins "
          f"{reach['seen_p50_us']:,.0f} us after the call (p99 {reach['seen_p99_us']:,.0f}); "
          f"accepted after the acknowledgement: {reach['late']:.0f}")


def print_table(result):
    about = result["machine"]
    print(f"{about['processor']}, {about['cores']} cores, Linux {about['kernel']}")
    print(f"{result['seconds']} s a figure; batches are counted in tokens; "
          "a batch's latency is the whole batch's\n")
    print_lines([HEADINGS, *peer_rows(result), *signet_rows(result)])
    print_latencies(result)
    print_local(result)
    memory = result["memory"]
    print(f"\nsignetd resident: {memory['idle_kib'] / 1024:.1f} MiB idle, "
          f"{memory['connected_kib'] / 1024:.1f} MiB with {memory['connections']:,} idle "
          f"connections ({memory['per_connection_kib']:.1f} KiB each)")
