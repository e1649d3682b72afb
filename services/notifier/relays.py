"""Several mail servers, asked in the order of the settings.

1. The next one gets a mail that this one does not take now, in the same attempt: it can not be reached, refuses our
   name, sender or login, or answers 4xx.
2. No other one gets a mail that this one may have taken, or has refused for good.
3. One that could not be used is asked last for AVOIDED_SECONDS, so that not every mail waits for it. One that refused
   our login is not asked at all meanwhile: that could lock the account.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence

from services.notifier.channel import CredentialsRefused, DeliveryFailed, InDoubt, Mail, TryLater, WillNotDeliver
from services.notifier.reach import Reach
from services.notifier.settings import NotifierSettings
from services.notifier.smtp import SmtpChannel
from services.notifier.turns import Turn

AVOIDED_SECONDS = 30.0


class Relays:
    def __init__(self, settings: Sequence[NotifierSettings]) -> None:
        of_any = _ReachOfAny()
        self.reach: Reach = of_any
        self._relays = [_Relay(each, of_any) for each in settings]

    async def deliver(self, mail: Mail, turn: Turn) -> str:
        failure: DeliveryFailed = TryLater("no mail server is asked for a while, as all refuse our login")
        for relay in self._in_order():
            try:
                return f"{relay.name}: {await relay.channel.deliver(mail, turn)}"
            except DeliveryFailed as error:
                relay.failed(error)
                failure = type(error)(f"{relay.name}: {error}")
                if isinstance(error, InDoubt | WillNotDeliver):
                    break
        raise failure

    async def probe(self) -> None:
        """All of them. Raises `TryLater` if none can be used."""
        await asyncio.gather(*(_probed(relay) for relay in self._in_order()))
        if not self.reach.good:
            raise TryLater(self.reach.reason)

    async def close(self) -> None:
        await asyncio.gather(*(relay.channel.close() for relay in self._relays))

    def _in_order(self) -> list[_Relay]:
        return sorted((relay for relay in self._relays if relay.may_be_asked), key=lambda relay: relay.is_avoided)


class _Relay:
    def __init__(self, settings: NotifierSettings, of_any: _ReachOfAny) -> None:
        self.name = f"{settings.smtp_host}:{settings.smtp_port}"
        self.channel = SmtpChannel(settings, of_any.of_one(self.name))
        self._avoided_until = 0.0
        self._login_is_refused = False

    @property
    def is_avoided(self) -> bool:
        return time.monotonic() < self._avoided_until

    @property
    def may_be_asked(self) -> bool:
        return not (self._login_is_refused and self.is_avoided)

    def failed(self, error: DeliveryFailed) -> None:
        self._login_is_refused = isinstance(error, CredentialsRefused)
        if isinstance(error, CredentialsRefused | InDoubt) or not self.channel.reach.good:
            self._avoided_until = time.monotonic() + AVOIDED_SECONDS


async def _probed(relay: _Relay) -> None:
    try:
        await relay.channel.probe()
    except DeliveryFailed as error:
        relay.failed(error)


class _ReachOfAny(Reach):
    """Good as long as one is. `reason` names those that are not."""

    def __init__(self) -> None:
        super().__init__()
        self._each: list[Reach] = []

    def of_one(self, name: str) -> Reach:
        self._each.append(_ReachOfOne(name, self))
        return self._each[-1]

    def heard(self) -> None:
        bad = [each.reason for each in self._each if not each.good]
        if len(bad) < len(self._each) or all(math.isfinite(each.age) for each in self._each):
            self.note(good=len(bad) < len(self._each), reason="; ".join(bad))


class _ReachOfOne(Reach):
    def __init__(self, name: str, of_any: _ReachOfAny) -> None:
        super().__init__()
        self._name, self._of_any = name, of_any

    def note(self, *, good: bool, reason: str = "") -> None:
        super().note(good=good, reason=f"{self._name}: {reason}" if reason else "")
        self._of_any.heard()
