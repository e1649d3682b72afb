"""`login2fa-client`: what it refuses, and that a refresh token is used once."""

from __future__ import annotations

import asyncio
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from login2fa_client import AccessTokens, AsyncLogin2FA, LoggedIn, LoggedOut, Login2FA, TokenInvalid, Unavailable
from tests.forging import AUDIENCE, ISSUER, Signer, access_claims, without

README = Path(__file__).parents[2] / "clients" / "python" / "README.md"
OLD = LoggedIn("old", "once", 0.0)
BASE = "http://login.test"


class Server:
    """Auth as far as it is asked here."""

    def __init__(self, *signers: Signer) -> None:
        self.signers = signers
        self.up = True
        self.verdict = 200
        self.used: list[bytes] = []
        self.lock = Lock()
        self.second = Event()
        self.patience = 0.0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if not self.up:
            raise httpx.ConnectError("away")
        if request.url.path == "/.well-known/jwks.json":
            return httpx.Response(200, json={"keys": [signer.jwk for signer in self.signers]})
        if request.url.path == "/api/v1/auth/verify-token":
            return httpx.Response(self.verdict)
        with self.lock:
            self.used.append(request.content)
            if len(self.used) > 1:
                self.second.set()
        self.second.wait(self.patience)  # a second refresh that is on its way arrives before this one is answered
        return httpx.Response(self.verdict, json={"access_token": "new", "refresh_token": "next", "expires_in": 3600})


def tokens(server: Server, **more: Any) -> AccessTokens:
    transport = httpx.MockTransport(server)
    return AccessTokens(BASE, issuer=ISSUER, audience=AUDIENCE, transport=transport, **more)


@pytest.mark.parametrize(
    "claims",
    [
        access_claims(iss="https://other.test"),
        access_claims(aud="other"),
        access_claims(aud=[AUDIENCE]),
        access_claims(exp=int(time.time()) - 1),
        access_claims(exp="9999999999"),
        access_claims(acr="urn:login2fa:acr:9"),
        without(access_claims(), "exp"),
        without(access_claims(), "sid"),
    ],
)
def test_a_token_with_other_claims_is_refused(claims: dict[str, Any]) -> None:
    signer = Signer()
    checked = tokens(Server(signer))
    assert checked.verify(signer.token(access_claims())).acr == 1

    with pytest.raises(TokenInvalid):
        checked.verify(signer.token(claims))


@pytest.mark.parametrize("change", [{"typ": "rt+jwt"}, {"alg": "none"}, {"alg": "HS256"}, {"jku": BASE}, {"kid": "?"}])
def test_a_token_with_another_header_is_refused(change: dict[str, str]) -> None:
    signer = Signer()
    with pytest.raises(TokenInvalid):
        tokens(Server(signer)).verify(signer.token(access_claims(), signer.header(**change)))


def test_a_token_that_is_signed_with_the_public_key_is_refused() -> None:
    signer = Signer()
    with pytest.raises(TokenInvalid):
        tokens(Server(signer)).verify(signer.hmac_token(access_claims(), "HS256"))


def test_known_keys_serve_while_auth_is_away_and_without_any_nothing_is_said_of_a_token() -> None:
    signer = Signer()
    server = Server(signer)
    checked = tokens(server)
    server.up = False
    with pytest.raises(Unavailable):
        checked.verify(signer.token(access_claims()))

    server.up = True
    checked = tokens(server)
    checked.verify(signer.token(access_claims()))
    server.up = False
    checked.verify(signer.token(access_claims()))


def test_a_new_key_is_fetched_not_too_often_and_old_ones_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("login2fa_client.keys.time.monotonic", lambda: now)
    old, new = Signer("old"), Signer("new")
    server = Server(old)
    checked = tokens(server)
    checked.verify(old.token(access_claims()))
    server.signers = (new,)
    with pytest.raises(TokenInvalid):
        checked.verify(new.token(access_claims()))
    now += 6
    checked.verify(new.token(access_claims()))
    with pytest.raises(TokenInvalid):
        checked.verify(old.token(access_claims()))

    server.up = False
    now += 86_401
    with pytest.raises(Unavailable):
        checked.verify(new.token(access_claims()))


@pytest.mark.parametrize(("verdict", "failure"), [(401, TokenInvalid), (503, Unavailable)])
def test_ask_fails_closed(verdict: int, failure: type[Exception]) -> None:
    signer = Signer()
    server = Server(signer)
    checked = tokens(server, freshness="ask")
    checked.verify(signer.token(access_claims()))
    server.verdict = verdict

    with pytest.raises(failure):
        checked.verify(signer.token(access_claims()))


def test_threads_use_a_refresh_token_once() -> None:
    server = Server()
    server.patience = 0.3
    login = Login2FA(BASE, pair=OLD, transport=httpx.MockTransport(server))
    with login, ThreadPoolExecutor(8) as threads:
        got = list(threads.map(lambda _: login.access_token(), range(8)))

    assert (set(got), len(server.used)) == ({"new"}, 1)


async def test_tasks_use_a_refresh_token_once_also_if_the_first_is_cancelled() -> None:
    server = Server()
    async with AsyncLogin2FA(BASE, pair=OLD, transport=httpx.MockTransport(server)) as login:
        first, *others = [asyncio.create_task(login.access_token()) for _ in range(8)]
        await asyncio.sleep(0)
        first.cancel()

        assert set(await asyncio.gather(*others)) == {"new"}
    assert len(server.used) == 1


def test_a_refused_refresh_logs_out() -> None:
    server = Server()
    server.verdict = 401
    with Login2FA(BASE, pair=OLD, transport=httpx.MockTransport(server)) as login:
        with pytest.raises(LoggedOut):
            login.access_token()
        assert login.pair is None


async def test_the_service_of_the_readme_demands_a_step_up() -> None:
    signer = Signer()
    code = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[1]
    given: dict[str, Any] = {"base_url": BASE, "issuer": ISSUER, "audience": AUDIENCE}
    exec(compile(code, str(README), "exec", dont_inherit=True), given)
    app: FastAPI = given["app"]
    given["tokens"].__init__(BASE, issuer=ISSUER, audience=AUDIENCE, transport=httpx.MockTransport(Server(signer)))
    own = {"Authorization": f"Bearer {signer.token(access_claims())}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app.test") as client:
        assert (await client.get("/hello", headers=own)).status_code == 200
        assert (await client.get("/hello")).headers["www-authenticate"] == 'Bearer realm="login2fa"'
        refused = await client.post("/pay", headers=own)
    assert refused.status_code == 401
    assert 'acr_values="urn:login2fa:acr:2", max_age="300"' in refused.headers["www-authenticate"]
