# SPDX-License-Identifier: Apache-2.0
"""The figures as SVG, drawn by gnuplot. Nothing is measured here."""
import shutil
import subprocess
import sys

from compare import contenders
from processes import fail
from signet_rpc import CLIENTS

PERCENTILES = (("p50", "p50_us"), ("p90", "p90_us"), ("p99", "p99_us"), ("p99.9", "p999_us"))


def title(result):
    about = result["machine"]
    return f"{about['processor']}, {about['cores']} cores, Linux {about['kernel']}".replace('"', "")


def clients_title(clients):
    return f"{clients} client{'s' if clients > 1 else ''}"


def throughput_script(result):
    found = contenders(result)
    lines = ["$figures << END"]
    for name, figures in found.items():
        lines.append(f'"{name}" ' + " ".join(f"{figures[clients]['per_second']:.0f}"
                                             for clients in CLIENTS))
    columns = [f'$figures using {column}:xtic(1) title "{clients_title(clients)}"'
               for column, clients in enumerate(CLIENTS, 2)]
    return lines + [
        "END",
        "set terminal svg size 800,480 background 'white'",
        f'set title "Calls per second\\n{title(result)}" noenhanced',
        "set style data histogram", "set style histogram clustered gap 1",
        "set style fill solid 0.8 border -1", "set boxwidth 0.9", "set grid ytics",
        "set key top right", "set yrange [0:*]", "set offsets 0, 0, graph 0.05, 0",
        "plot " + ", ".join(columns)]


def latency_script(result):
    found = contenders(result)
    lines = ["set terminal svg size 1000,480 background 'white'", "set logscale y",
             "set grid ytics", "set key bottom right", "set ylabel 'microseconds'",
             "set offsets 0.2, 0.2, 0, 0"]
    for clients in CLIENTS:
        lines.append(f"$latency{clients} << END")
        for name, key in PERCENTILES:
            lines.append(f"{name} " + " ".join(f"{figures[clients][key]:.1f}"
                                               for figures in found.values()))
        lines.append("END")
    lines.append(f'set multiplot layout 1,{len(CLIENTS)} '
                 f'title "Latency of a call\\n{title(result)}" noenhanced')
    for clients in CLIENTS:
        lines.append(f'set title "{clients_title(clients)}"')
        lines.append("plot " + ", ".join(
            f'$latency{clients} using {column}:xtic(1) with linespoints linewidth 2 title "{name}"'
            for column, name in enumerate(found, 2)))
    return lines + ["unset multiplot"]


def write_plots(result, directory):
    """Says so if gnuplot is not there."""
    gnuplot = shutil.which("gnuplot")
    if gnuplot is None:
        print("bench: MISSING: nothing is plotted, there is no gnuplot; ./dev bench installs it",
              file=sys.stderr)
        return
    directory.mkdir(parents=True, exist_ok=True)
    for name, script in (("throughput", throughput_script(result)),
                         ("latency", latency_script(result))):
        drawn = subprocess.run([gnuplot], input="\n".join(script) + "\n", stdout=subprocess.PIPE,
                               text=True, timeout=60, check=False)
        if drawn.returncode != 0:
            fail(f"gnuplot could not draw {name}.svg")
        (directory / f"{name}.svg").write_text(drawn.stdout)
