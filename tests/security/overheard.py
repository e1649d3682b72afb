"""One genuine event of every kind, as somebody with an ear in the broker has it, and what such a one forges of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg
import bcrypt

from services.auth.tables import outbox
from services.users import in_step
from shared.messaging.address_events import AccountCodeOutcome, AddressProved
from shared.messaging.bus import Message
from shared.messaging.edges import EDGES, Edge, EdgeKeys
from shared.messaging.events import AccountChanged, Event, OtpOutcome, OtpRequested, SessionEnded
from shared.messaging.factor_events import FactorsChanged
from shared.messaging.outbox import add
from shared.messaging.password_events import PasswordRehashed
from tests import edge_keys
from tests.builders import PASSWORD, factors_changed, registered
from tests.composed import AUTH, USERS, AuthApp, Keys, UsersApp, bearer
from tests.fakes import TroubledBus
from tests.polling import eventually
from tests.security.somebody import password_accepted, register

# What each of the notifier's keys is for, and all that it has.
NOTIFIERS: Mapping[Edge, str] = {edge: key for edge, key in edge_keys.KEYS.items() if "notifier" in edge}


@dataclass(frozen=True, kw_only=True)
class Overheard:
    """`victim` is an account without 2FA, `thief` the attacker's own; `genuine` are the last events by their type."""

    victim: UUID
    thief: UUID
    genuine: Mapping[str, Message]
    of_thief: Message

    def as_victim(self, **fields: object) -> Message:
        """The next state of the victim's account, with the thief's sealed hash."""
        theirs = AccountChanged.from_message(self.of_thief)
        taken = {"event_id": uuid4(), "account_id": self.victim, "version": 1000, "is_admin": True}
        return unsigned(theirs.model_copy(update=taken | fields))

    def tombstone(self) -> Message:
        return unsigned(AccountChanged(account_id=self.victim, incarnation=1, version=1000, deleted=True))

    def end_of_sessions(self) -> Message:
        ended = SessionEnded.from_message(self.genuine[SessionEnded.type])
        return unsigned(ended.model_copy(update={"event_id": uuid4(), "session_ids": (uuid4(),)}))

    def proof(self) -> Message:
        """That the victim reads the thief's mailbox."""
        told = AddressProved.from_message(self.genuine[AddressProved.type])
        return unsigned(told.model_copy(update={"event_id": uuid4(), "account_id": self.victim}))

    def no_factors(self) -> Message:
        """That the thief has none any more."""
        told = FactorsChanged.from_message(self.genuine[FactorsChanged.type])
        return unsigned(told.model_copy(update={"event_id": uuid4(), "version": 1000, "methods": ()}))

    def another_hash(self) -> Message:
        """That the victim's password is another one."""
        told = PasswordRehashed.from_message(self.genuine[PasswordRehashed.type])
        return unsigned(told.model_copy(update={"event_id": uuid4(), "account_id": self.victim}))

    def account_code_outcome(self) -> Message:
        told = AccountCodeOutcome.from_message(self.genuine[AccountCodeOutcome.type])
        return unsigned(told.model_copy(update={"event_id": uuid4(), "outcome": "given_up"}))

    def outcome(self) -> Message:
        told = OtpOutcome.from_message(self.genuine[OtpOutcome.type])
        return unsigned(told.model_copy(update={"event_id": uuid4(), "outcome": "given_up"}))


def unsigned(event: Event) -> Message:
    body, event_id = event.to_body().encode(), str(event.event_id)
    return Message(routing_key=event.type, body=body, event_id=event_id, correlation_id="a thief's")


def signed_with(key: str, message: Message) -> Message:
    """By this key, whatever it is for."""
    return EdgeKeys({EDGES[message.routing_key]: [key]}).signed(message)


async def overhear(auth: AuthApp, users: UsersApp, bus: TroubledBus, keys: Keys) -> Overheard:
    """Everything happens once: registrations, logins with and without a code and with a hash of another system, new
    passwords, a logout.
    """
    victim, thief = await registered(users.parts), await register(users, is_2fa=True)
    await _prove(auth, thief["username"], bus, keys)
    imported = await registered(users.parts, password_hash=bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode())
    await password_accepted(auth, imported.username)
    assert (await users.http.post(f"{USERS}/password-reset", json={"email": thief["email"]})).status_code == 202
    pair = (await password_accepted(auth, victim.username)).json()
    headers = bearer(pair["access_token"])
    change = {"password": PASSWORD + "!", "confirm_password": PASSWORD + "!", "current_password": PASSWORD}
    assert (await users.http.post(f"{USERS}/change-password", headers=headers, json=change)).status_code == 200
    for _ in range(11):
        await auth.log_in(victim.username, "wrong by eleven")
    assert (await auth.http.post(f"{AUTH}/logout", headers=headers)).status_code == 204
    async with users.parts.database.transaction() as connection:
        await in_step.report(connection)
    async with auth.parts.database.transaction() as connection:
        await add(connection, outbox, factors_changed(UUID(thief["id"]), "totp"))

    def all_heard() -> Overheard:
        genuine = {each.routing_key: each for each in bus.attempts if each.routing_key in EDGES}
        assert genuine.keys() == EDGES.keys()
        states = [each for each in bus.attempts if each.routing_key == AccountChanged.type]
        of_thief = [each for each in states if str(AccountChanged.from_message(each).account_id) == thief["id"]]
        return Overheard(victim=victim.id, thief=UUID(thief["id"]), genuine=genuine, of_thief=of_thief[-1])

    return await eventually(all_heard)


async def _prove(auth: AuthApp, username: str, bus: TroubledBus, keys: Keys) -> None:
    """By a login code."""
    login = (await password_accepted(auth, username)).json()

    def code() -> str:
        sent = [OtpRequested.from_message(each) for each in bus.attempts if each.routing_key == OtpRequested.type]
        return keys.otp_sealer.open(sent[-1].sealed_code, sent[-1].code_context) if sent else ""

    assert (await auth.verify_otp(login["temporary_token"], await eventually(code))).status_code == 200


async def tables(admin: asyncpg.Connection) -> dict[str, list[str]]:
    """Every row of both services, once their outboxes are empty; what tells that a notifier lives moves by itself."""

    async def nothing_waits() -> bool:
        rows = "SELECT (SELECT count(*) FROM auth.outbox) + (SELECT count(*) FROM users.outbox)"
        return int(await admin.fetchval(rows)) == 0

    await eventually(nothing_waits)
    names = await admin.fetch(
        "SELECT schemaname || '.' || tablename AS name FROM pg_tables WHERE schemaname IN ('auth', 'users')"
        " AND tablename NOT IN ('notifiers', 'back_pressure') ORDER BY 1"
    )
    rows = {}
    for each in names:
        found = await admin.fetch(f"SELECT t::text AS said FROM {each['name']} t ORDER BY 1")
        rows[each["name"]] = [row["said"] for row in found]
    return rows
