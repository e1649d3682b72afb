"""The bench's own rules: what it makes of what it has measured. Nothing here is a measurement."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from itertools import pairwise
from typing import Any

import pytest

from tests.bench import agree, cpu, publish, report
from tests.bench.bench import PARTS
from tests.bench.catalogue import IN_PARTS, ROWS, UnknownRow, chosen, in_order
from tests.bench.job import Job
from tests.bench.loading import RowFailed, load, loads_in_turn, request
from tests.bench.measured import Comparison, Sample, Spread, Undisturbed, compare, in_turn, percentile, reached, spread


def asked(**changes: Any) -> Comparison:  # Any: of any field
    fields: dict[str, Any] = {
        "row": "r", "what": "w", "ours": "ours", "limit": "limit", "figure": "rate", "unit": "1/s",
        "bound": "at least", "target": 0.5,
    }  # fmt: skip
    return Comparison(**fields | changes)


def rates(*values: float) -> list[Sample]:
    return [Sample(figures={"rate": value}) for value in values]


# --- figures


def test_a_figure_is_the_median_of_its_rounds_with_the_least_and_the_most() -> None:
    assert spread([5, 1, 2, 9, 3]) == Spread(3, 1, 9)


def test_a_ratio_is_taken_in_each_round_so_that_a_slow_minute_slows_both_sides() -> None:
    result = compare(asked(), {"ours": rates(50, 5, 60), "limit": rates(100, 10, 100)})
    assert result.ratio == Spread(0.5, 0.5, 0.6)
    assert result.reached


def test_of_a_figure_that_is_bounded_by_its_difference_the_difference_is_taken() -> None:
    result = compare(
        asked(beyond=True, bound="at most", target=2.0), {"ours": rates(3.5, 4.0), "limit": rates(1.5, 1.0)}
    )
    assert result.ratio == Spread(2.5, 2.0, 3.0)
    assert "+2.50 (2.00 to 3.00)" in report.cells(result)
    assert not result.reached


@pytest.mark.parametrize(
    ("ratio", "bound", "verdict"),
    [(0.5, "at least", True), (0.499, "at least", False), (0.5, "at most", True), (0.501, "at most", False)],
)
def test_a_target_is_reached_when_it_is_just_met(ratio: float, bound: str, verdict: bool) -> None:
    assert reached(ratio, bound, 0.5) is verdict


def test_a_percentile_is_a_value_that_was_measured() -> None:
    hundred = [float(number) for number in range(100, 0, -1)]
    assert (percentile(hundred, 50), percentile(hundred, 99), percentile([7.0], 99)) == (50.0, 99.0, 7.0)


def test_a_percentile_that_is_compared_is_that_of_all_rounds_together() -> None:
    def rounds(*latencies: list[float]) -> list[Sample]:
        return [Sample(figures={"p50": percentile(each, 50)}, latencies=each) for each in latencies]

    samples = {"ours": rounds([0.008] * 9, [0.002], [0.004]), "limit": rounds([0.001], [0.002], [0.002])}
    result = compare(asked(figure="p50", percentile=50, bound="at most", target=4.0), samples)
    assert (result.ours.median, result.limit.median, result.ratio.median) == (8.0, 2.0, 4.0)


def test_processor_time_is_the_median_of_the_figures_that_are_named_for_it() -> None:
    samples = [Sample(figures={"rate": 1.0, "process": cost, "postgres": 10.0}) for cost in (3.0, 1.0, 2.0)]
    result = compare(asked(cpu=("process", "postgres")), {"ours": samples, "limit": rates(1, 1, 1)})
    assert (result.cpu_ours, result.cpu_limit) == (12.0, None)


async def test_the_sides_take_turns_and_neither_is_always_first() -> None:
    order = []

    def side(name: str) -> Any:  # Any: a Side
        async def measure() -> Sample:
            order.append(name)
            return Sample(figures={"rate": 1.0})

        return measure

    samples = await in_turn({"ours": side("ours"), "limit": side("limit")}, lambda _: None, rounds=3)
    assert order == ["ours", "limit", "limit", "ours", "ours", "limit"]
    assert [len(each) for each in samples.values()] == [3, 3]


@pytest.mark.parametrize(
    ("lost", "taken"),
    [([0, 0], [1, 2]), ([1, 0, 0], [2, 3]), ([0, 1, 1, 0], [1, 4]), ([1, 1, 1, 1], [3, 4])],
    ids=["never", "once", "twice", "each time"],
)
async def test_turns_in_which_others_had_the_machine_are_taken_again_so_many_times_in_all(
    lost: list[float], taken: list[int]
) -> None:
    said: list[str] = []
    turns: list[float] = []

    async def take() -> int:
        turns.append(lost[len(turns)])
        return len(turns)

    undisturbed = Undisturbed(said.append, again=2, stolen=lambda: sum(turns))

    assert [await undisturbed(take), await undisturbed(take)] == taken
    assert len(said) == len(turns) - 2


def test_what_is_apart_has_each_processor_in_its_turn_and_this_process_the_others() -> None:
    every = os.sched_getaffinity(0)
    if len(every) == 1:
        pytest.skip("with one processor all stay together")
    had: list[set[int]] = []
    with subprocess.Popen(["sleep", "60"]) as asked:
        for turn in range(len(every)):
            with cpu.apart([asked.pid], turn):
                had.append(os.sched_getaffinity(asked.pid))
                assert os.sched_getaffinity(0) == every - had[-1]
        assert (os.sched_getaffinity(asked.pid), os.sched_getaffinity(0)) == (every, every)
        asked.kill()

    assert sorted(had, key=min) == [{each} for each in sorted(every)]


# --- rows


def test_a_row_that_there_is_not_is_told_with_those_that_there_are() -> None:
    with pytest.raises(UnknownRow, match=r"no such row: logn; there are: login login-cpu totp-login"):
        chosen(["login", "logn"])


def test_without_names_every_row_is_measured_once() -> None:
    wanted = chosen([])
    assert set().union(*wanted.values()) == set(ROWS)
    assert sum(len(names) for names in wanted.values()) == len(ROWS)


def test_rows_that_are_measured_together_are_so_when_both_are_asked_for() -> None:
    assert list(chosen(["login-cpu", "login"]).values()) == [{"login", "login-cpu"}]
    assert list(chosen(["login-cpu"]).values()) == [{"login-cpu"}]


def test_a_row_that_is_measured_in_parts_has_others_between_them_and_each_of_those_comes_once() -> None:
    rows = list(chosen([]))
    order = list(in_order(rows))
    assert {row: order.count(row) for row in rows} == {row: PARTS if row in IN_PARTS else 1 for row in rows}
    for row in IN_PARTS:
        places = [place for place, each in enumerate(order) if each is row]
        assert all(set(order[one:other]) - set(IN_PARTS) for one, other in pairwise(places))


def test_a_row_that_is_measured_in_parts_is_so_when_it_alone_is_asked_for() -> None:
    (row,) = chosen(["liveness"])
    assert list(in_order([row])) == [row] * PARTS


# --- the load


async def answered(status: str, job: Job) -> tuple[list[bytes], Any]:  # Any: what the load has done, or how it failed
    """The bodies that a server has seen which answers everything with `status`."""
    seen: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.read(4096):
            seen.append(head.partition(b"\r\n\r\n")[2])
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno".encode())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        try:
            return seen, await load(Job(**{**vars(job), "ports": (port,)}))
        except RowFailed as failed:
            return seen, failed


def numbered(count: int) -> list[bytes]:
    return [request("POST", "/", body={"number": str(number)}) for number in range(count)]


async def test_an_answer_that_was_not_expected_fails_the_row_and_is_shown() -> None:
    _, failed = await answered("503 Away", Job(ports=(), requests=numbered(1), warm=0, count=5, connections=1))
    assert isinstance(failed, RowFailed)
    assert "POST /: 200 was expected; {'503': 1} came" in str(failed)


@pytest.mark.parametrize("kept", [True, False])
async def test_each_request_is_sent_once_and_warm_ones_are_not_counted(kept: bool) -> None:
    job = Job(ports=(), requests=numbered(8), warm=3, count=5, connections=2, kept=kept, once=True)
    seen, done = await answered("200 OK", job)
    assert sorted(seen) == sorted(each.partition(b"\r\n\r\n")[2] for each in numbered(8))
    assert (done.count, done.statuses, len(done.latencies)) == (5, {"200": 8}, 5)


def asked_after(number: int, answer: bytes) -> bytes:
    return request("POST", "/next", body={"number": str(number), "answer": answer[-2:].decode()})


async def test_a_request_and_the_one_that_follows_its_answer_count_as_one() -> None:
    job = Job(ports=(), requests=numbered(3), warm=1, count=2, connections=1, once=True, following=asked_after)
    seen, done = await answered("200 OK", job)
    assert [json.loads(each) for each in seen[2:4]] == [{"number": "1"}, {"number": "1", "answer": "no"}]
    assert (len(seen), done.count, done.statuses) == (6, 2, {"200": 3})


async def test_jobs_take_turns_over_connections_that_stay_and_are_warmed_up_once() -> None:
    connections, said = list[str](), list[str]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append("one more")
        while await reader.read(4096):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        ports = (server.sockets[0].getsockname()[1],)
        job = Job(ports=ports, requests=numbered(25), warm=5, count=10, connections=2, once=True)
        samples = await loads_in_turn({"ours": job, "limit": job}, said.append, rounds=2)

    assert [len(each.latencies) for side in samples.values() for each in side] == [10, 10, 10, 10]
    assert (len(connections), len(said)) == (4, 2)


async def test_a_load_that_has_too_few_requests_to_send_each_once_fails() -> None:
    _, failed = await answered("200 OK", Job(ports=(), requests=numbered(2), warm=0, count=5, connections=1, once=True))
    assert isinstance(failed, RowFailed)


# --- what is kept


def test_a_document_is_filled_between_its_marks_only() -> None:
    result = compare(asked(), {"ours": rates(1), "limit": rates(2)})
    measured = report.document([result], {"login": "503 came\nand more"}, {"postgres": "18"}, 12.0, 5)
    document = "before\n<!-- figures -->\nold\n<!-- /figures -->\nafter\n"
    filled = publish.filled(document, measured, ["latencies.png"])
    assert filled.startswith("before\n<!-- figures -->\n")
    assert filled.endswith("<!-- /figures -->\nafter\n")
    assert "old" not in filled
    assert "| r | w | 1 1/s | 2 | 0.50 (0.50 to 0.50) | ≥ 0.5 | reached | - | - |" in filled
    assert "login was not measured: 503 came\n" in filled
    assert "(performance/latencies.png)" in filled
    assert publish.filled(filled, measured, ["latencies.png"]) == filled


def test_two_runs_agree_unless_a_ratio_moved_by_more_than_15_percent_or_a_row_is_missing() -> None:
    def run(**ratios: float) -> dict[str, Any]:  # Any: as bench.json has it
        told = {"what": "w", "beyond": False}
        return {"results": [told | {"row": name, "ratio": {"median": ratio}} for name, ratio in ratios.items()]}

    assert agree.disagreements(run(a=1.0, b=1.0), run(a=1.14, b=0.88)) == []
    assert agree.disagreements(run(a=1.0, b=1.0), run(a=1.16, b=0.86)) == ["a / w: 1 and 1.16", "b / w: 1 and 0.86"]
    assert agree.disagreements(run(a=1.0), run(b=1.0)) == ["a / w: in one run only", "b / w: in one run only"]


def test_of_what_is_bounded_by_a_difference_the_ratio_has_to_agree() -> None:
    def start_up(ours: float, limit: float) -> dict[str, Any]:  # Any: as bench.json has it
        told = {"row": "r", "what": "w", "beyond": True, "ratio": {"median": ours - limit}}
        return {"results": [told | {"ours": {"median": ours}, "limit": {"median": limit}}]}

    assert agree.disagreements(start_up(1.4, 1.1), start_up(1.5, 1.0)) == ["r / w: 1.27 and 1.5"]
    assert agree.disagreements(start_up(1.4, 1.1), start_up(1.4, 1.2)) == []
