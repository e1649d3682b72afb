"""What must be answered to whom: accounts, challenges and sessions as the documents tell of them, and no more.

Each method is a request: it gives "<status>" or "<status> <code>" of the answer, and makes true what is so afterwards.
Moments are seconds of a clock that the walk moves.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# Other limits than the defaults, within reach of a short walk.
ATTEMPTS, RESENDS, COOLDOWN, LIFETIME = 3, 2, 30, 240
CODES_PER_HOUR, WRONG_IN_A_ROW, GRACE, HOUR = 5, 5, 10, 3600
SETTINGS = {
    "otp_attempts": ATTEMPTS,
    "otp_resends": RESENDS,
    "otp_resend_cooldown": COOLDOWN,
    "otp_lifetime": LIFETIME,
    "otp_codes_per_hour": CODES_PER_HOUR,
    "otp_wrong_in_a_row": WRONG_IN_A_ROW,
    "refresh_grace": GRACE,
    # Wrong passwords are not what this is about.
    "throttle_free": 1000,
    "throttle_name_per_hour": 1000,
    # Nor is back-pressure: hours pass here before the relay has published what was done a moment ago.
    "otp_pressure_on": 10_000_000,
}

NOT_VALID, TOO_MANY, NO_TOKEN = "400 otp_not_valid", "429 too_many_requests", "401 invalid_token"


@dataclass(eq=False)
class Account:
    """`epoch` counts what has ended all sessions but `kept`; `codes` are all that were sent to it."""

    id: str
    username: str
    email: str
    password: str
    is_2fa: bool
    epoch: int = 0
    kept: Session | None = None
    wrong_in_a_row: int = 0
    codes: list[str] = field(default_factory=list)
    challenges: list[Challenge] = field(default_factory=list)

    @property
    def codes_are_off(self) -> bool:
        return self.wrong_in_a_row >= WRONG_IN_A_ROW

    def has_had_its_codes(self, now: int) -> bool:
        """A challenge counts with all its codes until the latest is an hour old."""
        return sum(each.resends + 1 for each in self.challenges if each.sent > now - HOUR) >= CODES_PER_HOUR

    def log_in(self, now: int, *, right: bool) -> str:
        if not right:
            return "400 incorrect_credentials"
        if not self.is_2fa:
            return "200"
        if self.codes_are_off:
            return "400 codes_off"
        return TOO_MANY if self.has_had_its_codes(now) else "200"

    def change_password(self, password: str, by: Session) -> None:
        self.password, self.kept = password, by
        self.epoch += 1


@dataclass(eq=False)
class Challenge:
    """`codes`: all that were sent for it; the last one alone is good."""

    account: Account
    token: str
    codes: list[str]
    began: int
    sent: int
    epoch: int
    resends: int = 0
    attempts: int = 0
    used: bool = False

    def alive(self, now: int) -> bool:
        fresh = not self.used and self.attempts < ATTEMPTS and now < self.began + LIFETIME
        return fresh and self.epoch == self.account.epoch

    def verify(self, now: int, code: str) -> str:
        if self.account.codes_are_off or not self.alive(now):
            return NOT_VALID
        self.attempts += 1
        if code != self.codes[-1]:
            self.account.wrong_in_a_row += 1
            return NOT_VALID
        self.used, self.account.wrong_in_a_row = True, 0
        return "200"

    def look(self, now: int) -> str:
        return "200" if self.alive(now) and not self.account.codes_are_off else NO_TOKEN

    def resend(self, now: int) -> str:
        if self.look(now) != "200":
            return NO_TOKEN
        if self.resends >= RESENDS or now < self.sent + COOLDOWN or self.account.has_had_its_codes(now):
            return TOO_MANY
        self.resends += 1
        self.sent = now
        return "202"


@dataclass(eq=False)
class Refresh:
    """One refresh token. `given`: the answer to its first use, and to all repeats within the grace."""

    session: Session
    token: str
    used: int | None = None
    given: str | None = None

    def use(self, now: int) -> str:
        refused = "401 invalid_refresh_token"
        if self.used is None and self.session.lives():
            self.used = now
            return "200"
        if self.session.lives() and self.used is not None and now < self.used + GRACE:
            return "200"
        self.session.ended = self.session.ended or self.used is not None
        return refused


@dataclass(eq=False)
class Session:
    account: Account
    id: str
    epoch: int
    accesses: list[str] = field(default_factory=list)
    refreshes: list[Refresh] = field(default_factory=list)
    ended: bool = False

    def lives(self) -> bool:
        return not self.ended and (self.epoch == self.account.epoch or self.account.kept is self)
