"""What can be done to an event path: codes are asked for, messages and mails meet their fate, faults strike."""

from __future__ import annotations

import sys
from typing import ClassVar, TypeAlias

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.model.event_path import EventPath
from tests.model.faults import Blow, Mail, Publish
from tests.model.simulated_world import Log

MOST_CODES = 4
RELAYS = st.sampled_from(["auth 1", "auth 2"])
PROCESSES = st.sampled_from(["auth 1", "auth 2", "notifier 1", "notifier 2"])
LIVES = st.sampled_from([240, 240, 60, 20])
COMMITTED = st.sampled_from([True, True, True, False])
PUBLISHED = st.one_of(st.just(Publish.CONFIRMED), st.sampled_from(Publish))  # as many get on as do not
FATE = st.tuples(st.sampled_from([0, 0, 0, 1, 2]), PUBLISHED, st.sampled_from(Mail))
FATES = st.lists(FATE, max_size=4)
SECONDS = st.sampled_from([1, 1, 4, 4, 11, 31, 120])
BLOWS = st.sampled_from([*Blow, Blow.KILL, Blow.STOP, Blow.STOP])


Fate: TypeAlias = tuple[int, Publish, Mail]


class FaultyEventPath(RuleBasedStateMachine):
    """Each step is a moment of its own, and ends with a look at the promises; at the end all is mended, and rests."""

    log: ClassVar[Log]

    def __init__(self) -> None:
        super().__init__()
        self.path = EventPath(self.log)

    @initialize(at=RELAYS, lives=LIVES, fates=FATES)
    def first_code(self, at: str, lives: int, fates: list[Fate]) -> None:
        self.path.ask_for_a_code(at, lives=lives, committed=True)
        self._messages_meet(fates)

    @precondition(lambda self: len(self.path.ledger.codes) < MOST_CODES)
    @rule(at=RELAYS, lives=LIVES, committed=COMMITTED, fates=FATES)
    def ask_for_a_code(self, at: str, lives: int, committed: bool, fates: list[Fate]) -> None:
        self.path.ask_for_a_code(at, lives=lives, committed=committed)
        self._messages_meet(fates)

    @rule(fates=FATES, seconds=SECONDS, well=st.booleans())
    def time_passes(self, fates: list[Fate], seconds: int, well: bool) -> None:
        self._messages_meet(fates)
        if well:
            self.path.all_goes_well(min(seconds, 10))
        else:
            self.path.loop.pass_time(seconds)

    def _messages_meet(self, fates: list[Fate]) -> None:
        for which, publish, mail in fates:
            self.path.loop.pass_time()
            mails, publishes = self.path.mail_server.undecided, self.path.broker.unconfirmed
            if which < len(mails):
                self.path.decide_mail(mails[which], mail)
            elif which - len(mails) < len(publishes):
                self.path.decide_publish(publishes[which - len(mails)], publish)

    @rule(what=BLOWS, process=PROCESSES)
    def strike(self, what: Blow, process: str) -> None:
        if self.path.processes[process].alive:
            self.path.strike(what, process)

    @precondition(lambda self: self.path.is_damaged)
    @rule()
    def mend(self) -> None:
        self.path.mend()

    @invariant()
    def promises_are_kept(self) -> None:
        self.path.loop.pass_time()
        self.path.check()

    def teardown(self) -> None:
        try:
            if sys.exception() is None:  # a walk that has failed is not gone on with
                self.path.come_to_rest()
        finally:
            self.path.close()
