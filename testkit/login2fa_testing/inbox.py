"""Where mailed codes arrive: one protocol, and how a code is waited for in every kind of inbox."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol

WAIT_SECONDS = 30.0  # a tenth of a second when nothing is broken
STEP_SECONDS = 0.05


# An account code proves an address: of an account, its new one, for a new password, a registration, an invitation.
AccountCodePurpose = Literal["verify", "change", "reset", "register", "invite"]
Purpose = Literal["login"] | AccountCodePurpose


class NoCode(Exception):
    """No code came in time. The message tells what was there; codes are never part of it."""


class InboxUnreachable(Exception):
    """The inbox does not answer, or answers what no inbox of its kind does."""


class Inbox(Protocol):
    """Addresses are compared without regard to case. What was sent to others is never given.

    A login code is six digits. An account code is ten capitals and digits, whatever its mail puts between them. Neither
    is ever given for the other, and no account code for another purpose.
    """

    def codes(self, email: str) -> list[str]:
        """All login codes sent to `email` so far, oldest first; one that was delivered twice counts once.

        Raises:
            InboxUnreachable: it can't be read.
        """
        ...

    def wait_for_code(self, email: str, *, timeout: float = WAIT_SECONDS, after: int | None = None) -> str:
        """Return the newest login code for `email` that this object has not given yet, as soon as there is one.

        `timeout` is in seconds. With `after`, a number of codes, it is the code that follows so many: take
        `after=len(inbox.codes(email))` before the login, where others log in with the same account.

        Raises:
            NoCode: none came in time; an inbox that is away meanwhile is waited for.
        """
        ...

    def account_codes(self, email: str, purpose: AccountCodePurpose) -> list[str]:
        """All account codes for this purpose sent to `email` so far, as `codes` gives login codes."""
        ...

    def wait_for_account_code(
        self, email: str, *, purpose: AccountCodePurpose, timeout: float = WAIT_SECONDS, after: int | None = None
    ) -> str:
        """Return the newest account code for `email` and this purpose, as `wait_for_code` does a login code.

        Raises:
            NoCode: none came in time.
        """
        ...

    def clear(self) -> None:
        """Forget what has arrived so far, whoever it was for."""
        ...


@dataclass(frozen=True)
class Received:
    """A delivery. Two with the same `key` are the same one, delivered twice."""

    key: str
    code: str = field(repr=False)


class PolledInbox(ABC):
    """An inbox that has to be asked again and again. Safe to share between threads."""

    def __init__(self) -> None:
        self._given: defaultdict[tuple[str, Purpose], set[str]] = defaultdict(set)
        self._lock = threading.Lock()

    @abstractmethod
    def _received(self, email: str, purpose: Purpose) -> Iterable[Received]:
        """The deliveries to `email` (already in small letters) for this purpose, oldest first."""

    @property
    @abstractmethod
    def place(self) -> str:
        """Where it is, for messages."""

    @abstractmethod
    def clear(self) -> None: ...

    def codes(self, email: str) -> list[str]:
        return [each.code for each in self._deliveries(email, "login")]

    def wait_for_code(self, email: str, *, timeout: float = WAIT_SECONDS, after: int | None = None) -> str:
        return self._wait(email, "login", timeout, after)

    def account_codes(self, email: str, purpose: AccountCodePurpose) -> list[str]:
        return [each.code for each in self._deliveries(email, purpose)]

    def wait_for_account_code(
        self, email: str, *, purpose: AccountCodePurpose, timeout: float = WAIT_SECONDS, after: int | None = None
    ) -> str:
        return self._wait(email, purpose, timeout, after)

    def _wait(self, email: str, purpose: Purpose, seconds: float, after: int | None) -> str:
        deadline = time.monotonic() + seconds
        while True:
            last_look = time.monotonic() >= deadline
            seen = self._look(email, purpose, after)
            if isinstance(seen, Received):
                return seen.code
            if last_look:
                raise NoCode(f"No {purpose} code for {email} within {seconds:g} s: {seen}.")
            time.sleep(STEP_SECONDS)

    def _look(self, email: str, purpose: Purpose, after: int | None) -> Received | str:
        """The delivery that is waited for, or what is there instead."""
        try:
            deliveries = self._deliveries(email, purpose)
        except InboxUnreachable as error:
            return str(error).rstrip(".")
        with self._lock:
            given = self._given[email.lower(), purpose]
            if after is None:
                found = next((each for each in reversed(deliveries) if each.key not in given), None)
            else:
                found = deliveries[after] if len(deliveries) > after else None
            if found is None:
                wanted = "all given before" if after is None else f"and not {after + 1}"
                return f"{self.place} holds {len(deliveries)} for this address" + (f", {wanted}" if deliveries else "")
            # A code from before the one that is given is of an earlier request: it must not be given later.
            given.update(each.key for each in deliveries[: deliveries.index(found) + 1])
            return found

    def _deliveries(self, email: str, purpose: Purpose) -> list[Received]:
        received = list(self._received(email.lower(), purpose))
        first_of_each = {each.key: each for each in reversed(received)}
        return list(reversed(first_of_each.values()))
