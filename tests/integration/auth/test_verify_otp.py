"""The second half of a login: check and use of a code are one statement, by the database's clock."""

from __future__ import annotations

from typing import cast

import asyncpg
import jwt
import pyotp
import pytest

from tests.auth_steps import Accounts, Login, Steps, pair, wrong
from tests.builders import full_width
from tests.composed import AUTH, AuthApp, bearer

LIFETIME = 240

# Digits to Unicode, and to a library that compares codes after NFKC.
MATHEMATICAL = "".join(chr(0x1D7CE + digit) for digit in range(1, 7))


@pytest.fixture
async def login(accounts: Accounts, steps: Steps) -> Login:
    return await steps.begin(await accounts.new(is_2fa=True))


async def attempts(sql: asyncpg.Connection, login: Login) -> int:
    challenge = jwt.decode(login.temporary, options={"verify_signature": False})["jti"]
    return int(await sql.fetchval("SELECT attempts FROM challenges WHERE id = $1", challenge))


async def test_the_right_code_gives_a_token_pair_once(auth_app: AuthApp, login: Login) -> None:
    tokens = pair(await auth_app.verify_otp(login.temporary, login.code))
    again = await auth_app.verify_otp(login.temporary, login.code)

    assert await auth_app.verify_token(tokens.access) == 200
    claims = jwt.decode(tokens.access, options={"verify_signature": False})
    assert (claims["amr"], claims["acr"]) == (["pwd", "otp", "mfa"], "urn:login2fa:acr:2")
    assert (again.status_code, again.json()["detail"]) == (400, "OTP not valid")


async def test_the_answer_to_a_wrong_a_used_and_an_expired_code_is_the_same(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, sql: asyncpg.Connection
) -> None:
    account = await accounts.new(is_2fa=True)
    mistaken, used, late = [await steps.begin(account) for _ in range(3)]
    await auth_app.verify_otp(used.temporary, used.code)
    await sql.execute("UPDATE challenges SET expires_at = now() WHERE used_at IS NULL")

    answers = [
        await auth_app.verify_otp(mistaken.temporary, wrong(mistaken.code)),
        await auth_app.verify_otp(used.temporary, used.code),
        await auth_app.verify_otp(late.temporary, late.code),
    ]

    assert {answer.status_code for answer in answers} == {400}
    assert len({answer.content for answer in answers}) == 1


async def test_a_password_change_kills_a_pending_challenge(auth_app: AuthApp, accounts: Accounts, steps: Steps) -> None:
    account = await accounts.new(is_2fa=True)
    login = await steps.begin(account)

    await accounts.end_sessions(account, password="a new password, for once")

    assert (await auth_app.verify_otp(login.temporary, login.code)).status_code == 400
    assert (await auth_app.resend_otp(login.temporary)).status_code == 401


async def test_a_harmless_change_leaves_a_pending_challenge_alive(
    auth_app: AuthApp, accounts: Accounts, steps: Steps
) -> None:
    account = await accounts.new(is_2fa=True)
    login = await steps.begin(account)

    await accounts.change(account)  # of the name, say: of which auth hears nothing

    pair(await auth_app.verify_otp(login.temporary, login.code))


@pytest.mark.parametrize("end", ["inactive", "deleted"])
async def test_a_challenge_ends_with_its_account(auth_app: AuthApp, accounts: Accounts, steps: Steps, end: str) -> None:
    account = await accounts.new(is_2fa=True)
    login = await steps.begin(account)

    await (accounts.delete(account) if end == "deleted" else accounts.change(account, is_active=False))

    assert (await auth_app.verify_otp(login.temporary, login.code)).status_code == 400
    assert (await auth_app.resend_otp(login.temporary)).status_code == 401


NOT_SIX_ASCII_DIGITS = [
    *("12345", "1234567", "", "12 34 5", "12345a", "-12345", "1e5000", full_width("123456"), MATHEMATICAL),
    *(123456, 123456.0, None, True, ["123456"], {"otp": "123456"}),
]


def test_the_library_takes_any_digits_and_a_number_for_a_code() -> None:
    """Why codes are compared by us: a failure here says that it has been mended upstream."""
    hotp = pyotp.HOTP(pyotp.random_base32())
    code = hotp.at(0)
    mathematical = code.translate({ord("0") + digit: 0x1D7CE + digit for digit in range(10)})
    assert all(hotp.verify(written, 0) for written in (full_width(code), mathematical))
    number = next(count for count in range(100) if not hotp.at(count).startswith("0"))
    assert hotp.verify(cast("str", int(hotp.at(number))), number)


async def test_what_is_not_six_ascii_digits_in_a_string_is_refused_and_costs_no_attempt(
    auth_app: AuthApp, login: Login, sql: asyncpg.Connection
) -> None:
    for otp in NOT_SIX_ASCII_DIGITS:
        answer = await auth_app.http.post(f"{AUTH}/verify-otp", headers=bearer(login.temporary), json={"otp": otp})

        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), ascii(otp)
    assert await attempts(sql, login) == 0


@pytest.mark.parametrize(
    "pasted", ["{0} {1}", "{0}-{1}", " {0}{1}\n", "\u00a0{0}\u2009\u2013\u2009{1}", "\t{0}\u2011{1}"]
)
async def test_blanks_and_hyphens_in_a_pasted_code_are_dropped(auth_app: AuthApp, login: Login, pasted: str) -> None:
    pair(await auth_app.verify_otp(login.temporary, pasted.format(login.code[:3], login.code[3:])))


async def test_only_a_temporary_token_opens_a_challenge(auth_app: AuthApp, accounts: Accounts, steps: Steps) -> None:
    account = await accounts.new(is_2fa=True)
    login = await steps.begin(account)
    tokens = pair(await auth_app.verify_otp(login.temporary, login.code))

    for token in (tokens.access, tokens.refresh):
        for answer in (await auth_app.verify_otp(token, "123456"), await auth_app.resend_otp(token)):
            assert (answer.status_code, answer.json()["detail"]) == (401, "Token not valid")
            assert answer.headers["www-authenticate"].startswith('Bearer realm="login2fa", error="invalid_token"')
