"""The table that is printed and the file that is kept."""

from __future__ import annotations

import dataclasses
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.bench.loading import PROJECT
from tests.bench.measured import Result, Spread
from tests.bench.people import HASH_PARAMETERS

_PACKAGES = (
    "uvicorn", "uvloop", "httptools", "fastapi", "starlette", "pydantic", "sqlalchemy", "asyncpg", "aio-pika",
    "aiosmtplib", "pyjwt", "cryptography", "argon2-cffi", "structlog", "prometheus-client",
)  # fmt: skip
_HEAD = ("row", "beside", "ours", "limit", "ratio (min to max)", "target", "", "CPU µs ours", "limit")


def cells(result: Result) -> tuple[str, ...]:
    more = "+" if result.beyond else ""
    return (
        result.row,
        result.what,
        f"{number(result.ours.median)} {result.unit}",
        number(result.limit.median),
        f"{more}{result.ratio.median:.2f} ({result.ratio.least:.2f} to {result.ratio.most:.2f})",
        f"{'≥' if result.bound == 'at least' else '≤'} {more}{result.target:g}",
        "reached" if result.reached else "NOT reached",
        number(result.cpu_ours),
        number(result.cpu_limit),
    )


def number(value: float | None) -> str:
    """Three digits that mean something."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(results: Sequence[Result]) -> str:
    lines = [_HEAD, *map(cells, results)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def markdown(results: Sequence[dict[str, Any]]) -> str:
    """The table of docs/performance.md, out of the results of `bench.json`."""
    spreads = ("ours", "limit", "ratio")
    kept = [Result(**{**each, **{name: Spread(**each[name]) for name in spreads}}) for each in results]
    lines = [_HEAD, ["---"] * len(_HEAD), *map(cells, kept)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def document(
    results: Sequence[Result], failed: Mapping[str, str], servers: Mapping[str, str], seconds: float, rounds: int
) -> dict[str, Any]:
    """What is kept of a run; without the latencies, which are in the picture."""
    return {
        "commit": _commit(),
        "seconds": round(seconds, 1),
        "rounds": rounds,
        "machine": {"processors": os.cpu_count(), "model": _processor(), "system": platform.platform()},
        "versions": {"python": platform.python_version(), **servers, **{name: version(name) for name in _PACKAGES}},
        "hash": HASH_PARAMETERS,
        "results": [_plain(result) for result in results],
        "failed": dict(failed),
    }


def _plain(result: Result) -> dict[str, Any]:
    shown = dataclasses.asdict(dataclasses.replace(result, latencies={}))
    del shown["latencies"]
    return shown


def _commit() -> str:
    asked = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    done = subprocess.run(asked, cwd=PROJECT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
