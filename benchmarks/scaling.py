"""`python -m benchmarks.scaling`: write the tables and the plot of docs/scaling.md from benchmarks/records.

python -m benchmarks.load --out benchmarks/records/load.json
python -m benchmarks.figures --out benchmarks/records/figures.json [--postgresql URL]
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer

from benchmarks.capacity import BUSY, CORES, DOLLARS, HOURS, MEMORY_GIB, PEAK, Work, limits, need, peak_of_a_day
from benchmarks.figures import NETWORKS
from benchmarks.queueing import Machine, poisson, simulate
from gateway.context import AT_ONCE, WAITING
from lesions.files import atomic_write
from zoo.study import ROOT

RECORDS = ROOT / "benchmarks" / "records"
PAGE = ROOT / "docs" / "scaling.md"
PLOT = ROOT / "docs" / "assets" / "queue.png"
Record = Mapping[str, Any]


def main() -> None:
    """Write the page's tables between their marks, and the plot."""
    load, figures = (json.loads((RECORDS / name).read_text()) for name in ("load.json", "figures.json"))
    atomic_write(PAGE, filled(PAGE.read_text(), load, figures))
    plot(load, PLOT)
    print(f"written: {PAGE}, {PLOT}")


def filled(page: str, load: Record, figures: Record) -> str:
    """The page with its tables. Raises `ValueError` where it has no marks for one."""
    for name, table in (("queue", _queue(load)), ("needs", _needs(load, figures)), ("limits", _limits(load, figures))):
        begin, end = f"<!-- {name}: written by python -m benchmarks.scaling -->\n", f"<!-- end of {name} -->"
        before, found, after = page.partition(begin)
        _, closed, rest = after.partition(end)
        if not (found and closed):
            raise ValueError(f"{PAGE}: the marks of {name} are not there")
        page = before + begin + table + end + rest
    return page


def work(load: Record, figures: Record, network: str) -> Work:
    """What an answer of a network takes: decoding and the forward pass as measured alone, and the event loop's part."""
    return Work(figures["decode_ms"], figures[f"forward_ms {network}"], load["gateway_ms"])


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    marks = ["---", *["--:"] * (len(header) - 1)]
    return "".join(f"| {' | '.join(row)} |\n" for row in (header, marks, *rows))


def _queue(load: Record) -> str:
    rows = [
        [
            f"{row['load']:.0%}",
            f"{row['rate']:.0f}",
            *(f"{row[f'{side}_p{at}']:.1f}" for at in (50, 99) for side in ("measured", "simulated")),
            f"{row['ratio_p99']:.2f}",
        ]
        for row in load["loads"]
    ]
    p50, p99 = "p50, ms: measured", "p99, ms: measured"
    return _table(
        ["load", "requests/s", p50, "simulated", p99, "simulated", "simulated / measured, p99: the rounds' median"],
        rows,
    )


def _needs(load: Record, figures: Record) -> str:
    rows = []
    for title, rate in (("1,000,000 a day", peak_of_a_day(1e6)), ("1,000 a second", 1000.0)):
        for arch, pixels in NETWORKS:
            one = work(load, figures, f"{arch} {pixels}")
            wanted = need(rate, one)
            rows.append(
                [
                    title,
                    f"`{arch.removeprefix('tf_efficientnet_')}`, {pixels} px",
                    f"{wanted.rate:.0f}",
                    f"{one.total:.1f}",
                    f"{wanted.cores:.1f}",
                    f"{wanted.pods}",
                    f"{wanted.memory_gib:.1f}",
                    f"{wanted.dollars[0]:,.0f} to {wanted.dollars[1]:,.0f}",
                ]
            )
    header = ["answers", "network", "a second, at the peak", "core-ms an answer", "cores", "pods", "GiB", "USD a month"]
    assumed = (
        f"\nAll assumed: a day's peak is {PEAK:g} times its mean, a core is busy for {BUSY:.0%} of the time, a pod has "
        f"{CORES} cores and {MEMORY_GIB} GiB, a core costs {DOLLARS[0]} to {DOLLARS[1]} USD an hour, and a month has "
        f"{HOURS} hours.\n"
    )
    return _table(header, rows) + assumed


def _limits(load: Record, figures: Record) -> str:
    found = [
        limits(
            work(load, figures, f"{arch} {pixels}"),
            figures["jpeg_bytes"],
            figures["sqlite_rows_a_second"],
            figures.get("postgresql_rows_a_second"),
        )
        for arch, pixels in NETWORKS
    ]
    other = {limit.part: limit.rate for limit in found[1]}
    rows = [[one.part, f"{one.rate:,.0f}", f"{other[one.part]:,.0f}", one.remedy] for one in found[0]]
    names = [f"`{arch.removeprefix('tf_efficientnet_')}`, {pixels} px: answers/s" for arch, pixels in NETWORKS]
    return _table(["part", *names, "then"], rows)


def plot(load: Record, file: Path) -> None:
    """Draw latency over load: lines are simulated, points measured, with the rounds' extremes."""
    from matplotlib.figure import Figure

    machine = Machine(1, 1, AT_ONCE + WAITING - 1, load["gateway_ms"] / 1000, load["elsewhere_ms"] / 1000)
    rng, shares = np.random.default_rng(0), np.linspace(0.1, 0.9, 9)
    services = np.array(load["services_ms"]) / 1000
    curves: dict[int, list[float]] = {50: [], 99: []}
    for share in shares:
        arrivals = poisson(share * load["capacity"], 15_000, rng)
        latencies = 1000 * simulate(machine, arrivals, rng.choice(services, len(arrivals)))
        for percentile, curve in curves.items():
            curve.append(float(np.nanpercentile(latencies, percentile)))
    figure = Figure((6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for color, (percentile, curve) in zip(("tab:blue", "tab:red"), curves.items(), strict=True):
        axes.plot(100 * shares, curve, color=color, label=f"p{percentile}, simulated")
        for at, row in enumerate(load["loads"]):
            name = f"measured_p{percentile}"
            rounds, middle = [one[at][name] for one in load["every_round"]], row[name]
            spread = [[middle - min(rounds)], [max(rounds) - middle]]
            label = f"p{percentile}, measured (median, and extremes)" if at == 0 else None
            axes.errorbar(100 * row["load"], middle, spread, fmt="o", color=color, capsize=3, label=label)
    axes.set(xlabel="load, % of what the server can answer", ylabel="latency, ms", yscale="log")
    axes.set_yticks([10, 20, 50, 100, 200, 500], ["10", "20", "50", "100", "200", "500"])
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=130)


if __name__ == "__main__":
    typer.run(main)
