"""S46: with REQUIRE_TLS nothing but loopback is spoken to in plain; a certificate of a stranger gets no secret.

Real servers, each behind a certificate: the right authority, a wrong one, a wrong name, no TLS at all.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import make_url
from yarl import URL

from shared.configuration.connections import trusted
from shared.database.pool import Database, is_transient
from shared.messaging.amqp.broker import Broker
from shared.messaging.bus import BusUnavailable
from shared.tokens.remote_keys import RemoteKeys
from tests.polling import eventually
from tests.servers.databases import PASSWORDS, Databases
from tests.servers.tls_front import SSL_REQUEST, Target, TlsFront, before
from tests.servers.tls_mail import self_signed

TRUSTED, STRANGERS = "trusted", "a stranger's"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each is of 127.0.0.1 alone, and its own authority."""
    return {name: self_signed(tmp_path_factory.mktemp("certificate")) for name in (TRUSTED, STRANGERS)}


# --- Postgres


def server_of(databases: Databases) -> Target:
    url = make_url(databases.admin_url)
    folder = url.query.get("host")
    return Path(f"{folder}/.s.PGSQL.{url.query['port']}") if folder else (str(url.host), url.port or 5432)


def database_url(databases: Databases, front: TlsFront, certificates: dict[str, Path], host: str = "127.0.0.1") -> str:
    url = make_url(databases.auth_url).set(host=host, port=front.port, query={})
    query = {"sslmode": "verify-full", "sslrootcert": str(certificates[TRUSTED])}
    return url.update_query_dict(query).render_as_string(hide_password=False)


async def answers(url: str) -> bool:
    """Whether the database answers; what it is refused with must be one of those that say "not now"."""
    database = Database(url, pool_size=2)
    try:
        async with database.statement() as connection:
            answer = await connection.exec_driver_sql("SELECT 42")
    except OSError as error:
        refused = is_transient(error)
    else:
        return answer is not None
    finally:
        await database.close()
    assert refused
    return False


def no_secret_in(heard: bytes) -> bool:
    """Neither a password nor a proof of one, nor a name: nothing but the wish for TLS."""
    return not [each for each in (PASSWORDS["auth"].encode(), b"SCRAM", b"auth\x00", b"PLAIN") if each in heard]


async def test_a_database_with_the_right_certificate_is_spoken_to_inside_tls(
    databases: Databases, certificates: dict[str, Path]
) -> None:
    async with before(TlsFront(server_of(databases), certificates[TRUSTED], SSL_REQUEST, b"S")) as front:
        assert await answers(database_url(databases, front, certificates))
    assert b"SELECT 42" in front.heard


@pytest.mark.parametrize(
    ("certificate", "answer", "host"),
    [
        pytest.param(STRANGERS, b"S", "127.0.0.1", id="of an authority that nobody trusts"),
        pytest.param(TRUSTED, b"S", "localhost", id="of another name"),
        pytest.param(None, b"N", "127.0.0.1", id="no TLS"),
        pytest.param(None, b"S", "127.0.0.1", id="TLS promised and not begun"),
        pytest.param(None, b"S" + b"R\x00\x00\x00\x08\x00\x00\x00\x03", "127.0.0.1", id="a question before TLS"),
        pytest.param(None, b"E", "127.0.0.1", id="an error"),
    ],
)
async def test_a_database_without_it_gets_neither_name_nor_password(
    databases: Databases, certificates: dict[str, Path], certificate: str | None, answer: bytes, host: str
) -> None:
    shown = certificates[certificate] if certificate else None
    async with before(TlsFront(server_of(databases), shown, SSL_REQUEST, answer)) as front:
        assert not await answers(database_url(databases, front, certificates, host))
    assert front.connections >= 1
    assert no_secret_in(bytes(front.heard))


@pytest.mark.parametrize("certificate", [TRUSTED, STRANGERS])
async def test_verify_ca_asks_for_the_authority_and_for_no_name(
    databases: Databases, certificates: dict[str, Path], certificate: str
) -> None:
    async with before(TlsFront(server_of(databases), certificates[certificate], SSL_REQUEST, b"S")) as front:
        url = database_url(databases, front, certificates, "localhost").replace("verify-full", "verify-ca")
        assert await answers(url) is (certificate == TRUSTED)


async def test_a_database_url_that_asks_for_encryption_alone_asks_for_no_name(
    databases: Databases, certificates: dict[str, Path]
) -> None:
    """This is libpq's `require`, which is why REQUIRE_TLS is not content with it."""
    url = make_url(databases.auth_url)
    async with before(TlsFront(server_of(databases), certificates[STRANGERS], SSL_REQUEST, b"S")) as front:
        asked = url.set(host="localhost", port=front.port, query={"sslmode": "require"})
        assert await answers(asked.render_as_string(hide_password=False))


# --- the broker


def broker_url(amqp_url: str, front: TlsFront, **changed: str) -> str:
    parts: dict[str, Any] = {"host": "127.0.0.1", "cafile": ""} | changed
    url = URL(amqp_url).with_scheme("amqps").with_host(parts["host"]).with_port(front.port)
    return str(url.with_query(cafile=parts["cafile"]) if parts["cafile"] else url)


def real_broker(amqp_url: str) -> Target:
    url = URL(amqp_url)
    return str(url.host), url.port or 5672


async def refused(url: str) -> str:
    """Why, or empty."""
    try:
        link = await Broker(url, name="test", heartbeat=5).connect("trial")
    except BusUnavailable as error:
        return str(error)
    await link.close()
    return ""


async def test_a_broker_with_the_right_certificate_is_logged_in_to_inside_tls(
    amqp_url: str, certificates: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with before(TlsFront(real_broker(amqp_url), certificates[TRUSTED])) as front:
        assert not await refused(broker_url(amqp_url, front, cafile=str(certificates[TRUSTED])))
        assert str(URL(amqp_url).password).encode() in front.heard

        monkeypatch.setenv("SSL_CERT_FILE", str(certificates[TRUSTED]))
        assert not await refused(broker_url(amqp_url, front))


@pytest.mark.parametrize(
    ("certificate", "host", "said"),
    [
        pytest.param(STRANGERS, "127.0.0.1", "self-signed certificate", id="of an authority that nobody trusts"),
        pytest.param(TRUSTED, "localhost", "not valid for 'localhost'", id="of another name"),
        pytest.param(None, "127.0.0.1", "", id="no TLS"),
    ],
)
async def test_a_broker_without_it_hears_no_login_and_the_error_says_what_is_wrong(
    amqp_url: str, certificates: dict[str, Path], certificate: str | None, host: str, said: str
) -> None:
    shown = certificates[certificate] if certificate else None
    async with before(TlsFront(real_broker(amqp_url), shown)) as front:
        error = await refused(broker_url(amqp_url, front, host=host, cafile=str(certificates[TRUSTED])))
    assert f"{host}:{front.port}: " in error
    assert said in error
    assert front.connections >= 1
    for secret in (str(URL(amqp_url).password).encode(), b"PLAIN", b"AMQP"):
        assert secret not in front.heard


# --- auth's public keys


async def fetched(url: str) -> bool:
    keys = RemoteKeys(url)
    try:
        await keys._fetch()
        return keys.known
    finally:
        await keys.close()


async def test_public_keys_are_believed_from_one_who_proves_its_name_and_from_nobody_else(
    jwks_url: str, certificates: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever answers in auth's place makes tokens of anybody."""
    parts = httpx.URL(jwks_url)
    target = (parts.host, parts.port or 80)

    async with before(TlsFront(target, certificates[TRUSTED])) as right, before(TlsFront(target, None)) as plain:
        url = f"https://127.0.0.1:{right.port}{parts.path}"
        assert not await fetched(url)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates[TRUSTED]))
        assert await fetched(url)
        assert not await fetched(url.replace("127.0.0.1", "localhost"))
        assert not await fetched(url.replace(str(right.port), str(plain.port)))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates[STRANGERS]))
        assert not await fetched(url)


def test_the_authorities_of_the_machine_are_those_without_any_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    context = trusted()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname is True


async def test_users_is_not_ready_before_it_has_had_a_public_key(jwks_url: str) -> None:
    keys = RemoteKeys(jwks_url)
    try:
        assert not keys.known
        keys.start()
        await eventually(lambda: keys.known)
    finally:
        await keys.close()
