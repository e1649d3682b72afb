"""What clients were told and what came of it, kept outside the services; judged once all is quiet.

It knows what an API's client, the owner of an inbox and an operator know, and nothing else: answers, mails, what the
queues hold, and which rows wait. A mail and the request that it belongs to share their correlation id.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

LIFETIME = 240.0  # seconds of a code, in a run
WORTH_TELLING = 86400.0  # seconds of a notice

# Answers of which nobody knows what they have committed.
UNKNOWN = {None, 500, 502, 503, 504}

# The mails that a request may cause, and after which answers. Auth tells of many wrong passwords.
MAILED_FOR: dict[str, dict[str, set[int | None]]] = {
    "auth/token": {"login": {200, *UNKNOWN}, "notice": {400, 429, *UNKNOWN}},
    "users/registration": {"verify": {201, *UNKNOWN}},
    "users/verify-email/send": {"verify": {202, *UNKNOWN}},
    "users/password-reset": {"reset": {202, *UNKNOWN}},
    "users/password-reset/confirm": {"notice": {204, *UNKNOWN}},
}


@dataclass(frozen=True)
class Asked:
    """One request to one replica; moments are of `time.monotonic`, `status` is None where no answer came."""

    request_id: str
    replica: str
    path: str
    begun: float
    ended: float
    status: int | None
    said: str = field(repr=False, default="")
    retry_after: str = ""

    def __str__(self) -> str:
        seconds = self.ended - self.begun
        return f"{self.path} of {self.replica}: {self.status} after {seconds:.1f} s {self.said[:300]}"


@dataclass(frozen=True)
class Mailed:
    """`code` is empty in a notice."""

    at: float
    code: str
    message_id: str
    purpose: str = "login"


@dataclass
class Promise:
    """A mail that the API has promised: with the code of a challenge, an account code, or a notice. Or a login by the
    code of an app (`app`), which is good without a mail.

    `lives`: seconds. `told_failed`: it was counted as expired or given up, where its client or an operator sees it.
    """

    request_id: str
    email: str
    at: float
    purpose: str = "login"
    successes: int = 0
    told_failed: bool = False
    lives: float = LIFETIME

    @property
    def over_at(self) -> float:
        return self.at + (WORTH_TELLING if self.purpose == "notice" else self.lives)

    @property
    def is_mailed(self) -> bool:
        return self.purpose != "app"


@dataclass(frozen=True)
class Hurt:
    """A fault: whom it hurt, from when to when, and after how many seconds more all was well."""

    kind: str
    whom: frozenset[str]
    begun: float
    ended: float
    recovered: float
    bound: float
    doubles: int = 1

    def __str__(self) -> str:
        return f"{self.kind}: {self.ended - self.begun:.1f} s, well after {self.recovered:.1f} s"

    def overlaps(self, begun: float, ended: float) -> bool:
        return begun <= self.ended + self.recovered and ended >= self.begun


@dataclass
class Ledger:
    """`wrong` collects what no fault excuses, in sentences.

    `refusals` are how long clients were answered 503, until they got another answer.
    `of_nobody` are requests for addresses without an account. `proved` are addresses, and `passwords` those that
    replaced a forgotten one, by address.
    """

    asked: list[Asked] = field(default_factory=list)
    promises: dict[str, Promise] = field(default_factory=dict)
    mails: dict[str, list[Mailed]] = field(default_factory=lambda: defaultdict(list))
    hurts: list[Hurt] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    logins: int = 0
    logins_by_app: int = 0
    of_nobody: set[str] = field(default_factory=set)
    proved: set[str] = field(default_factory=set)
    passwords: dict[str, str] = field(default_factory=dict, repr=False)

    def promise(self, request_id: str, email: str, purpose: str = "login") -> Promise:
        self.promises[request_id] = Promise(request_id, email, time.monotonic(), purpose)
        return self.promises[request_id]

    def lost(self) -> list[Promise]:
        """Promised, never mailed, and nobody was told so."""
        return [each for each in self._not_mailed() if not each.told_failed]

    def given_up(self) -> list[Promise]:
        return [each for each in self._not_mailed() if each.told_failed]

    def _not_mailed(self) -> list[Promise]:
        return [each for each in self.promises.values() if each.is_mailed and not self.mails.get(each.request_id)]

    def late(self) -> list[Promise]:
        """Mailed when nobody could use the code any more."""
        return [p for p in self.promises.values() if any(m.at > p.over_at for m in self.mails.get(p.request_id, ()))]

    def doubled(self) -> dict[str, list[Mailed]]:
        """By request: mails beyond the first."""
        return {request_id: mails for request_id, mails in self.mails.items() if len(mails) > 1}

    def longest_wait(self) -> float:
        """Seconds from the promise of a code to its mail."""
        codes = [p for p in self.promises.values() if p.purpose != "notice" and self.mails.get(p.request_id)]
        return max((self.mails[p.request_id][0].at - p.at for p in codes), default=0.0)

    def longest_refusal(self) -> float:
        return max(self.refusals, default=0.0)

    def judge(self) -> list[str]:
        """Every breach of an invariant, in sentences; all must be quiet."""
        return [
            *self.wrong,
            *(f"I1: no {each.purpose} mail for {each.email}, promised by {each.request_id}" for each in self.lost()),
            *self._mails_of_nobody(),
            *(f"I3: a mail after expiry to {each.email}" for each in self.late()),
            *self._doubles(),
            *(
                f"I5: {p.successes} successes with one code of {p.email}"
                for p in self.promises.values()
                if p.successes > 1
            ),
            *self._answers(),
            *(
                f"I7: {h.kind}: well after {h.recovered:.1f} s, not {h.bound:.0f}"
                for h in self.hurts
                if h.recovered > h.bound
            ),
        ]

    def _mails_of_nobody(self) -> Iterable[str]:
        by_id = {asked.request_id: asked for asked in self.asked}
        for request_id, mails in self.mails.items():
            asked = by_id.get(request_id)
            for purpose in {mail.purpose for mail in mails}:
                allowed = MAILED_FOR.get(asked.path, {}).get(purpose, set()) if asked is not None else set()
                if asked is None or asked.status not in allowed or request_id in self._without_mails():
                    yield f"I2: a {purpose} mail for {asked or 'a request of nobody'}"

    def _without_mails(self) -> set[str]:
        return self.of_nobody | {each.request_id for each in self.promises.values() if not each.is_mailed}

    def _doubles(self) -> Iterable[str]:
        for request_id, mails in self.doubled().items():
            if len({mail.code for mail in mails}) > 1 or len({mail.message_id for mail in mails}) > 1:
                yield f"I4: two different mails for {request_id}"
            # Of the faults that were there between the request and the last mail of it.
            begun = self.promises[request_id].at if request_id in self.promises else mails[0].at - LIFETIME
            met = [hurt for hurt in self.hurts if hurt.overlaps(begun, mails[-1].at)]
            if len(mails) - 1 > sum(hurt.doubles for hurt in met):
                yield f"I4: {len(mails)} mails for {request_id}, and it met {', '.join(map(str, met)) or 'nothing'}"

    def _answers(self) -> Iterable[str]:
        for asked in self.asked:
            if asked.status is None:
                if not any(asked.replica in h.whom and h.overlaps(asked.begun, asked.ended) for h in self.hurts):
                    yield f"I6: no answer: {asked}"
            elif asked.status >= 500 and (asked.status != 503 or not asked.retry_after):
                yield f"I6: {asked}"

    def figures(self, wrong: int) -> str:
        statuses = Counter(str(asked.status or "none") for asked in self.asked)
        kinds = Counter(hurt.kind for hurt in self.hurts)
        slowest: dict[str, float] = {}
        for hurt in self.hurts:
            slowest[hurt.kind] = max(slowest.get(hurt.kind, 0.0), hurt.recovered)
        doubles = sum(len(mails) - 1 for mails in self.doubled().values())
        mails, slowest_of_all = sum(map(len, self.mails.values())), max(slowest.values(), default=0.0)
        promised = Counter(promise.purpose for promise in self.promises.values())
        used = Counter(promise.purpose for promise in self.promises.values() if promise.successes)
        lines = [
            f"two-factor logins {self.logins}, codes promised {promised['login']}, mails {mails}",
            f"logins by an app {self.logins_by_app}, its codes sent {promised['app']}",
            f"addresses proved by an account code {used['verify']}, codes promised {promised['verify']}",
            f"passwords replaced by a code {used['reset']}, codes promised {promised['reset']}",
            f"asked for a new password of nobody {len(self.of_nobody)}, notices promised {promised['notice']}",
            f"faults injected {len(self.hurts)}",
            f"lost {len(self.lost())}, told that it failed {len(self.given_up())}, late {len(self.late())}",
            f"wrong {wrong}, doubled {doubles}",
            f"longest wait for a code {self.longest_wait():.1f} s, longest recovery {slowest_of_all:.1f} s",
            f"longest time that somebody was refused {self.longest_refusal():.1f} s",
            f"requests {len(self.asked)}, by status: {', '.join(f'{s} {n}' for s, n in sorted(statuses.items()))}",
            "",
            f"{'fault':<56}{'times':>6}{'slowest recovery':>18}",
            *(f"{kind:<56}{count:>6}{slowest[kind]:>16.1f} s" for kind, count in sorted(kinds.items())),
        ]
        return "\n".join(lines)
