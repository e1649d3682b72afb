"""Row 5: the broker is killed with -9 and started again. Nothing is lost (I1), and it recovers within 15 s (I7)."""

from __future__ import annotations

from dataclasses import replace

from services.users.codes import Codes
from tests.builders import registered
from tests.composed import Keys, UsersApp
from tests.faults.rows.account_codes import account_codes_counted, reset_token, resets
from tests.faults.rows.own_broker_url import amqp_url
from tests.faults.rows.promises import Promises
from tests.faults.rows.users_beside import users
from tests.integration.codes_path import PATIENCE, CodesPath
from tests.polling import eventually
from tests.servers.databases import Databases, connected
from tests.servers.killable import killed
from tests.servers.own_broker import OwnBroker

__all__ = ("amqp_url", "users")

RECOVERED_WITHIN = 15.0

# One more because the confirm was lost with the broker, and one more because the acknowledgement was.
MAILS_EACH = 3


async def test_codes_asked_for_before_and_while_the_broker_is_dead_arrive_when_it_is_back(
    path: CodesPath, promises: Promises, broker: OwnBroker
) -> None:
    await path.start_notifier()
    async with promises.coming_in():
        await promises.more_logins(20)
        async with killed(broker):
            await promises.more_logins(20)
            await promises.shown("auth-consumer", "notifier-consumer")
        await promises.delivered_again(RECOVERED_WITHIN)

    await promises.kept(mails_each=MAILS_EACH)


def let_codes_live(users: UsersApp, keys: Keys, seconds: int) -> None:
    """Shorter than any setting allows."""
    settings = users.parts.settings.model_copy(update={"mailed_code_lifetime": seconds})
    users.app.state.users = replace(users.parts, codes=Codes(settings, keys.mailed_sealer))


async def test_a_new_password_asked_for_while_the_broker_is_dead_is_mailed_when_it_is_back_or_counted_if_it_has_expired(
    path: CodesPath, users: UsersApp, keys: Keys, databases: Databases, broker: OwnBroker
) -> None:
    await path.start_notifier()
    somebody, too_late = [await registered(users.parts) for _ in range(2)]
    expired = account_codes_counted("expired")
    async with killed(broker):
        token = await reset_token(users, somebody.email)
        let_codes_live(users, keys, 1)
        await reset_token(users, too_late.email)

    await resets(users, token, await path.mails.account_code_for(somebody.email, "reset"))

    async with connected(databases.users_url) as sql:
        query = "SELECT outcome FROM users.codes WHERE account_id = $1"

        async def is_reported() -> bool:
            return bool(await sql.fetchval(query, too_late.id) == "expired")

        await eventually(is_reported, PATIENCE)
    assert account_codes_counted("expired") - expired == 1
    assert path.mails.mails_to(too_late.email) == []
