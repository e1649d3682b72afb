"""Postgres, RabbitMQ and MailHog go away while people log in, and come back: everything heals with no hand on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from login2fa_testing import Inbox, Login2FA, Person
from tests.compose.containers import OURS, THEIRS, dead_letters, started_at
from tests.compose.crowd import CLIENTS, Crowd, crowd, strangers
from tests.compose.ledger import RESEND

PEOPLE = 2 * CLIENTS + 1
LOGINS = 24  # before, and after
CODE_SECONDS = 60.0  # then another code is asked for; the notifier tries again within 30 s
LATE_CODE_SECONDS = 180.0  # less than a code lives


@pytest.fixture(scope="module")
def people(system: Login2FA, gateway: str, inbox: Inbox) -> list[Person]:
    """They are known to auth: who registers while the broker is away gets in once it is back."""
    with crowd(gateway, inbox, strangers(PEOPLE), patience=LATE_CODE_SECONDS) as clients:
        clients.until_home()
    return [visit.person for visit in clients.visits]


@contextmanager
def gone(system: Login2FA, service: str) -> Iterator[None]:
    """Inside the block `service` is away; at its end it is healthy again."""
    system.compose.run("stop", service)
    try:
        yield
    finally:
        system.compose.start_again(service)


@contextmanager
def watched(system: Login2FA, clients: Crowd, allowed: set[int]) -> Iterator[None]:
    """People log in before, inside and after the block, in which something goes away and comes back.

    All of them get in; every answer has a status that is `allowed`, a 503 says when to come back, no code is given up,
    and nobody starts one of our processes again.
    """
    starts = started_at(system, *OURS)
    clients.until_visits(LOGINS)
    yield
    clients.until_visits(len(clients.visits) + LOGINS)
    clients.stop()
    asked = clients.ledger.all()
    print(Counter((each.path, each.status) for each in asked))
    assert {each.status for each in asked} <= allowed, [str(each) for each in asked if each.status not in allowed]
    assert all(each.retry_after for each in asked if each.status == 503)
    system.compose.wait_until_healthy(*OURS, *THEIRS)
    assert started_at(system, *OURS) == starts, "one of ours had to be started again"
    assert set(dead_letters(system).values()) == {0}


@pytest.mark.long  # tests/faults does it to a Postgres of its own in every run
def test_without_postgres_a_login_is_told_when_to_come_back(
    healthy: Login2FA, gateway: str, inbox: Inbox, people: list[Person]
) -> None:
    somebody, *others = people
    # 400 and 401: a code that was used up by a request whose answer was lost.
    allowed = {200, 202, 400, 401, 503}
    with (
        crowd(gateway, inbox, others, patience=CODE_SECONDS, again=True) as clients,
        watched(healthy, clients, allowed),
    ):
        with gone(healthy, "postgres"):
            answer = submit_password(healthy, somebody)
            assert (answer.status_code, answer.json()["code"]) == (503, "temporarily_unavailable")
            assert int(answer.headers["retry-after"]) > 0
        log_in(healthy, inbox, somebody)


# Neither is asked while a request is answered. What MailHog had in its memory is gone when it comes back: who has not
# read it by then asks for another code.
@pytest.mark.parametrize(
    ("service", "patience"),
    [("rabbitmq", LATE_CODE_SECONDS), pytest.param("mailhog", CODE_SECONDS, marks=pytest.mark.long)],
)
def test_a_login_begins_all_the_same_and_its_code_arrives_later(
    healthy: Login2FA, gateway: str, inbox: Inbox, people: list[Person], service: str, patience: float
) -> None:
    somebody, *others = people
    with (
        crowd(gateway, inbox, others, patience=patience, again=True) as clients,
        watched(healthy, clients, {200, 202}),
    ):
        with gone(healthy, service):
            answer = submit_password(healthy, somebody)
            assert answer.status_code == 200, answer.text
        submit_code(healthy, inbox, somebody, answer.json()["temporary_token"])
    resent = [each for each in clients.ledger.all() if each.path == RESEND]
    assert service == "mailhog" or not resent, "a code was lost"


def submit_password(system: Login2FA, person: Person) -> httpx.Response:
    with system.client() as client:
        return client.post("/auth/token", data={"username": person.username, "password": person.password})


def submit_code(system: Login2FA, inbox: Inbox, person: Person, temporary: str) -> None:
    code = inbox.wait_for_code(person.email, timeout=LATE_CODE_SECONDS)
    with system.client() as client:
        bearer = {"Authorization": f"Bearer {temporary}"}
        answer = client.post("/auth/verify-otp", json={"otp": code}, headers=bearer)
    assert answer.status_code == 200, answer.text


def log_in(system: Login2FA, inbox: Inbox, person: Person) -> None:
    answer = submit_password(system, person)
    assert answer.status_code == 200, answer.text
    submit_code(system, inbox, person, answer.json()["temporary_token"])
