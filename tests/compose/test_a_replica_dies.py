"""kill -9 of any one replica while people log in: who is not just being served by it does not notice."""

from __future__ import annotations

import itertools
import json
import time

import pytest

from login2fa_testing import Inbox, Login2FA
from tests.compose.containers import addresses, dead_letters, replicas
from tests.compose.crowd import crowd, strangers
from tests.compose.ledger import RESEND, TOKEN, VERIFY, Asked

LOGINS = 200
BEFORE = 60  # logins that are done when the replica is killed
CODE_SECONDS = 60.0  # nobody asks for another code: each has to arrive


LONG = pytest.mark.long  # tests/faults does it to processes in every run


@pytest.mark.parametrize("service", ["auth", pytest.param("users", marks=LONG), pytest.param("notifier", marks=LONG)])
def test_only_what_it_was_working_on_fails_and_every_code_arrives(
    healthy: Login2FA, gateway: str, inbox: Inbox, service: str
) -> None:
    victim = addresses(replicas(healthy, service)[0])
    with crowd(gateway, inbox, strangers(LOGINS), patience=CODE_SECONDS) as clients:
        clients.until_visits(BEFORE)
        before = time.monotonic()
        killed = healthy.compose.kill(service)
        moments = (before, time.monotonic())
        clients.until_home()
    healthy.compose.start_again(service)

    asked, failures = clients.ledger.all(), clients.ledger.failures()
    print(_figures(service, asked, moments))
    served_by = _upstreams(healthy)
    for failure in failures:
        assert failure.under_way_in(moments), f"not at the moment of the kill: {failure}"
        assert any(address in served_by[failure.request_id] for address in victim), f"not of {killed}: {failure}"
    assert len(clients.visits) == LOGINS
    tokens = sum(each.path == TOKEN and each.status == 200 for each in asked)
    logged_in = sum(each.path == VERIFY and each.status == 200 for each in asked)
    lost = sum(failure.path == VERIFY for failure in failures)
    assert logged_in == LOGINS
    assert LOGINS <= tokens <= LOGINS + lost, "a temporary token did not end in a pair"
    assert not [each for each in asked if each.path == RESEND]
    assert [each for each in asked if each.status == 429] == []
    assert set(dead_letters(healthy).values()) == {0}


def _upstreams(system: Login2FA) -> dict[str, str]:
    """The replicas that each request was sent to, by its id, as the gateway has logged it."""
    lines = [
        json.loads(line) for line in system.compose.logs("gateway").splitlines() if line.startswith('{"timestamp"')
    ]
    return {line["correlation_id"]: line["upstream"] for line in lines}


def _figures(service: str, asked: list[Asked], moments: tuple[float, float]) -> str:
    """What a reader of the output learns; nothing is asserted of times."""
    after = [each for each in asked if each.begun > moments[1]]
    before = [each for each in asked if each.ended < moments[0]]
    answered = sorted(each.ended for each in asked if not each.failed)
    silence = max(later - earlier for earlier, later in itertools.pairwise(answered))
    figures = {
        "requests": len(asked),
        "seconds": round(answered[-1] - asked[0].begun, 1),
        "under way at the kill": len(asked) - len(before) - len(after),
        "failed": [str(each) for each in asked if each.failed],
        "slowest before, s": round(max(each.seconds for each in before), 2),
        "slowest after, s": round(max(each.seconds for each in after), 2),
        "longest time without a good answer, s": round(silence, 2),
    }
    return f"{service} killed: {figures}"
