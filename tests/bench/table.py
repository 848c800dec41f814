# SPDX-License-Identifier: Apache-2.0
"""The figures as a table for people. Nothing is measured here.
"""
from signet_rpc import BATCH, KEYSETS, OPERATIONS

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
        for clients, row in result["echo"][kind].items():
            rate = row["per_second"]
            share = ratio(rate, result["echo"]["nng"][clients]["per_second"])
            rows.append((f"echo, {kind}", clients, rate, row["p50_us"], row["p99_us"], share, None))
    most = max(result["openssl"])
    for row in sorted(result["signet"], key=lambda row: (list(KEYSETS).index(row["keyset"]),
                                                         OPERATIONS.index(row["op"]))):
        clients = row["threads"]
        echo = result["echo"]["nng"][clients]["per_second"]
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
