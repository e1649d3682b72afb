"""Auth's public keys as another service sees them, if auth is there, slow, wrong or away: shared.tokens.remote_keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from shared.tokens.access import kind
from shared.tokens.remote_keys import RemoteKeys
from shared.tokens.signed import TokenInvalid, UnknownKey
from shared.web.problems import Unavailable
from tests.forging import AUDIENCE, ISSUER, Signer, access_claims
from tests.polling import eventually
from tests.servers.keys import KeysServer
from tests.servers.ports import free_ports

ACCESS = kind(issuer=ISSUER, audience=AUDIENCE)
OLD, NEW = Signer("old"), Signer("new")
OLD_TOKEN, NEW_TOKEN = OLD.token(access_claims()), NEW.token(access_claims())

Make = Callable[..., RemoteKeys]


@pytest.fixture
async def server() -> AsyncIterator[KeysServer]:
    server = KeysServer(OLD.jwk)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def remote_keys(server: KeysServer) -> AsyncIterator[Make]:
    """Makes clients of the server, and closes them."""
    made: list[RemoteKeys] = []

    def make(
        *, url: str = server.url, interval: float = 3600, early_interval: float = 3600, patience: float = 5
    ) -> RemoteKeys:
        made.append(RemoteKeys(url, interval=interval, early_interval=early_interval, timeout=patience))
        return made[-1]

    yield make
    for each in made:
        await each.close()


async def test_the_first_token_is_read_though_nothing_was_fetched_before_it(remote_keys: Make) -> None:
    token = await remote_keys().read(OLD_TOKEN, ACCESS)
    assert token.epoch == 0


async def test_keys_are_fetched_in_the_background_and_then_cost_no_request(
    server: KeysServer, remote_keys: Make
) -> None:
    keys = remote_keys()
    keys.start()
    await eventually(lambda: keys._keys)

    for _ in range(50):
        await keys.read(OLD_TOKEN, ACCESS)

    assert server.requests == 1


async def test_before_the_first_key_nobody_is_told_that_a_token_is_invalid(
    server: KeysServer, remote_keys: Make
) -> None:
    await server.stop()
    with pytest.raises(Unavailable):
        await remote_keys().read(OLD_TOKEN, ACCESS)


async def test_before_the_first_key_what_is_no_token_is_refused_all_the_same(remote_keys: Make) -> None:
    with pytest.raises(TokenInvalid):
        await remote_keys().read("no token", ACCESS)


async def test_the_first_answer_is_waited_for_however_late_auth_starts(server: KeysServer, remote_keys: Make) -> None:
    await server.stop()
    keys = remote_keys()
    keys.start()
    with pytest.raises(Unavailable):
        await keys.read(OLD_TOKEN, ACCESS)

    await server.start()

    await eventually(lambda: keys._keys)
    assert await keys.read(OLD_TOKEN, ACCESS)


async def test_known_keys_serve_on_while_auth_is_away(server: KeysServer, remote_keys: Make) -> None:
    keys = remote_keys(interval=0.01, early_interval=0)
    keys.start()
    await eventually(lambda: server.requests >= 2)

    await server.stop()
    fetched_at = keys._fetched_at
    await eventually(lambda: keys._fetched_at > fetched_at)

    assert await keys.read(OLD_TOKEN, ACCESS)
    with pytest.raises(UnknownKey):
        await keys.read(NEW_TOKEN, ACCESS)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, "{}"), (404, "not here"), (200, ""), (200, "<html>"), (200, "[]"), (200, "null"), (200, "5"),
        (200, "{}"), (200, '{"keys": []}'), (200, '{"keys": 5}'), (200, '{"keys": null}'), (200, '{"keys": {"a": 1}}'),
        (200, '{"keys": [5, null, {}, {"kty": "EC"}]}'), (200, '{"keys": [{"kty": 5, "kid": 5}]}'), (200, "[" * 50000),
        (302, ""),
    ],
)  # fmt: skip
async def test_a_wrong_answer_neither_loses_the_keys_nor_ends_the_refresh(
    server: KeysServer, remote_keys: Make, status: int, body: str
) -> None:
    keys = remote_keys(interval=0.01, early_interval=0)
    keys.start()
    await eventually(lambda: keys._keys)

    server.status, server.body = status, body
    seen = server.requests
    await eventually(lambda: server.requests >= seen + 3)
    assert await keys.read(OLD_TOKEN, ACCESS)

    server.publish(NEW.jwk)
    await eventually(lambda: "new" in keys._keys)
    assert await keys.read(NEW_TOKEN, ACCESS)


async def test_an_auth_that_does_not_answer_is_given_up_after_the_time_out(
    server: KeysServer, remote_keys: Make
) -> None:
    server.answering.clear()
    with pytest.raises(Unavailable):
        await remote_keys(patience=0.05).read(OLD_TOKEN, ACCESS)


async def test_an_address_that_is_none_is_unavailable_and_no_bug(remote_keys: Make) -> None:
    for url in ("http://[::1", "nonsense", f"http://127.0.0.1:{free_ports(1)[0]}/", "ftp://127.0.0.1/", "http://\0/"):
        with pytest.raises(Unavailable):
            await remote_keys(url=url).read(OLD_TOKEN, ACCESS)


async def test_after_a_rotation_the_new_key_is_fetched_when_it_is_first_seen(
    server: KeysServer, remote_keys: Make
) -> None:
    keys = remote_keys(early_interval=0)
    await keys.read(OLD_TOKEN, ACCESS)
    server.publish(OLD.jwk, NEW.jwk)

    assert await keys.read(NEW_TOKEN, ACCESS)
    assert await keys.read(OLD_TOKEN, ACCESS)


async def test_a_key_that_auth_has_withdrawn_verifies_no_longer(server: KeysServer, remote_keys: Make) -> None:
    keys = remote_keys(early_interval=0)
    await keys.read(OLD_TOKEN, ACCESS)
    server.publish(NEW.jwk)
    await keys.read(NEW_TOKEN, ACCESS)

    with pytest.raises(UnknownKey):
        await keys.read(OLD_TOKEN, ACCESS)


async def test_all_who_bring_an_unknown_key_share_one_fetch(server: KeysServer, remote_keys: Make) -> None:
    keys = remote_keys(early_interval=0)
    await keys.read(OLD_TOKEN, ACCESS)
    server.publish(OLD.jwk, NEW.jwk)
    server.answering.clear()

    waiting = [asyncio.create_task(keys.read(NEW_TOKEN, ACCESS)) for _ in range(50)]
    await eventually(lambda: server.requests == 2)
    server.answering.set()

    assert len(await asyncio.gather(*waiting)) == 50
    assert server.requests == 2


async def test_a_flood_of_made_up_key_ids_causes_one_request_an_interval(server: KeysServer, remote_keys: Make) -> None:
    keys = remote_keys(early_interval=3600)
    await keys.read(OLD_TOKEN, ACCESS)

    for number in range(100):
        with pytest.raises(UnknownKey):
            await keys.read(Signer(f"made-up-{number}").token(access_claims()), ACCESS)

    assert server.requests == 1


async def test_a_client_that_hangs_up_does_not_cancel_the_fetch_of_the_others(
    server: KeysServer, remote_keys: Make
) -> None:
    keys = remote_keys()
    server.answering.clear()
    first, second = (asyncio.create_task(keys.read(OLD_TOKEN, ACCESS)) for _ in range(2))
    await eventually(lambda: server.requests == 1)

    first.cancel()
    await asyncio.wait([first])
    server.answering.set()

    assert await second
    assert server.requests == 1


async def test_a_proxy_of_the_environment_is_not_asked(remote_keys: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_ports(1)[0]}")
    assert await remote_keys().read(OLD_TOKEN, ACCESS)


async def test_close_ends_what_is_under_way(server: KeysServer, remote_keys: Make) -> None:
    server.answering.clear()
    keys = remote_keys()
    keys.start()
    await eventually(lambda: server.requests)
    await keys.close()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "jwks refresh"]
