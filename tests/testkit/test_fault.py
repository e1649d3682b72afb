"""Which service is named when a stack does not start, and that a command of Docker ends when its time is over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from testcontainers.compose import ComposeContainer

from login2fa_testing import DockerFailed, docker_command
from login2fa_testing.fault import at_fault, states
from tests.polling import wait_until

FINE = ComposeContainer(Service="auth", State="running", Health="healthy")
PREPARED = ComposeContainer(Service="migrate", State="exited", ExitCode=0)
LATE = ComposeContainer(Service="mailhog", State="running", Health="starting")
ILL = ComposeContainer(Service="postgres", State="running", Health="unhealthy")
AGAIN = ComposeContainer(Service="rabbitmq", State="restarting", ExitCode=1)
DEAD = ComposeContainer(Service="secrets", State="exited", ExitCode=3)
NOT_STARTED = ComposeContainer(Service="gateway", State="created")


@pytest.mark.parametrize(
    ("containers", "fault"),
    [
        ([NOT_STARTED, LATE, ILL, AGAIN, DEAD, FINE], ("secrets", "ended with exit code 3")),
        ([NOT_STARTED, LATE, ILL, AGAIN, FINE], ("rabbitmq", "ends again and again")),
        ([NOT_STARTED, LATE, ILL, FINE], ("postgres", "is unhealthy")),
        ([NOT_STARTED, LATE, FINE], ("mailhog", "was not healthy in time")),
    ],
    ids=["dead", "restarting", "unhealthy", "late"],
)
def test_what_has_died_comes_before_what_is_ill_and_that_before_what_is_late(
    containers: list[ComposeContainer], fault: tuple[str, str]
) -> None:
    assert at_fault(containers) == fault


def test_a_service_that_waits_for_others_or_has_done_its_work_is_at_no_fault() -> None:
    assert at_fault([NOT_STARTED, PREPARED, FINE]) is None
    assert states([NOT_STARTED, PREPARED, FINE]) == "auth running (healthy), gateway created, migrate exited"
    assert states([]) == "none"


def test_a_command_whose_time_is_over_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    child = tmp_path / "child"
    with pytest.raises(DockerFailed, match=r"^`sh -c .*` did not end within 1 s\.$"):
        docker_command.run(["sh", "-c", f"sleep 1000 & echo $! >{child}; wait"], seconds=1)

    number = int(child.read_text())
    wait_until(lambda: not _runs(number))


def _runs(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    # Its new parent may not have asked for its exit code yet.
    return "\nState:\tZ" not in Path(f"/proc/{number}/status").read_text()
