"""Envoy `jwt_authn`: the example, which checks tokens by our public keys and asks nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from services.auth.tokens.issue import SessionFacts, Tokens
from services.auth.tokens.keys import KeyRing, generate
from shared.messaging.events import AccountChanged
from tests.auth_steps import Accounts, pair
from tests.composed import AUTH, AuthApp, Keys, auth_settings, bearer
from tests.forging import access_claims, signing_input, without
from tests.gateway.examples.conftest import ISSUER, Site, site
from tests.gateway.examples.gateways import CHECKING_ITSELF
from tests.polling import eventually
from tests.servers.databases import Databases

ACCOUNT = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
SESSION = UUID("01890a5d-ac96-774b-bcce-b302099a8058")
FORGED = (
    "X-Auth-Subject",
    "x-auth-session",
    "X-AUTH-ADMIN",
    "X_Auth_Admin",
    "X-Auth-Verified",
    "X-Auth-Groups",
    "X-Auth-Acr",
)


@pytest.fixture(scope="module")
async def running_site(auth: AuthApp, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(CHECKING_ITSELF, auth, tmp_path_factory.mktemp("gateway")) as running:
        yield running


async def status(protected: Site, token: str) -> int:
    return (await protected.http.get("/", headers=bearer(token))).status_code


def signed(keys: Keys, claims: dict[str, Any], **header: Any) -> str:
    """By the key of auth, whatever it says."""
    key = KeyRing(keys.folder).signing_key()
    return jwt.encode(claims, key.private, key.algorithm, {"kid": key.kid, "typ": "at+jwt"} | header)


async def test_a_good_token_passes_with_subject_session_and_the_proof_of_the_address_set(
    protected: Site, auth: AuthApp, account: AccountChanged
) -> None:
    access = pair(await auth.log_in(account.username)).access

    answer = await protected.http.get("/", headers=bearer(access))

    assert (answer.status_code, answer.text) == (200, "from the upstream")
    (seen,) = protected.upstream.seen
    assert seen.values("x-auth-subject") == [str(account.account_id)]
    assert seen.values("x-auth-session") == [jwt.decode(access, options={"verify_signature": False})["sid"]]
    assert seen.values("x-auth-verified") == ["true"]


async def test_a_forged_header_never_reaches_the_upstream_nor_does_anybody_become_an_administrator(
    protected: Site, keys: Keys
) -> None:
    token = signed(keys, access_claims(iss=ISSUER))
    forged = [(name, "forged") for name in FORGED]

    answer = await protected.http.get("/", headers=[*forged, *forged, *bearer(token).items()])

    assert answer.status_code == 200
    (seen,) = protected.upstream.seen
    told = [(name, value) for name, value in seen.headers if name.replace("_", "-").startswith("x-auth-")]
    assert sorted(told) == [
        ("x-auth-session", str(SESSION)),
        ("x-auth-subject", str(ACCOUNT)),
        ("x-auth-verified", "true"),
    ]


async def test_refresh_and_temporary_tokens_are_refused(protected: Site, auth: AuthApp, accounts: Accounts) -> None:
    refresh = pair(await auth.log_in((await accounts.new()).username)).refresh
    temporary = (await auth.log_in((await accounts.new(is_2fa=True)).username)).json()["temporary_token"]

    assert [await status(protected, token) for token in (refresh, temporary)] == [403, 403]
    assert protected.upstream.seen == []


@pytest.mark.parametrize(
    ("changes", "missing", "expected"),
    [
        ({"aud": "login2fa/refresh"}, (), 403),  # Envoy's word for another audience
        ({"aud": "somebody else's"}, (), 403),
        ({}, ("aud",), 403),
        ({"iss": "https://evil.test"}, (), 401),
        ({}, ("iss",), 401),
        ({"exp": 1_700_000_000}, (), 401),
        ({"exp": "soon"}, (), 401),
        ({}, ("exp",), 401),
    ],
    ids=str,
)
async def test_a_token_for_another_purpose_or_time_is_refused(
    protected: Site, keys: Keys, changes: dict[str, Any], missing: tuple[str, ...], expected: int
) -> None:
    good = access_claims(iss=ISSUER)
    assert await status(protected, signed(keys, good)) == 200
    protected.upstream.seen.clear()

    assert await status(protected, signed(keys, without(good | changes, *missing))) == expected
    assert protected.upstream.seen == []


async def test_a_token_that_is_not_signed_by_us_is_refused(protected: Site, keys: Keys) -> None:
    claims = access_claims(iss=ISSUER)
    key = KeyRing(keys.folder).signing_key()
    public = key.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    good = signed(keys, claims)
    header = {"kid": key.kid, "typ": "at+jwt"}
    for algorithm in ("none", "None", "nOnE"):
        unsigned = signing_input(claims, header | {"alg": algorithm})
        for token in (unsigned + ".", unsigned, f"{unsigned}.{good.split('.')[2]}"):
            assert await status(protected, token) == 401, algorithm
    by_the_public_key = signing_input(claims, header | {"alg": "HS256"})
    mac = jwt.get_algorithm_by_name("HS256")
    forged = jwt.utils.base64url_encode(mac.sign(by_the_public_key.encode(), public)).decode()
    assert await status(protected, f"{by_the_public_key}.{forged}") == 401
    assert await status(protected, good[:-4] + "AAAA") == 401
    assert protected.upstream.seen == []


async def test_a_token_of_another_type_is_refused(protected: Site, keys: Keys) -> None:
    """RFC 9068 section 4."""
    for typ in ("rt+jwt", "otp+jwt", "JWT"):
        assert await status(protected, signed(keys, access_claims(iss=ISSUER), typ=typ)) == 403
    assert protected.upstream.seen == []


async def test_without_a_token_or_with_one_in_the_query_nothing_reaches_the_upstream(
    protected: Site, keys: Keys
) -> None:
    token = signed(keys, access_claims(iss=ISSUER))
    for path in ("/", f"/?access_token={token}", "/%2e%2e/x"):
        answer = await protected.http.get(path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer realm=")
    assert protected.upstream.seen == []


async def test_a_logout_is_not_seen_until_the_token_expires(
    protected: Site, auth: AuthApp, account: AccountChanged
) -> None:
    """What its first lines warn of."""
    access = pair(await auth.log_in(account.username)).access
    assert (await auth.http.post(f"{AUTH}/logout", headers=bearer(access))).status_code == 204

    assert await status(protected, access) == 200


async def test_with_auth_away_tokens_pass_by_the_keys_it_has(protected: Site, keys: Keys) -> None:
    token = signed(keys, access_claims(iss=ISSUER))
    protected.line.refuse()
    protected.line.cut()
    try:
        assert await status(protected, token) == 200
        assert await status(protected, token[:-4] + "AAAA") == 401
    finally:
        await protected.line.start()


async def test_a_rotation_of_the_keys_is_followed_without_a_restart(
    protected: Site, auth_databases: Databases, keys: Keys
) -> None:
    """As `login2fa keys rotate` does it, but with no time between publishing and signing."""
    before = signed(keys, access_claims(iss=ISSUER))
    (old,) = keys.folder.glob("*.pem")
    now = datetime.now(UTC)

    generate(keys.folder, signs_from=now)
    tokens = Tokens(auth_settings(auth_databases, keys, issuer=ISSUER), KeyRing(keys.folder))
    session = SessionFacts(
        id=uuid4(), account=uuid4(), epoch=0, began_at=now, auth_time=now, amr=["pwd"], email_verified=True, now=now
    )
    after = tokens.access(session, uuid4())
    assert jwt.get_unverified_header(after)["kid"] != jwt.get_unverified_header(before)["kid"]

    async def the_new_passes() -> bool:
        return await status(protected, after) == 200

    async def the_old_is_refused() -> bool:
        return await status(protected, before) == 401

    await eventually(the_new_passes, 30)
    assert await status(protected, before) == 200
    old.unlink()
    await eventually(the_old_is_refused, 30)
    assert await status(protected, after) == 200


async def test_an_expired_token_is_refused_to_the_second(protected: Site, keys: Keys) -> None:
    """Envoy's own leeway is a minute."""
    ago = int((datetime.now(UTC) - timedelta(seconds=3)).timestamp())

    assert await status(protected, signed(keys, access_claims(iss=ISSUER, exp=ago))) == 401
