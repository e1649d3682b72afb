"""The pictures: how the latencies of each row are distributed, and what a request costs with ever more accounts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

from tests.bench.measured import Result

mpl.use("agg")  # else it looks for a screen

LATENCIES, SIZES = "latencies.png", "sizes.png"
_COLUMNS = 3
_OURS, _LIMIT = "tab:blue", "tab:gray"


def draw(results: Sequence[Result], folder: Path) -> list[Path]:
    """The files that were written; none for what was not measured."""
    drawn = []
    if timed := [result for result in results if any(result.latencies.values()) and _firsts(result, results)]:
        drawn.append(_latencies(timed, folder / LATENCIES))
    if sized := [result for result in results if result.row == "sizes"]:
        drawn.append(_sizes(sized, folder / SIZES))
    return drawn


def _firsts(result: Result, results: Sequence[Result]) -> bool:
    """Two results about one pair of sides have the same latencies."""
    same = [each for each in results if each.row == result.row and each.latencies == result.latencies]
    return same[0] is result


def _latencies(results: Sequence[Result], path: Path) -> Path:
    rows = math.ceil(len(results) / _COLUMNS)
    figure, axes = plt.subplots(rows, _COLUMNS, figsize=(5 * _COLUMNS, 3.2 * rows), squeeze=False)
    for place, result in zip(axes.flat, results, strict=False):
        _distribution(place, result)
    for place in list(axes.flat)[len(results) :]:
        place.axis("off")
    return _written(figure, path)


def _distribution(place: Any, result: Result) -> None:  # Any: an Axes, where matplotlib is installed
    for (side, latencies), colour in zip(result.latencies.items(), (_OURS, _LIMIT), strict=True):
        milliseconds = sorted(latency * 1000 for latency in latencies)
        if milliseconds:
            shares = [(number + 1) / len(milliseconds) * 100 for number in range(len(milliseconds))]
            place.plot(milliseconds, shares, color=colour, label=side)
    for share in (50, 99):
        place.axhline(share, color="lightgray", linewidth=0.8, zorder=0)
    place.set(title=f"{result.row}: {result.what}", xscale="log", xlabel="ms", ylabel="% answered")
    place.title.set_fontsize(8)
    place.legend(fontsize=7)


def _sizes(results: Sequence[Result], path: Path) -> Path:
    """Each beside itself at the smaller size, so that a login and a claim fit into one picture."""
    figure, place = plt.subplots(figsize=(7, 4))
    for result in results:
        sides = list(result.latencies)  # the larger size, the smaller one
        sizes, costs = [int(side) for side in reversed(sides)], (1.0, result.ratio.median)
        error = ([0, result.ratio.median - result.ratio.least], [0, result.ratio.most - result.ratio.median])
        place.errorbar(sizes, costs, yerr=error, marker="o", capsize=4, label=result.what.partition(":")[0])
    place.axhline(results[0].target, color="tab:red", linewidth=0.8, linestyle="--", label="target")
    place.set(xscale="log", xlabel="accounts and sessions", ylabel="cost, beside itself", ylim=(0, None))
    place.legend(fontsize=8)
    return _written(figure, path)


def _written(figure: Any, path: Path) -> Path:  # Any: a Figure, where matplotlib is installed
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)
    return path
