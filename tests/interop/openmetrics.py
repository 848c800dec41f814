# SPDX-License-Identifier: Apache-2.0
"""What `signet metrics` prints is OpenMetrics to the reference parser, prometheus_client's: that of a
daemon that served calls, and that of figures in which every name is hostile."""

import argparse
import os

import harness
from harness import check

HOSTILE_NAME = 'a"b\\c\nd\\u001b[2J\\xff}{,="} 1\n# EOF\n'
SIGN = "signet.v1.TokenService/Sign"


def import_parser():
    try:
        from prometheus_client.openmetrics import parser
    except ModuleNotFoundError:
        raise harness.Missing("prometheus_client is not there; install the Debian package "
                              "python3-prometheus-client") from None
    return parser


def parse(parser, text):
    """The families by name; the parser refuses what is not OpenMetrics."""
    try:
        families = list(parser.text_string_to_metric_families(text))
    except ValueError as error:
        raise harness.Failed(f"not OpenMetrics: {error}\n{text}") from error
    names = [family.name for family in families]
    check(len(names) == len(set(names)), f"a family stands twice: {sorted(names)}")
    for family in families:
        check(family.name.startswith("signet_"), f"{family.name} is not one of ours")
        check(family.documentation and family.type != "unknown",
              f"{family.name} has no TYPE or HELP")
        for sample in family.samples:
            check(sample.value >= 0, f"{sample} is below 0")
    return {family.name: family for family in families}


def value(families, family, name, **labels):
    """The value of the one sample with these labels."""
    found = [sample.value for sample in families[family].samples
             if sample.name == name and labels.items() <= sample.labels.items()]
    check(len(found) == 1, f"{len(found)} samples of {name} with {labels}")
    return found[0]


def metrics(program, env):
    result = harness.run([program, "metrics"], "", env)
    check(result.returncode == 0, f"signet metrics: {result.stderr}")
    return result.stdout


def check_histograms(families):
    """Every histogram: its thresholds ascend, and what is counted is what is below +Inf."""
    for family in families.values():
        if family.type != "histogram":
            continue
        check(family.unit == "seconds", f"{family.name} is in {family.unit}")
        series = {}
        for sample in family.samples:
            labels = frozenset(item for item in sample.labels.items() if item[0] != "le")
            series.setdefault(labels, []).append(sample)
        for labels, samples in series.items():
            buckets = [s.value for s in samples if s.name.endswith("_bucket")]
            count = [s.value for s in samples if s.name.endswith("_count")]
            check(buckets == sorted(buckets) and count == [buckets[-1]],
                  f"{family.name}{dict(labels)}: {samples}")


def check_daemon(parser, signet, daemon_program):
    with harness.Daemon(daemon_program, "--dev") as daemon:
        env = {**os.environ, "SIGNET_ADDRESS": daemon.address}
        env.pop("SIGNET_ADMIN_ADDRESS", None)
        parse(parser, metrics(signet, env))  # of a daemon that nobody called yet
        for _ in range(3):
            result = harness.run([signet, "sign", "demo-es256", "--sub", "a", "--aud", "b"], "",
                                 env)
            check(result.returncode == 0, f"signet sign: {result.stderr}")
        families = parse(parser, metrics(signet, env))
    check(value(families, "signet_calls", "signet_calls_total", method=SIGN, result="OK") == 3,
          "three calls were counted otherwise")
    check(value(families, "signet_uid_calls", "signet_uid_calls_total", uid=str(os.geteuid()),
                outcome="answered") >= 3, "the calls were another user's")
    duration = "signet_call_duration_seconds"
    check(value(families, duration, f"{duration}_count", method=SIGN) == 3, "durations")
    check(0 < value(families, duration, f"{duration}_sum", method=SIGN) < 30, "durations")
    check(value(families, "signet_keyholder_up", "signet_keyholder_up") == 1, "keyholder")
    check(value(families, "signet_resident_memory_bytes", "signet_resident_memory_bytes") > 1e6,
          "memory")
    check_histograms(families)
    print("a daemon's: ok,", len(families), "families")


def check_hostile(parser, printer):
    result = harness.run([printer, "openmetrics"], "")
    check(result.returncode == 0, result.stderr)
    families = parse(parser, result.stdout)
    for family, label in (("signet_tokens", "keyset"), ("signet_keys", "keyset"),
                          ("signet_grant_frozen", "grant"), ("signet_build", "version")):
        names = {sample.labels[label] for sample in families[family].samples}
        check(HOSTILE_NAME in names, f"{family}: {names}")
    check(value(families, "signet_tokens", "signet_tokens_total", keyset="(others)",
                outcome="signed") == 40, "those without a place of their own")
    check_histograms(families)
    print("hostile names: ok")


def check_parser_refuses(parser):
    """The parser is one that can say no."""
    for text in ("# TYPE a counter\na_total 1\n", "# TYPE a counter\na 1\n# EOF\n",
                 'a{b="c"d"} 1\n# EOF\n', "a 1\n# EOF\na 2\n"):
        try:
            list(parser.text_string_to_metric_families(text))
        except ValueError:
            continue
        raise harness.Failed(f"the parser takes {text!r}")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--signet", required=True)
    options.add_argument("--daemon", required=True)
    options.add_argument("--printer", required=True, help="test_cli_stats, which prints the figures")
    arguments = options.parse_args()
    parser = import_parser()
    check_parser_refuses(parser)
    check_hostile(parser, arguments.printer)
    check_daemon(parser, arguments.signet, arguments.daemon)


harness.main(main)
