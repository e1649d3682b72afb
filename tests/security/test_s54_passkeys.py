"""S54: a passkey logs in only its owner, at this site, once."""

from __future__ import annotations

import copy
import json
from collections import Counter
from random import Random

import jwt
import pytest

from login2fa_testing.software_passkey import SoftwarePasskey
from login2fa_testing.webauthn_bytes import base64url, from_base64url
from services.auth.factors.ceremonies import AnswerNotValid
from services.auth.factors.webauthn_answers import WebauthnAnswers
from services.auth.relying_party import RelyingParty
from shared.messaging.events import AccountChanged
from tests.auth_steps import Accounts, pair
from tests.composed import AUTH, AuthApp, bearer
from tests.forging import Signer, without
from tests.integration.auth.conftest import accounts, passkeys
from tests.passkey_steps import ORIGIN, PasskeySteps
from tests.security.passkey_answers import CHANGES, ON_ITS_WAY, mutated
from tests.security.passkey_owner import REFUSED, account, passkey, told

__all__ = ("account", "accounts", "passkey", "passkeys")


# --- at this site, by its owner: whatever is not as it should be gets one answer


async def test_whatever_the_browser_or_the_authenticator_says_otherwise_is_refused(
    passkey: SoftwarePasskey, passkeys: PasskeySteps
) -> None:
    answers = {name: await passkeys.log_in(passkey, **changes) for name, changes in CHANGES.items()}

    assert {name: told(answer) for name, answer in answers.items() if told(answer) != REFUSED} == {}
    assert len({answer.content for answer in answers.values()}) == 1
    assert pair(await passkeys.log_in(passkey))


async def test_whatever_is_changed_on_its_way_is_refused(passkey: SoftwarePasskey, passkeys: PasskeySteps) -> None:
    answers = {}
    for name, change in ON_ITS_WAY.items():
        body = await passkeys.answered("passkey/options", passkey)
        change(body)
        answers[name] = await passkeys.auth.http.post(f"{AUTH}/passkey", content=json.dumps(body), headers=_JSON)

    assert {name: told(answer) for name, answer in answers.items() if told(answer) != REFUSED} == {}
    assert len({answer.content for answer in answers.values()}) == 1
    assert pair(await passkeys.log_in(passkey))


_JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("times", [100, pytest.param(2000, marks=pytest.mark.long)])
async def test_no_mutation_logs_in_or_is_our_fault(
    passkey: SoftwarePasskey, passkeys: PasskeySteps, times: int
) -> None:
    dice = Random(54)
    seen = Counter[tuple[int, str]]()
    for _ in range(times):
        body = mutated(await passkeys.answered("passkey/options", passkey), dice)
        seen[told(await passkeys.post("passkey", **body))] += 1

    assert seen.keys() <= {REFUSED, (422, "invalid_request")}  # the second: longer than any that browsers make


@pytest.mark.parametrize("times", [1000, pytest.param(100_000, marks=pytest.mark.long)])
def test_no_mutation_of_a_new_key_is_our_fault(times: int) -> None:
    """Nobody signs it: a mutation may well be another key, which is nobody's loss but its owner's."""
    site = WebauthnAnswers(RelyingParty(rp_id="localhost", rp_name="Login2FA", origins=(ORIGIN,)))
    challenge = bytes(range(32))
    options = {
        "rp": {"id": "localhost"},
        "user": {"id": base64url(b"handle")},
        "challenge": base64url(challenge),
        "pubKeyCredParams": [],
    }
    true = SoftwarePasskey(ORIGIN).answer(options)
    assert site.new_key(true, challenge)
    dice = Random(54)
    for _ in range(times):
        answer = copy.deepcopy(true)
        field = dice.choice(["clientDataJSON", "attestationObject"])
        data = bytearray(from_base64url(answer["response"][field]))
        for _ in range(dice.randrange(1, 4)):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        answer["response"][field] = base64url(bytes(data[: dice.randrange(1, len(data) + 1)]))
        try:
            site.new_key(answer, challenge)
        except AnswerNotValid:
            continue


@pytest.mark.parametrize(
    "changes",
    ["another origin", "another relying party", "nobody verified", "another challenge", "a frame of another origin"],
)
async def test_a_passkey_of_another_site_or_without_a_verified_person_is_not_enrolled(
    account: AccountChanged, auth_app: AuthApp, passkeys: PasskeySteps, changes: str
) -> None:
    owner = pair(await auth_app.log_in(account.username))

    assert told(await passkeys.enrol(owner, SoftwarePasskey(ORIGIN), **CHANGES[changes])) == REFUSED


async def test_an_id_that_is_longer_than_any_or_not_the_attested_one_is_not_enrolled(
    account: AccountChanged, auth_app: AuthApp, passkeys: PasskeySteps
) -> None:
    owner = pair(await auth_app.log_in(account.username))
    too_long = SoftwarePasskey(ORIGIN)
    too_long.credential_id = bytes(1024)

    assert told(await passkeys.enrol(owner, too_long)) == REFUSED
    assert told(await passkeys.enrol(owner, SoftwarePasskey(ORIGIN), credential_id=b"another")) == REFUSED


async def test_nobody_enrols_the_credential_of_somebody_else(
    passkey: SoftwarePasskey, accounts: Accounts, auth_app: AuthApp, passkeys: PasskeySteps
) -> None:
    eve, hers = await accounts.new(), SoftwarePasskey(ORIGIN)
    hers.credential_id = passkey.credential_id

    assert told(await passkeys.enrol(pair(await auth_app.log_in(eve.username)), hers)) == REFUSED
    assert pair(await passkeys.log_in(passkey))


async def test_who_knows_the_password_does_not_pass_with_a_passkey_of_their_own(
    account: AccountChanged, accounts: Accounts, passkey: SoftwarePasskey, passkeys: PasskeySteps
) -> None:
    _ = passkey
    eves = await passkeys.enrolled(await accounts.new())
    for handle in (eves.user_handle, passkey.user_handle, None):
        temporary = await passkeys.temporary(account)
        asked = await passkeys.question("challenge/passkey", temporary)
        options = asked["options"] | {"allowCredentials": []}
        body = {"ceremony": asked["ceremony"], "credential": eves.answer(options, user_handle=handle)}

        assert told(await passkeys.post("verify-passkey", temporary, **body)) == REFUSED


async def test_a_passkey_that_does_not_name_its_account_is_not_the_whole_login(
    account: AccountChanged, passkey: SoftwarePasskey, passkeys: PasskeySteps
) -> None:
    assert told(await passkeys.log_in(passkey, user_handle=None)) == REFUSED
    assert pair(await passkeys.verify(await passkeys.temporary(account), passkey, user_handle=None))


# --- for what was asked


async def test_an_answer_is_good_for_its_own_purpose_challenge_and_account_alone(
    account: AccountChanged, accounts: Accounts, passkey: SoftwarePasskey, auth_app: AuthApp, passkeys: PasskeySteps
) -> None:
    mine, other = [await passkeys.temporary(account) for _ in range(2)]
    owner = pair(await passkeys.log_in(passkey))
    eve = pair(await auth_app.log_in((await accounts.new()).username))

    second = await passkeys.answered("challenge/passkey", passkey, mine)
    login = await passkeys.answered("passkey/options", passkey)
    new = await passkeys.answered("factors/passkeys/options", SoftwarePasskey(ORIGIN), owner.access)
    register = await passkeys.question("factors/passkeys/options", owner.access)
    request = {"challenge": register["options"]["challenge"], "rpId": "localhost"}
    enrolment = {"ceremony": register["ceremony"], "credential": passkey.answer(request)}

    assert told(await passkeys.post("passkey", **second)) == REFUSED
    assert told(await passkeys.post("passkey", **enrolment)) == REFUSED
    assert told(await passkeys.post("verify-passkey", mine, **login)) == REFUSED
    assert told(await passkeys.post("verify-passkey", mine, **enrolment)) == REFUSED
    assert told(await passkeys.post("verify-passkey", other, **second)) == REFUSED
    assert told(await passkeys.post("factors/passkeys", eve.access, **new)) == REFUSED
    # Each was true where it belongs, and none of the refusals has used it.
    assert pair(await passkeys.post("passkey", **login))
    assert pair(
        await passkeys.post("verify-passkey", mine, **await passkeys.answered("challenge/passkey", passkey, mine))
    )


@pytest.mark.parametrize("kind", ["access", "temporary"])
async def test_no_other_token_is_a_ceremony_and_no_ceremony_another_token(
    account: AccountChanged, passkey: SoftwarePasskey, auth_app: AuthApp, passkeys: PasskeySteps, kind: str
) -> None:
    owner = pair(await passkeys.log_in(passkey))
    token = {"access": owner.access, "temporary": await passkeys.temporary(account)}[kind]
    body = await passkeys.answered("passkey/options", passkey)

    assert told(await passkeys.post("passkey", **body | {"ceremony": token})) == REFUSED
    path, method = {"access": ("sessions", "GET"), "temporary": ("challenge", "GET")}[kind]
    answer = await auth_app.http.request(method, f"{AUTH}/{path}", headers=bearer(body["ceremony"]))
    assert answer.status_code == 401


async def test_a_question_under_our_own_key_that_lacks_something_is_refused_and_not_our_fault(
    passkey: SoftwarePasskey, passkeys: PasskeySteps, forger: Signer
) -> None:
    true, body = [await passkeys.answered("passkey/options", passkey) for _ in range(2)]
    header = jwt.get_unverified_header(body["ceremony"])
    claims = jwt.decode(body["ceremony"], options={"verify_signature": False})
    wrong = [without(claims, name) for name in claims] + [
        claims | {"challenge": "?"},
        claims | {"challenge": 7},
        claims | {"purpose": ["login"]},
        claims | {"jti": "no UUID"},
    ]

    claims_of_true = jwt.decode(true["ceremony"], options={"verify_signature": False})
    assert pair(await passkeys.post("passkey", **true | {"ceremony": forger.token(claims_of_true, header)}))
    for each in wrong:
        assert told(await passkeys.post("passkey", **body | {"ceremony": forger.token(each, header)})) == REFUSED, each
