"""Authenticator apps of people who log in while something breaks."""

from __future__ import annotations

import httpx

from login2fa_testing import AuthenticatorApp
from tests.composed import AUTH, bearer


async def enrolled_app(http: httpx.AsyncClient, access: str) -> AuthenticatorApp:
    """Confirmed, for the account of this access token. It has a code for one login at once, and then one each 30 s."""
    new = await http.post(f"{AUTH}/factors/totp", json={}, headers=bearer(access))
    assert new.status_code == 201, new.text
    app = AuthenticatorApp(new.json()["secret"])
    confirmed = await submit(http, f"factors/totp/{new.json()['id']}/confirm", access, app.code())
    assert confirmed.status_code == 200, confirmed.text
    return app


async def submit(http: httpx.AsyncClient, path: str, token: str, code: str) -> httpx.Response:
    return await http.post(f"{AUTH}/{path}", json={"otp": code}, headers=bearer(token))
