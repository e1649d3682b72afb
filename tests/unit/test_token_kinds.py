"""The three kinds of token that auth signs: each is accepted as itself and as nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric import ec

from services.auth.tokens import keys
from services.auth.tokens.issue import SessionFacts, Tokens
from services.auth.tokens.keys import KeyRing
from shared.tokens import signed as signed_module
from shared.tokens.access import AccessToken
from shared.tokens.signed import TokenInvalid
from tests.composed import Keys, auth_settings
from tests.forging import AUDIENCE, ISSUER
from tests.servers.databases import Databases

ACCOUNT, TOKEN_ID, SESSION = uuid4(), uuid4(), uuid4()
KINDS = ("access", "refresh", "temporary")


NOWHERE = Databases("none", "postgresql+asyncpg://nobody:secret@127.0.0.1:1/none")


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    folder: Path = tmp_path_factory.mktemp("keys")
    keys.generate(folder)
    return KeyRing(folder)


def tokens_of(ring: KeyRing, issuer: str = ISSUER, audience: str = AUDIENCE) -> Tokens:
    otp_sealing, account_sealing = (Fernet.generate_key().decode() for _ in range(2))
    pepper = "0123456789abcdef" * 2
    keys = Keys(folder=Path("none"), otp_sealing=otp_sealing, account_sealing=account_sealing, pepper=pepper)
    return Tokens(auth_settings(NOWHERE, keys, issuer=issuer, audience=audience), ring)


def now() -> datetime:
    """Asked for at each use: by the end of a long run, a token of its beginning has expired."""
    return datetime.now(UTC).replace(microsecond=0)


def facts() -> SessionFacts:
    moment = now()
    return SessionFacts(
        id=SESSION,
        account=ACCOUNT,
        epoch=3,
        began_at=moment,
        auth_time=moment,
        amr=["pwd", "otp", "mfa"],
        email_verified=True,
        now=moment,
    )


def signed(tokens: Tokens, kind: str) -> str:
    return {
        "access": lambda: tokens.access(facts(), TOKEN_ID),
        "refresh": lambda: tokens.refresh(facts(), TOKEN_ID),
        "temporary": lambda: tokens.temporary(ACCOUNT, TOKEN_ID, now()),
    }[kind]()


def reader(tokens: Tokens, kind: str) -> Callable[[str], AccessToken | UUID]:
    readers: dict[str, Callable[[str], AccessToken | UUID]] = {
        "access": tokens.read_access,
        "refresh": tokens.read_refresh,
        "temporary": tokens.read_temporary,
    }
    return readers[kind]


def test_an_access_token_gives_back_its_session(ring: KeyRing) -> None:
    tokens, session = tokens_of(ring), facts()
    assert tokens.read_access(tokens.access(session, TOKEN_ID)) == AccessToken(
        account=ACCOUNT,
        session=SESSION,
        epoch=3,
        auth_time=int(session.auth_time.timestamp()),
        amr=("pwd", "otp", "mfa"),
    )


@pytest.mark.parametrize("kind", ["refresh", "temporary"])
def test_a_refresh_or_temporary_token_gives_back_its_id(ring: KeyRing, kind: str) -> None:
    tokens = tokens_of(ring)
    assert reader(tokens, kind)(signed(tokens, kind)) == TOKEN_ID


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("taken_for", KINDS)
def test_no_kind_is_taken_for_another(ring: KeyRing, kind: str, taken_for: str) -> None:
    tokens = tokens_of(ring)
    if kind == taken_for:
        assert reader(tokens, kind)(signed(tokens, kind))
        return
    with pytest.raises(TokenInvalid):
        reader(tokens, taken_for)(signed(tokens, kind))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_a_type_and_an_audience_of_its_own(ring: KeyRing, kind: str) -> None:
    tokens = tokens_of(ring)
    others = [signed(tokens, other) for other in KINDS if other != kind]
    own = signed(tokens, kind)
    for other in others:
        assert jwt.get_unverified_header(own)["typ"] != jwt.get_unverified_header(other)["typ"]
        assert unverified(own)["aud"] != unverified(other)["aud"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_of_another_issuer_or_audience_is_refused(ring: KeyRing, kind: str) -> None:
    tokens = tokens_of(ring)
    for foreign in (tokens_of(ring, issuer="https://other.test"), tokens_of(ring, audience="other")):
        with pytest.raises(TokenInvalid):
            reader(tokens, kind)(signed(foreign, kind))


def test_an_access_token_holds_what_rfc_9068_asks_and_no_personal_data(ring: KeyRing) -> None:
    session = facts()
    token = tokens_of(ring).access(session, TOKEN_ID)
    claims = unverified(token)
    issued_at = int(session.now.timestamp())

    assert UUID(claims.pop("jti")) != TOKEN_ID
    assert claims == {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(ACCOUNT),
        "client_id": AUDIENCE,
        "iat": issued_at,
        "exp": issued_at + 3600,
        "auth_time": issued_at,
        "amr": ["pwd", "otp", "mfa"],
        "acr": "urn:login2fa:acr:2",
        "email_verified": True,
        "sid": str(SESSION),
        "epoch": 3,
    }
    assert jwt.get_unverified_header(token) == {
        "typ": "at+jwt",
        "alg": "ES256",
        "kid": ring.signing_key().kid,
    }


@pytest.mark.parametrize(("kind", "seconds"), [("access", 3600), ("refresh", 30 * 86400), ("temporary", 240)])
def test_a_token_lives_as_long_as_its_kind_does(ring: KeyRing, kind: str, seconds: int) -> None:
    claims = unverified(signed(tokens_of(ring), kind))
    assert claims["exp"] - claims["iat"] == seconds


@pytest.mark.parametrize("kind", ["access", "refresh"])
def test_the_same_facts_give_the_same_token_to_the_byte(ring: KeyRing, kind: str) -> None:
    session = facts()
    one, other = tokens_of(ring), tokens_of(ring)
    assert getattr(one, kind)(session, TOKEN_ID) == getattr(other, kind)(session, TOKEN_ID)


def test_where_signatures_can_not_be_deterministic_the_claims_are_the_same(
    ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL before 3.2."""

    def unsupported(*_: object, **__: object) -> None:
        raise UnsupportedAlgorithm("deterministic")

    monkeypatch.setattr(ec, "ECDSA", unsupported)
    random = signed_module._signer()
    monkeypatch.undo()
    monkeypatch.setattr(signed_module, "_SIGNER", random)
    tokens, session = tokens_of(ring), facts()

    one, other = tokens.access(session, TOKEN_ID), tokens.access(session, TOKEN_ID)

    assert one != other
    assert unverified(one) == unverified(other)
    assert tokens.read_access(one) == tokens.read_access(other)


@pytest.mark.parametrize("kind", ["refresh", "temporary"])
def test_an_id_that_is_no_uuid_is_refused(ring: KeyRing, kind: str) -> None:
    tokens, key = tokens_of(ring), ring.signing_key()
    good = signed(tokens, kind)
    forged = jwt.encode(
        unverified(good) | {"jti": "x"}, key.private, key.algorithm, headers=jwt.get_unverified_header(good)
    )
    with pytest.raises(TokenInvalid):
        reader(tokens, kind)(forged)


@pytest.mark.parametrize("kind", KINDS)
def test_an_expired_token_is_refused_whatever_the_database_says(ring: KeyRing, kind: str) -> None:
    tokens, key = tokens_of(ring), ring.signing_key()
    good = signed(tokens, kind)
    past = int((now() - timedelta(hours=1)).timestamp())
    forged = jwt.encode(
        unverified(good) | {"exp": past}, key.private, key.algorithm, headers=jwt.get_unverified_header(good)
    )
    with pytest.raises(TokenInvalid):
        reader(tokens, kind)(forged)


def unverified(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims
