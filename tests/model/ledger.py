"""What was asked for, what went wrong on the way, what came of it; and whether that is what we promise.

I1 no committed code is lost: mailed, or counted as expired, or given up with a reason. And one that is still alive
   long after the last fault has been mailed, unless the mail server refused it for good.
I2 no mail for a rolled-back challenge.
I3 no mail is begun after its code has expired; by as much later at most as a message was once on its way into the
   broker, for that a notifier can not notice (docs/decisions/0008).
I4 one mail, and at most one more for each time that somebody could not know what had happened; all of one event
   have the same code and the same Message-ID.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.messaging.bus import DeadLetter
from shared.messaging.events import OtpRequested
from tests.model.mail_server import Sent
from tests.model.walks import Violated

# Longer than all pauses of the real code after the end of a fault: a publish that nobody answers 10 s, the longest
# back-off 5 s, the pause after refused credentials 30 s, the longest retry 30 s, a mail that nobody answers 15 s.
RECOVERY = timedelta(seconds=90)


@dataclass(slots=True)
class Code:
    name: str
    event: OtpRequested
    digits: str
    committed: bool
    mails: list[Sent] = field(default_factory=list)


class Ledger:
    def __init__(self) -> None:
        self.codes: dict[str, Code] = {}
        self.unknown: Counter[str] = Counter()
        self.refused_for_good: set[str] = set()
        self._read = 0

    def asked(self, event: OtpRequested, digits: str, *, committed: bool) -> None:
        self.codes[str(event.event_id)] = Code(f"code {len(self.codes) + 1}", event, digits, committed)

    def could_not_know(self, event_ids: Iterable[str]) -> None:
        """Each of these may lead to one more mail."""
        self.unknown.update(event_ids)

    def check(self, inbox: list[Sent], *, slowest_publish: float) -> None:
        """I2, I3, I4: true at every moment."""
        for mail in inbox[self._read :]:
            self._read += 1
            code = self.codes[mail.event_id]
            code.mails.append(mail)
            self._check_mail(code, mail, slowest_publish)

    def _check_mail(self, code: Code, mail: Sent, slowest_publish: float) -> None:
        if not code.committed:
            raise Violated("I2", f"{code.name} was rolled back, and mailed")
        late = (mail.begun_at - code.event.expires_at).total_seconds()
        if late >= slowest_publish and late >= 0:
            raise Violated("I3", f"{code.name} was mailed {late:.1f} s after it had expired")
        if (mail.code, mail.recipient) != (code.digits, code.event.email) or mail.message_id != code.mails[
            0
        ].message_id:
            raise Violated("I4", f"{code.name} came with another code, to another person or under another Message-ID")
        allowed = 1 + self.unknown[mail.event_id]
        if len(code.mails) > allowed:
            raise Violated("I4", f"{code.name} was mailed {len(code.mails)} times, {allowed} could be explained")

    def check_at_rest(self, expired: set[str], dead: list[DeadLetter], disturbed_until: datetime) -> None:
        """I1: when nothing is under way any more."""
        reasons = {letter.event_id: letter.reason for letter in dead}
        for event_id, code in self.codes.items():
            if not code.committed or code.mails:
                continue
            if event_id in reasons and event_id in self.refused_for_good:
                continue
            alive = code.event.expires_at - max(disturbed_until, code.event.requested_at) > RECOVERY
            if event_id in expired and not alive:
                continue
            end = reasons.get(event_id) or ("dropped as expired" if event_id in expired else "no trace of it")
            raise Violated("I1", f"{code.name} was committed and never mailed: {end}")
