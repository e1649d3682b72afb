"""What may happen to a message, a mail or a process, in the words of a trace."""

from __future__ import annotations

from enum import Enum


class _Spoken(Enum):
    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"


class Publish(_Spoken):
    """What the broker makes of a message that somebody wants confirmed."""

    CONFIRMED = "stored, and the publisher hears of it"
    UNHEARD = "stored, and the confirm gets lost"
    LOST = "not stored, and nobody hears anything"
    REFUSED = "not stored, and the publisher hears of it"
    CRASH = "not stored, and the publisher's process dies"
    STORED_THEN_CRASH = "stored, and the publisher's process dies before it hears of it"


class Mail(_Spoken):
    """What the mail server makes of a mail."""

    ACCEPTED = "250"
    DROPPED = "the connection is gone before the mail was"
    UNHEARD = "accepted, and the connection is gone before the 250 was heard"
    SILENT = "accepted, and no answer ever comes"
    REFUSED_FOR_NOW = "451"
    REFUSED_FOR_GOOD = "550"
    CREDENTIALS_REFUSED = "535"
    CRASH = "the notifier dies before the mail was accepted"
    ACCEPTED_THEN_CRASH = "accepted, and the notifier dies before it can acknowledge"
    ACCEPTED_THEN_CUT = "accepted, and the notifier's connections to the broker are gone before it can acknowledge"


class Blow(_Spoken):
    """What else happens to a process, or to the broker."""

    KILL = "SIGKILL"
    CUT_FROM_BROKER = "its connections to the broker break"
    CUT_FROM_DATABASE = "its connections to the database break"
    STOP = "SIGTERM while all else is well, and a start"
    BROKER_GOES = "the broker is not there until somebody mends it"
    MESSAGE_DOUBLED = "the broker has a message twice"
    CLOCK_LEAPS_AHEAD = "its wall clock shows five minutes more, until it is started again"
    CLOCK_LEAPS_BACK = "its wall clock shows five minutes less, until it is started again"
