"""What clients were told and what came of it, kept outside the services; judged once all is quiet.

It knows what an API's client, the owner of an inbox and an operator know, and nothing else: answers, mails, what the
queues hold, and which rows wait. A mail and the request that it belongs to share their correlation id.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

LIFETIME = 240.0  # seconds of a challenge

UNPROMISED = {200, None, 500, 502, 503, 504}  # answers to a login, after which a mail may come all the same


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
    at: float
    code: str
    message_id: str


@dataclass
class Promise:
    """A challenge that the API has promised a code for."""

    request_id: str
    email: str
    at: float
    successes: int = 0
    told_failed: bool = False


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
    """`wrong` collects what no fault excuses, in sentences."""

    asked: list[Asked] = field(default_factory=list)
    promises: dict[str, Promise] = field(default_factory=dict)
    mails: dict[str, list[Mailed]] = field(default_factory=lambda: defaultdict(list))
    hurts: list[Hurt] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    logins: int = 0

    def promise(self, request_id: str, email: str) -> Promise:
        self.promises[request_id] = Promise(request_id, email, time.monotonic())
        return self.promises[request_id]

    def lost(self) -> list[Promise]:
        """Promised, never mailed, and nobody was told so."""
        return [each for each in self.promises.values() if not self.mails.get(each.request_id) and not each.told_failed]

    def given_up(self) -> list[Promise]:
        return [each for each in self.promises.values() if not self.mails.get(each.request_id) and each.told_failed]

    def late(self) -> list[Promise]:
        """Mailed when nobody could use the code any more."""
        return [
            p for p in self.promises.values() if any(m.at > p.at + LIFETIME for m in self.mails.get(p.request_id, ()))
        ]

    def doubled(self) -> dict[str, list[Mailed]]:
        """By request: mails beyond the first."""
        return {request_id: mails for request_id, mails in self.mails.items() if len(mails) > 1}

    def longest_wait(self) -> float:
        """Seconds from a promise to its mail."""
        waits = [self.mails[p.request_id][0].at - p.at for p in self.promises.values() if self.mails.get(p.request_id)]
        return max(waits, default=0.0)

    def judge(self) -> list[str]:
        """Every breach of an invariant, in sentences; all must be quiet."""
        return [
            *self.wrong,
            *(f"I1: no mail for {each.email}, promised by {each.request_id}" for each in self.lost()),
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
        for request_id in self.mails:
            asked = by_id.get(request_id)
            if asked is None or asked.status not in UNPROMISED:
                yield f"I2: a mail for {asked or 'a request of nobody'}"

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
        lines = [
            f"two-factor logins {self.logins}, codes promised {len(self.promises)}, mails {mails}",
            f"faults injected {len(self.hurts)}",
            f"lost {len(self.lost())}, told that it failed {len(self.given_up())}, late {len(self.late())}",
            f"wrong {wrong}, doubled {doubles}",
            f"longest wait for a code {self.longest_wait():.1f} s, longest recovery {slowest_of_all:.1f} s",
            f"requests {len(self.asked)}, by status: {', '.join(f'{s} {n}' for s, n in sorted(statuses.items()))}",
            "",
            f"{'fault':<56}{'times':>6}{'slowest recovery':>18}",
            *(f"{kind:<56}{count:>6}{slowest[kind]:>16.1f} s" for kind, count in sorted(kinds.items())),
        ]
        return "\n".join(lines)
