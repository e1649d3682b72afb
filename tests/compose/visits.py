"""Two-factor logins as a well-behaved client does them: it comes back where it is told to, and asks for a lost code."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

import httpx

from login2fa_testing import Inbox, NoCode, Person
from tests.compose.ledger import ME, REGISTRATION, RESEND, TOKEN, VERIFY, Ledger

TRIES = 60  # of one request, with a pause between two
PAUSE_SECONDS = 0.5  # where the answer names none
ROUNDS = 5  # codes for one challenge, and logins for one visit


@dataclass(frozen=True)
class Answered:
    """The answer to a request that may have needed several tries; `lost` tells whether one of them has failed."""

    answer: httpx.Response
    lost: bool


@dataclass(frozen=True)
class Visit:
    """A login that is done, of a person who is registered by now."""

    person: Person


class Visitor:
    """`patience` is how many seconds a code is waited for before another one is asked for."""

    def __init__(
        self, ledger: Ledger, client: httpx.Client, inbox: Inbox, *, patience: float, over: threading.Event
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._inbox = inbox
        self._patience = patience
        self._over = over

    def register(self, person: Person) -> Person:
        fields = {"email": person.email, "username": person.username, "password": person.password}
        names = {"name": person.name, "lastname": person.lastname, "is_2fa": person.is_2fa}
        done = self._answered(REGISTRATION, body={**fields, **names})
        if done.lost and done.answer.status_code == 400:
            return replace(person, id="made by a request whose answer was lost")
        return replace(person, id=_expect(done.answer, 201)["id"])

    def visit(self, person: Person) -> Visit:
        """Register if need be, log in with the code, and ask who one is.

        Raises:
            AssertionError: something was refused that should not be, or it was in vain all the time.
        """
        if not person.id:
            person = self.register(person)
        for _ in range(ROUNDS):
            form = {"username": person.username, "password": person.password}
            temporary = _expect(self._answered(TOKEN, form=form).answer, 200)["temporary_token"]
            access = self._verified(person, temporary)
            if access is not None:
                me = _expect(self._answered(ME, token=access).answer, 200)
                assert me["email"] == person.email
                return Visit(person)
        raise AssertionError(f"{ROUNDS} logins of {person.email}, and no access token")

    def _verified(self, person: Person, temporary: str) -> str | None:
        """The access token; None where the right code was used up by a request whose answer was lost."""
        for _ in range(ROUNDS):
            try:
                code = self._inbox.wait_for_code(person.email, timeout=self._patience)
            except NoCode:
                again = self._answered(RESEND, token=temporary)
                if again.answer.status_code == 401:  # too old by now
                    return None
                _expect(again.answer, 202)
                continue
            done = self._answered(VERIFY, token=temporary, body={"otp": code})
            if done.answer.is_success:
                return str(done.answer.json()["access_token"])
            if done.lost:
                return None
            # It belongs to a challenge whose token was lost on its way: the next one is ours.
            assert done.answer.json()["code"] == "otp_not_valid", done.answer.text
        raise AssertionError(f"{ROUNDS} codes for {person.email}, and none was right")

    def _answered(
        self, path: str, *, token: str = "", form: dict[str, str] | None = None, body: dict[str, object] | None = None
    ) -> Answered:
        for number in range(TRIES):
            answer = self._ledger.ask(self._client, path, token=token, form=form, body=body)
            if answer is not None and answer.status_code != 429 and not answer.is_server_error:
                return Answered(answer, lost=number > 0)
            assert not self._over.is_set(), "the test is over"
            self._over.wait(float(answer.headers.get("retry-after", PAUSE_SECONDS)) if answer else PAUSE_SECONDS)
        raise AssertionError(f"{TRIES} times no answer to {path}")


def _expect(answer: httpx.Response, status: int) -> dict[str, str]:
    assert answer.status_code == status, f"{answer.request.url.path} {answer.status_code}: {answer.text}"
    found: dict[str, str] = answer.json() if answer.content else {}
    return found
