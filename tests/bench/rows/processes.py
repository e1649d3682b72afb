"""A process that has nothing to do: its memory, and how soon it was ready, beside Python with the same libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from tests.bench import cpu
from tests.bench.bench import Bench
from tests.bench.loading import PROJECT
from tests.bench.measured import Comparison, Result, Sample, Side, compare, in_turn

SERVICES = ("auth", "users", "notifier")

# What a process imports only when it runs.
_LATER = ("uvicorn.loops.uvloop", "uvicorn.protocols.http.httptools_impl", "uvicorn.lifespan.off")
_LATER_WITH_A_DATABASE = ("sqlalchemy.dialects.postgresql.asyncpg", "asyncpg.pool")

_OURS = ("services", "shared", "deploy", "tests")
_NAMES = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps([name for name in sys.modules if name != "__main__"]))
"""
_IMPORT = """
import importlib, json, sys
for name in json.loads(sys.stdin.readline()):
    try:
        importlib.import_module(name)
    except ImportError:  # a name that its package has given to something else
        pass
print("imported", flush=True)
sys.stdin.readline()
"""


async def processes(bench: Bench) -> list[Result]:
    await bench.system.stop(*list(bench.system.programs))
    results = []
    for service in SERVICES:
        if service == "users":
            await bench.system.start("auth")  # whose keys it fetches
        names = libraries(service)
        sides = {service: _process(bench, service), "Python": _python(names)}
        samples = await in_turn(sides, bench.say, bench.rounds)
        results += [compare(asked(service), samples) for asked in (_asked_memory, _asked_start)]
    return results


def _asked_memory(service: str) -> Comparison:
    return Comparison(
        row="memory", what=f"{service}, Python with its libraries", ours=service, limit="Python",
        figure="rss", unit="MiB resident", bound="at most", target=1.25,
    )  # fmt: skip


def _asked_start(service: str) -> Comparison:
    return Comparison(
        row="start-up", what=f"{service} ready, its libraries imported", ours=service, limit="Python",
        figure="seconds", unit="s", bound="at most", target=2.0, beyond=True,
        note="the difference is bounded, not the ratio",
    )  # fmt: skip


def libraries(service: str) -> list[str]:
    """The modules that a process of this service imports, but for our own."""
    later = _LATER if service == "notifier" else _LATER + _LATER_WITH_A_DATABASE
    wanted = ["services.cli", "services.run", f"services.{service}.app", *later]
    done = subprocess.run(
        [sys.executable, "-c", _NAMES, *wanted], cwd=PROJECT, capture_output=True, text=True, check=True
    )  # fmt: skip
    names: list[str] = json.loads(done.stdout)
    return [name for name in names if name.partition(".")[0] not in _OURS]


def _process(bench: Bench, service: str) -> Side:
    async def side() -> Sample:
        await bench.system.stop(service)
        began = time.monotonic()
        await bench.system.start(service)
        seconds = time.monotonic() - began
        (pid,) = bench.system.pids(service)
        return Sample(figures={"seconds": seconds, **cpu.memory(pid)})

    return side


def _python(names: list[str]) -> Side:
    async def side() -> Sample:
        began = time.monotonic()
        with subprocess.Popen(  # noqa: ASYNC220 - as our own are started; nothing else runs meanwhile
            [sys.executable, "-c", _IMPORT],
            cwd=PROJECT,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(names).encode() + b"\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"imported\n"
            seconds = time.monotonic() - began
            figures = {"seconds": seconds, **cpu.memory(process.pid)}
            process.stdin.write(b"\n")
            process.stdin.flush()
        return Sample(figures=figures)

    return side
