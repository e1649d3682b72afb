"""Row 26: broker, notifier and mail server are all stopped. Who logs in by app or passkey does not notice (I6); a login
that needs a mail is refused, and so is a mail that is asked for (0007).
"""

from __future__ import annotations

import asyncio

import httpx

from shared.messaging.events import AccountChanged
from tests.auth_steps import pair
from tests.composed import AUTH, bearer
from tests.faults.rows.app_codes import enrolled_app, submit
from tests.faults.rows.own_broker_url import amqp_url
from tests.faults.rows.promises import AT_ONCE
from tests.integration.codes_path import PATIENCE, CodesPath
from tests.passkey_steps import PasskeySteps
from tests.polling import eventually
from tests.servers.killable import killed
from tests.servers.own_broker import OwnBroker

__all__ = ("amqp_url",)


async def challenged(path: CodesPath, account: AccountChanged, method: str) -> str:
    """The temporary token; no mail is on its way."""
    answer = await path.auth.log_in(account.username)
    assert answer.status_code == 200, answer.text
    asked = answer.json()
    assert (asked["methods"][0], asked["sent"]) == (method, False)
    return str(asked["temporary_token"])


def is_refused(answer: httpx.Response) -> bool:
    return answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1


async def test_logins_by_app_and_by_passkey_need_neither_broker_nor_notifier_nor_mail_server(
    path: CodesPath, broker: OwnBroker
) -> None:
    await path.start_notifier()
    with_app, with_passkey = [await path.account(is_2fa=False) for _ in range(2)]
    app = await enrolled_app(path.auth.http, pair(await path.auth.log_in(with_app.username)).access)
    steps = PasskeySteps(path.auth)
    passkey = await steps.enrolled(with_passkey)
    # A mail would do as well, and none is asked for.
    await path.sql.execute("UPDATE auth.identities SET is_2fa = true")
    await path.stop_notifier()

    async with killed(broker), path.mails.stopped():

        async def mailed_logins_are_refused() -> bool:
            return is_refused(await path.log_in())

        await eventually(mailed_logins_are_refused, PATIENCE)

        async with asyncio.timeout(AT_ONCE):
            temporary = await challenged(path, with_app, "totp")
            pair(await submit(path.auth.http, "verify-totp", temporary, app.code()))
        async with asyncio.timeout(AT_ONCE):
            pair(await steps.verify(await challenged(path, with_passkey, "passkey"), passkey))
        async with asyncio.timeout(AT_ONCE):
            pair(await steps.log_in(passkey))

        temporary = await challenged(path, with_app, "totp")
        assert is_refused(await path.auth.http.post(f"{AUTH}/challenge/email", headers=bearer(temporary)))
        assert is_refused(await path.log_in())

    for account in (with_app, with_passkey):
        assert {mail.purpose for mail in path.mails.mails_to(account.email)} <= {"notice"}
