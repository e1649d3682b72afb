"""Addresses where the public network delivers nothing: taken, unless MAIL_RESERVED_DOMAINS says otherwise."""

from __future__ import annotations

import pytest

from services.users.problems import EmailNotValid
from shared.mail_address import RESERVED
from shared.messaging.memory import MemoryBus
from tests.builders import administration, registered, registration
from tests.composed import USERS, Keys, UsersApp, running_users, users_settings
from tests.servers.databases import Databases


@pytest.mark.parametrize("domain", RESERVED)
async def test_an_address_at_a_reserved_domain_is_registered_by_default(users_app: UsersApp, domain: str) -> None:
    answer = await users_app.http.post(f"{USERS}/registration", json=registration(email=f"ann@{domain}"))

    assert (answer.status_code, answer.json()["email"]) == (201, f"ann@{domain}")


async def test_where_they_are_refused_nobody_registers_with_one_or_changes_to_one(
    databases: Databases, keys: Keys, bus: MemoryBus, jwks_url: str
) -> None:
    settings = users_settings(databases, keys, jwks_url, mail_reserved_domains=False)
    async with running_users(settings, keys, bus) as app:
        account, operator = await registered(app.parts), administration(app.parts)
        for domain in RESERVED:
            new, headers = {"email": f"ann@mail.{domain}"}, app.as_(account.id)
            answers = [
                await app.http.post(f"{USERS}/registration", json=registration(**new)),
                await app.http.patch(f"{USERS}/{account.id}", json=new, headers=headers),
            ]
            assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(400, "email_not_valid")] * 2
            with pytest.raises(EmailNotValid):
                await operator.set_email(new["email"], id=account.id)
