"""The README of `login2fa-client`, against the running product."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import jwt
import pytest

from login2fa_client import AccessTokens, AsyncLogin2FA, LoggedIn, TokenInvalid
from tests.clients.test_python import README
from tests.stacks.standalone import standalone
from tests.stacks.steps import register

pytestmark = pytest.mark.long


async def test_the_readme_logs_in_by_a_mailed_code_and_a_logout_is_noticed_by_ask() -> None:
    code = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[0]
    async with standalone() as stack:
        await stack.start()
        base_url = str(stack.http.base_url)
        person = await register(stack, is_2fa=True)
        loop = asyncio.get_running_loop()

        def ask(_question: str) -> str:
            return asyncio.run_coroutine_threadsafe(stack.inbox.wait_for_code(person.email), loop).result()

        given: dict[str, Any] = {"base_url": base_url, "username": person.username, "password": person.password}
        given["ask"] = ask
        await asyncio.to_thread(exec, code, given)
        assert given["account"]["username"] == person.username

        other = await register(stack)
        async with AsyncLogin2FA(base_url) as login:
            pair = await login.login(other.username, other.password)
            assert isinstance(pair, LoggedIn)
            refreshed = await login.access_token(refused=pair.access_token)
            issuer, audience = _named(refreshed)
            checked = AccessTokens(base_url, issuer=issuer, audience=audience, freshness="ask")
            assert str((await checked.verify_async(refreshed)).account) == other.id
            await login.logout()
            with pytest.raises(TokenInvalid):
                await checked.verify_async(refreshed)
            checked.close()


def _named(token: str) -> tuple[str, str]:
    """What this installation calls itself."""
    claims = jwt.decode(token, options={"verify_signature": False})
    return claims["iss"], claims["aud"]
