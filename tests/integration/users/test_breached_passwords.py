"""BREACHED_PASSWORDS: nobody gets a password of the list, whichever way it is set; without the setting anybody does."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.users.breach_filter import BreachFilterInvalid
from services.users.breach_list import build
from services.users.problems import PasswordTooWeak
from tests.builders import administration, registered
from tests.composed import USERS
from tests.integration.users.conftest import SentCodes
from tests.integration.users.registering import Running, register, running

__all__ = ("running",)

STOLEN = "tr0ub4dor and 3"
REASON = "Password must be another one: this one is in a list of stolen passwords"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "list").write_text(f"{STOLEN}\n")
    build(tmp_path / "list", tmp_path / "filter", 1, lambda _: None)
    return tmp_path / "filter"


@pytest.fixture
def damaged(file: Path) -> Path:
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    return file


async def test_a_stolen_password_is_refused_with_the_reason_wherever_one_is_set(
    running: Running, sent: SentCodes, file: Path
) -> None:
    async with running(breached_passwords=file) as app:
        account = await registered(app.parts)
        changed = {"password": STOLEN, "confirm_password": STOLEN}
        asked = (await app.http.post(f"{USERS}/password-reset", json={"email": account.email})).json()
        reset = asked | {"code": await sent.latest(account.email, "reset"), "password": STOLEN}
        reset.pop("expires_in")
        for answer in (
            await register(app, email="ada@example.org", password=STOLEN),
            await app.http.post(f"{USERS}/change-password", headers=app.as_(account.id), json=changed),
            await app.http.post(f"{USERS}/password-reset/confirm", json=reset),
        ):
            problem = answer.json()
            assert (answer.status_code, problem["code"], problem["detail"]) == (400, "password_too_weak", REASON)
        with pytest.raises(PasswordTooWeak):
            await administration(app.parts).set_password(STOLEN, id=account.id)
        assert (await register(app, email="ada@example.org", password=f"{STOLEN}!")).status_code == 201


async def test_without_the_setting_no_list_is_asked(running: Running) -> None:
    async with running() as app:
        assert (await register(app, email="ada@example.org", password=STOLEN)).status_code == 201


async def test_the_service_does_not_start_with_a_damaged_file(running: Running, damaged: Path) -> None:
    with pytest.raises(BreachFilterInvalid, match="damaged"):
        async with running(breached_passwords=damaged):
            pass
