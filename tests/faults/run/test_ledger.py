"""The judge finds each breach: a ledger that is always content would prove nothing."""

from __future__ import annotations

import pytest

from tests.faults.run.ledger import LIFETIME, Asked, Hurt, Ledger, Mailed

MAIL = Mailed(at=1.0, code="123456", message_id="<one>")


def asked(request_id: str = "a", status: int | None = 200, *, path: str = "auth/token", **fields: str) -> Asked:
    return Asked(request_id, "auth-1", path, 0.0, 0.5, status, **fields)


def hurt(kind: str = "kill", *, recovered: float = 1.0, bound: float = 10.0) -> Hurt:
    return Hurt(kind, frozenset({"auth-1"}), 0.0, 2.0, recovered, bound)


@pytest.fixture
def ledger() -> Ledger:
    """One login, with its mail: nothing is wrong."""
    ledger = Ledger()
    ledger.asked.append(asked())
    ledger.promise("a", "a@example.org").at = 0.5
    ledger.mails["a"].append(MAIL)
    assert ledger.judge() == []
    return ledger


def the_breach(ledger: Ledger) -> str:
    (breach,) = ledger.judge()
    return breach[:2]


def test_a_promised_code_that_never_came(ledger: Ledger) -> None:
    ledger.mails.clear()
    assert the_breach(ledger) == "I1"


def test_one_that_was_told_to_have_failed_is_not_lost(ledger: Ledger) -> None:
    ledger.mails.clear()
    ledger.promises["a"].told_failed = True
    assert ledger.judge() == []
    assert len(ledger.given_up()) == 1


@pytest.mark.parametrize("status", [400, 401, 422, 429])
def test_a_mail_for_a_login_that_was_refused(ledger: Ledger, status: int) -> None:
    ledger.asked.append(asked("b", status))
    ledger.mails["b"].append(MAIL)
    assert the_breach(ledger) == "I2"


@pytest.mark.parametrize(
    ("path", "status", "purpose"),
    [
        ("users/registration", 201, "verify"),
        ("users/verify-email/send", 202, "verify"),
        ("users/password-reset", 202, "reset"),
        ("users/password-reset/confirm", 204, "notice"),
    ],
)
def test_what_is_promised_of_an_account_is_mailed_for_this_answer_and_nothing_else(
    ledger: Ledger, path: str, status: int, purpose: str
) -> None:
    ledger.asked.append(asked("b", status, path=path))
    ledger.promise("b", "a@example.org", purpose).at = 0.5
    assert the_breach(ledger) == "I1"
    ledger.mails["b"].append(Mailed(1.0, "", "<two>", purpose))
    assert ledger.judge() == []
    ledger.mails["b"][0] = MAIL
    assert the_breach(ledger) == "I2"
    ledger.asked[-1] = asked("b", 400, path=path)
    ledger.mails["b"][0] = Mailed(1.0, "", "<two>", purpose)
    assert the_breach(ledger) == "I2"


def test_a_code_for_an_address_without_an_account(ledger: Ledger) -> None:
    ledger.asked.append(asked("b", 202, path="users/password-reset"))
    ledger.of_nobody.add("b")
    ledger.mails["b"].append(Mailed(1.0, "", "<two>", "reset"))
    assert the_breach(ledger) == "I2"


def test_a_login_by_app_is_good_without_a_mail_and_wrong_with_one(ledger: Ledger) -> None:
    ledger.asked.append(asked("b"))
    promise = ledger.promise("b", "b@example.org", "app")
    assert ledger.judge() == []
    promise.successes = 2
    assert the_breach(ledger) == "I5"
    promise.successes = 1
    ledger.mails["b"].append(Mailed(promise.at, "123456", "<two>"))
    assert the_breach(ledger) == "I2"


def test_a_notice_lives_longer_than_a_code(ledger: Ledger) -> None:
    ledger.asked.append(asked("b", 204, path="users/password-reset/confirm"))
    ledger.promise("b", "a@example.org", "notice").at = 0.5
    ledger.mails["b"].append(Mailed(LIFETIME + 1, "", "<two>", "notice"))
    assert ledger.judge() == []


def test_a_mail_that_nobody_asked_for(ledger: Ledger) -> None:
    ledger.mails["b"].append(MAIL)
    assert the_breach(ledger) == "I2"


def test_a_mail_after_expiry(ledger: Ledger) -> None:
    ledger.mails["a"] = [Mailed(at=LIFETIME + 1, code="123456", message_id="<one>")]
    assert the_breach(ledger) == "I3"


def test_a_second_mail_that_no_fault_explains(ledger: Ledger) -> None:
    ledger.mails["a"].append(MAIL)
    assert the_breach(ledger) == "I4"
    ledger.hurts.append(hurt())
    assert ledger.judge() == []
    ledger.mails["a"].append(MAIL)
    assert the_breach(ledger) == "I4"


@pytest.mark.parametrize("other", [Mailed(1.0, "654321", "<one>"), Mailed(1.0, "123456", "<two>")])
def test_a_second_mail_that_differs(ledger: Ledger, other: Mailed) -> None:
    ledger.hurts.append(hurt())
    ledger.mails["a"].append(other)
    assert the_breach(ledger) == "I4"


def test_two_successes_with_one_code(ledger: Ledger) -> None:
    ledger.promises["a"].successes = 2
    assert the_breach(ledger) == "I5"


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_an_answer_that_no_client_can_use(ledger: Ledger, status: int) -> None:
    ledger.asked.append(asked("b", status))
    assert the_breach(ledger) == "I6"


def test_come_again_later_is_an_answer(ledger: Ledger) -> None:
    ledger.asked.append(asked("b", 503, retry_after="2"))
    assert ledger.judge() == []


def test_no_answer_from_a_replica_that_was_not_hurt(ledger: Ledger) -> None:
    ledger.asked.append(asked("b", None))
    assert the_breach(ledger) == "I6"
    ledger.hurts.append(hurt())
    assert ledger.judge() == []


def test_a_recovery_beyond_its_bound(ledger: Ledger) -> None:
    ledger.hurts.append(hurt(recovered=11.0))
    assert the_breach(ledger) == "I7"
