"""Loads run from here, and their figures."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from urllib.parse import urlencode

from tests.bench.job import Done, Job
from tests.bench.measured import Sample, percentile, say_at_times

PROJECT = Path(__file__).parents[2]
_LINE = 1 << 26  # bytes: all latencies of a turn are in it


class RowFailed(Exception):
    """What was measured did not do what it should; the text says what it did."""


async def load(job: Job) -> Done:
    """Raises `RowFailed` when any answer had another status than the expected one."""
    ((_, done),) = [each async for each in loads({"": job}, 1)]
    return done


async def loads_in_turn(jobs: Mapping[str, Job], say: Callable[[str], None], rounds: int) -> dict[str, list[Sample]]:
    """Like `in_turn`, of jobs: one process asks them all, over connections that stay, so that a turn may be short.

    The shorter the turns, the less it matters that the machine is slow for a second. Raises `RowFailed` as `load`.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in jobs}
    async for name, done in loads(jobs, rounds):
        samples[name].append(sample(done))
        say_at_times(say, samples, rounds)
    return samples


async def loads(jobs: Mapping[str, Job], rounds: int) -> AsyncIterator[tuple[str, Done]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.load"),
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": str(PROJECT / "testkit")},  # for what follows an answer
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(pickle.dumps((dict(jobs), rounds)))
        process.stdin.write_eof()
        async for line in process.stdout:
            told = json.loads(line)
            done = Done(**told["done"])
            _must_be_right(jobs[told["side"]], done)
            yield told["side"], done
        if await process.wait() != 0:
            raise RowFailed(f"the load ended with {process.returncode}; what is above says why")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _must_be_right(job: Job, done: Done) -> None:
    if done.wrong:
        asked = job.requests[0].partition(b" HTTP/")[0].decode()
        raise RowFailed(f"{asked}: {job.expect} was expected; {done.statuses} came, the first:\n{done.wrong[:1000]}")
    if not done.count:
        raise RowFailed("nothing was answered")


def sample(done: Done) -> Sample:
    """The rate, percentiles in milliseconds, and microseconds of processor time per request by who spent it."""
    figures = {
        "rate": done.count / done.seconds,
        "p50": percentile(done.latencies, 50) * 1000,
        "p99": percentile(done.latencies, 99) * 1000,
    }
    figures |= {name: spent / done.count * 1e6 for name, spent in done.cpu.items()}
    return Sample(figures=figures, latencies=done.latencies)


def request(
    method: str, path: str, *, bearer: str | None = None, body: Mapping[str, object] | None = None, form: bool = False,
    kept: bool = True,
) -> bytes:  # fmt: skip
    """Of HTTP/1.1, as bytes; the body as JSON or as a form."""
    content = b""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    if body is not None:
        content = (urlencode(body) if form else json.dumps(body)).encode()
        kind = "application/x-www-form-urlencoded" if form else "application/json"
        lines += [f"Content-Type: {kind}"]
    if method != "GET":
        lines += [f"Content-Length: {len(content)}"]
    if bearer:
        lines += [f"Authorization: Bearer {bearer}"]
    if not kept:
        lines += ["Connection: close"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content
