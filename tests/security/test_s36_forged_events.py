"""S36: what one process has on the broker, and all that it has ever received, forges no event of another's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.configuration import SETTINGS
from services.notifier import app as notifier
from shared.messaging.amqp import AmqpBus, dead_letters
from shared.messaging.bus import Delivery, GiveUp, Message
from shared.messaging.edges import EDGES, Edge, EdgeKeys
from shared.messaging.events import AccountChanged, OtpOutcome, OtpRequested
from shared.messaging.notice_events import AuthNoticeRequested
from shared.messaging.topology import SUBSCRIPTIONS
from tests import edge_keys
from tests.builders import account_changed, message, otp_outcome, session_ended
from tests.composed import (
    AuthApp,
    Keys,
    UsersApp,
    auth_app,
    auth_settings,
    jwks_url,
    keys,
    notifier_settings,
    running_auth,
    running_users,
    users_app,
    users_settings,
)
from tests.composed_notifier import TappedBus
from tests.fakes import TroubledBus
from tests.polling import eventually
from tests.security.overheard import NOTIFIERS, Overheard, overhear, signed_with, tables
from tests.servers.databases import Databases, connected

__all__ = ("auth_app", "jwks_url", "keys", "users_app")

REASON = "forged or unsigned"
FORGED = GiveUp(REASON)
PATIENCE = 60.0
Forge = Callable[[Overheard], Message]


@pytest.fixture
async def bus(keys: Keys, tmp_path: Path) -> AsyncIterator[TappedBus]:
    """With the notifier on it; keeps all that is published."""
    bus = TappedBus()
    settings = notifier_settings(keys, notifier_channel="file", otp_log_file=tmp_path / "codes.txt")
    async with notifier.running(settings, bus):
        yield bus
    await bus.close()


@pytest.fixture
async def overheard(auth_app: AuthApp, users_app: UsersApp, bus: TroubledBus, keys: Keys) -> Overheard:
    return await overhear(auth_app, users_app, bus, keys)


@pytest.fixture
async def admin(databases: Databases) -> AsyncIterator[asyncpg.Connection]:
    async with connected(databases.admin_url) as connection:
        yield connection


def refused(queue: str, event_type: str) -> float:
    return series(queue, event_type) or 0


def series(queue: str, event_type: str) -> float | None:
    return REGISTRY.get_sample_value("login2fa_events_refused_total", {"queue": queue, "type": event_type})


def delivered(sent: Message, event_type: str) -> Delivery:
    return Delivery(
        routing_key=event_type, body=sent.body, event_id=sent.event_id, correlation_id="c", mac=sent.mac, attempt=1
    )


def queue_of(event_type: str) -> str:
    return next(each.queue for each in SUBSCRIPTIONS if event_type in each.routing_keys)


def genuine(kind: str, **changes: object) -> Forge:
    """A genuine event of that kind with its MAC, and these changes."""
    return lambda heard: replace(heard.genuine[kind], event_id=str(uuid4()), **changes)  # type: ignore[arg-type] # any field


def with_flipped_byte(heard: Overheard) -> Message:
    sent = heard.genuine[AccountChanged.type]
    return replace(sent, body=sent.body.replace(b'"is_admin":false', b'"is_admin":true '))


def re_serialised(heard: Overheard) -> Message:
    sent = heard.genuine[AccountChanged.type]
    return replace(sent, body=json.dumps(json.loads(sent.body)).encode())


def with_the_mac_of_another(heard: Overheard) -> Message:
    return replace(heard.as_victim(), mac=heard.of_thief.mac)


def under_another_type(heard: Overheard) -> Message:
    """The notifier's own words, rightly signed, as if users had said them."""
    state = heard.as_victim()
    own = replace(state, routing_key=OtpOutcome.type)
    signed = EdgeKeys({"notifier_to_auth": [NOTIFIERS["notifier_to_auth"]]}).signed(own)
    return replace(signed, routing_key=AccountChanged.type)


def by_each_key(forge: Forge) -> dict[str, Forge]:
    return {
        f"signed with {edge}": (lambda heard, key=key: signed_with(key, forge(heard)))  # type: ignore[misc] # bound now
        for edge, key in NOTIFIERS.items()
    }


def but(own: Edge, forge: Forge) -> dict[str, Forge]:
    """By each key but the one that is for it."""
    return {how: each for how, each in by_each_key(forge).items() if how != f"signed with {own}"}


def _named(name: str, forges: dict[str, Forge]) -> dict[str, Forge]:
    return {f"{name}, {how}": forge for how, forge in forges.items()}


FORGERIES: dict[str, Forge] = {
    **_named("the victim with the thief's hash", {"unsigned": Overheard.as_victim, **by_each_key(Overheard.as_victim)}),
    **_named("a tombstone", {"unsigned": Overheard.tombstone, **by_each_key(Overheard.tombstone)}),
    **_named("ended sessions", {"unsigned": Overheard.end_of_sessions, **by_each_key(Overheard.end_of_sessions)}),
    **_named("a proved address", {"unsigned": Overheard.proof, **by_each_key(Overheard.proof)}),
    **_named("no factors any more", {"unsigned": Overheard.no_factors, **by_each_key(Overheard.no_factors)}),
    **_named("another hash", {"unsigned": Overheard.another_hash, **by_each_key(Overheard.another_hash)}),
    **_named("an outcome", {"unsigned": Overheard.outcome, **but("notifier_to_auth", Overheard.outcome)}),
    **_named(
        "an outcome of an account code",
        {"unsigned": Overheard.account_code_outcome, **but("notifier_to_users", Overheard.account_code_outcome)},
    ),
    "a flipped byte": with_flipped_byte,
    "the body re-serialised": re_serialised,
    "the MAC of another event": with_the_mac_of_another,
    "another type": under_another_type,
    **{f"another event id of {kind}": genuine(kind) for kind in EDGES},
    **{f"no MAC on {kind}": genuine(kind, mac="") for kind in EDGES},
    **{f"another moment of {kind}": genuine(kind, published_at=None, mac="0" * 64) for kind in EDGES},
    "another moment of publication": lambda heard: replace(heard.genuine[OtpRequested.type], published_at=None),
    "another type of the same edge": lambda heard: replace(
        heard.genuine[OtpRequested.type], routing_key=AuthNoticeRequested.type
    ),
}


async def test_what_the_notifier_has_forges_nothing_of_anybodys(
    overheard: Overheard, bus: TroubledBus, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    """Each is given up at once, counted and logged, changes no row, and sends no mail."""
    before, mails = await tables(admin), (tmp_path / "codes.txt").read_text()
    passed = {}
    for name, forge in FORGERIES.items():
        forged = forge(overheard)
        queue = queue_of(forged.routing_key)
        counted = refused(queue, forged.routing_key)
        with capture_logs() as lines:
            await bus.publish(forged)
        letter = bus.dead_letters[-1] if bus.dead_letters else None
        said = [line for line in lines if line["event"] == "event refused: forged or unsigned"]
        seen = (
            letter and (letter.event_id, letter.queue, letter.reason, letter.attempts),
            refused(queue, forged.routing_key) - counted,
            [(line["log_level"], line["queue"], line["event_type"], line["event_id"]) for line in said],
            forged.body.decode() in str(lines),
        )
        if seen != (
            (forged.event_id, queue, REASON, 1),
            1,
            [("error", queue, forged.routing_key, forged.event_id)],
            False,
        ):
            passed[name] = seen
    assert passed == {}
    assert await tables(admin) == before
    assert (tmp_path / "codes.txt").read_text() == mails


async def test_an_event_that_its_queue_is_not_for_is_refused_and_names_no_series_of_a_metric(
    overheard: Overheard, bus: TappedBus
) -> None:
    """Straight into the queue, as somebody puts it who may write there: a type is any text at all."""
    for event_type in (OtpOutcome.type, "a thief's own word"):
        before = refused("auth.accounts", "other")
        assert await bus.handlers["auth.accounts"](delivered(overheard.genuine[OtpOutcome.type], event_type)) == FORGED
        assert refused("auth.accounts", "other") == before + 1
        assert series("auth.accounts", event_type) is None


async def test_a_genuine_event_that_comes_again_changes_nothing(
    overheard: Overheard, bus: TroubledBus, admin: asyncpg.Connection
) -> None:
    """A MAC does not say that an event is new: what is told again must be known already."""
    before = await tables(admin)
    for kind in (
        *("users.account_changed.v1", "auth.session_ended.v1", "notifier.otp_outcome.v1"),
        *(
            "auth.address_proved.v1",
            "auth.factors_changed.v1",
            "auth.password_rehashed.v1",
            "notifier.account_code_outcome.v1",
        ),
    ):
        await bus.publish(overheard.genuine[kind])
    assert bus.dead_letters == ()
    assert await tables(admin) == before


@pytest.mark.parametrize("service", sorted(SETTINGS))
def test_no_service_has_a_key_of_an_edge_that_is_not_its_own(service: str) -> None:
    edges = {f"{edge}_keys" for edge in edge_keys.KEYS}
    assert edges & SETTINGS[service].model_fields.keys() == edges & edge_keys.settings_of(service).keys()


async def test_on_a_real_broker_forged_events_are_dead_letters_at_once_and_again_when_they_are_replayed(
    databases: Databases, keys: Keys, jwks_url: str, amqp_url: str, admin: asyncpg.Connection
) -> None:
    async with AsyncExitStack() as stack:
        ours, thiefs = AmqpBus(amqp_url), AmqpBus(amqp_url)
        for bus in (ours, thiefs):
            stack.push_async_callback(bus.close)
        auth = await stack.enter_async_context(running_auth(auth_settings(databases, keys), ours))
        await stack.enter_async_context(running_users(users_settings(databases, keys, jwks_url), keys, ours))
        await eventually(auth.checks["auth-consumer"], PATIENCE)
        heard = await told_by_hand(keys, ours)
        await eventually(lambda: admin.fetchval("SELECT count(*) = 2 FROM auth.identities"), PATIENCE)
        before = await tables(admin)
        forged = [
            heard.as_victim(),
            signed_with(NOTIFIERS["notifier_to_auth"], heard.as_victim()),
            with_the_mac_of_another(heard),
            re_serialised(heard),
            heard.tombstone(),
            signed_with(NOTIFIERS["auth_to_notifier"], heard.tombstone()),
            heard.end_of_sessions(),
            signed_with(NOTIFIERS["notifier_to_auth"], heard.end_of_sessions()),
            signed_with(NOTIFIERS["auth_to_notifier"], heard.outcome()),
        ]
        counted = {each.routing_key: refused(queue_of(each.routing_key), each.routing_key) for each in forged}
        for each in forged:
            await thiefs.publish(each)

        async def all_refused() -> bool:
            letters = await dead_letters.list(amqp_url)
            assert sorted(letter.event_id for letter in letters) == sorted(each.event_id for each in forged)
            return {(letter.reason, letter.attempts) for letter in letters} == {(REASON, 1)}

        await eventually(all_refused, PATIENCE)
        assert await dead_letters.replay(amqp_url) == len(forged)
        await eventually(all_refused, PATIENCE)
        for event_type, earlier in counted.items():
            times = sum(each.routing_key == event_type for each in forged)
            assert refused(queue_of(event_type), event_type) == earlier + 2 * times
        assert await tables(admin) == before


async def told_by_hand(keys: Keys, bus: AmqpBus) -> Overheard:
    """What users tells of two accounts, and one of each other kind."""
    victim, thief = account_changed(keys.account_sealer), account_changed(keys.account_sealer)
    others = (session_ended(), otp_outcome())
    sent = {each.type: message(each) for each in others} | {AccountChanged.type: message(victim)}
    for each in (message(victim), message(thief)):
        await bus.publish(each)
    return Overheard(victim=victim.account_id, thief=thief.account_id, genuine=sent, of_thief=message(thief))
