"""`make bench`: what the product does in a second, beside what nothing could do faster on this machine."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.bench import people, report
from tests.bench.bench import Bench
from tests.bench.catalogue import ROWS, UnknownRow, chosen, in_order
from tests.bench.loading import RowFailed
from tests.bench.measured import ROUNDS, Result
from tests.bench.people import MANY
from tests.bench.system import Servers, servers, system
from tests.bench.workers import Worker
from tests.servers.amqp_greeting import server_version as broker_version
from tests.servers.databases import connected, server_version


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("rows", nargs="*", help="some of them; all of them without")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="fewer, to see whether it works at all")
    given = parser.parse_args()
    state = Path(os.environ.get("STATE_DIR", ".local")).absolute() / "bench"
    state.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # else the servers' folders stay
    try:
        chosen(given.rows)
        with servers() as started:
            return asyncio.run(_measure(started, state, given.rows, given.rounds))
    except (UnknownRow, pytest.exit.Exception) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


async def _measure(started: Servers, state: Path, names: Sequence[str], rounds: int) -> int:
    began, measured, failed = time.monotonic(), dict[tuple[str, str], Result](), dict[str, str]()
    say = _saying(began)
    async with _bench(started, state, say, rounds) as bench:
        rows = chosen(names)
        for row in in_order(list(rows)):
            wanted = rows[row]
            say(f"---- {' '.join(sorted(wanted))}")
            try:
                # A later part has those before it in its results.
                measured |= {(result.row, result.what): result for result in await row(bench) if result.row in wanted}
            except Exception as error:  # noqa: BLE001 - what is wrong with one row must not cost the others
                said = str(error) if isinstance(error, RowFailed) else f"{error!r}\n{traceback.format_exc()}"
                failed.setdefault(" ".join(sorted(wanted)), said)  # of several parts the first says why
                say(f"FAILED: {said}")
        versions = {
            "postgres": await server_version(started.server),
            "rabbitmq": broker_version(started.broker.port) or "unknown",
        }
    results = sorted(measured.values(), key=lambda result: list(ROWS).index(result.row))
    _keep(state, results, report.document(results, failed, versions, time.monotonic() - began, rounds))
    print(f"\n{report.table(results)}\n")
    print(f"{time.monotonic() - began:.0f} s; kept in {state}")
    for name, reason in failed.items():
        print(f"FAILED: {name}: {reason}", file=sys.stderr)
    return 1 if failed else 0


@asynccontextmanager
async def _bench(started: Servers, state: Path, say: Callable[[str], None], rounds: int) -> AsyncIterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="login2fa-bench-") as name:
        folder = Path(name)
        async with Worker("tests.bench.sink") as sink, system(started, sink.ready["port"], folder, "main") as product:
            async with connected(product.databases.admin_url) as connection:
                await people.fill(connection, 2 * MANY, two_factor_from=MANY)
            yield Bench(
                servers=started, system=product, sink=sink, state=state, folder=folder, say=say, rounds=rounds
            )  # fmt: skip


def _keep(state: Path, results: Sequence[Result], document: dict[str, object]) -> None:
    (state / "bench.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    try:
        from tests.bench import pictures  # noqa: PLC0415 - matplotlib is in a group of its own
    except ImportError:
        print("no picture without matplotlib: make bench installs it", file=sys.stderr)
        return
    pictures.draw(results, state)


def _saying(began: float) -> Callable[[str], None]:
    return lambda line: print(f"{time.monotonic() - began:5.0f} s  {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
