"""The kit on a stack that somebody else has started, here `make up`: so this needs no Docker."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from login2fa_testing import (
    AuthenticatorApp,
    FileInbox,
    Login2FA,
    LoginSystem,
    NotLogin2FA,
    Person,
    RunningLogin2FA,
    Tokens,
    UnexpectedAnswer,
    login2fa_of_environment,
)
from tests.stacks.standalone import Standalone, standalone

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
async def made_up() -> AsyncIterator[Standalone]:
    async with standalone() as stack:
        await stack.start()
        yield stack


@pytest.fixture(scope="module")
def url(made_up: Standalone) -> str:
    return f"http://localhost:{made_up.program.settings['PORT']}"


@pytest.fixture(scope="module")
def otp_file(made_up: Standalone) -> Path:
    return made_up.state / "otp-logs.txt"


@pytest.fixture
def system(url: str, otp_file: Path) -> Iterator[LoginSystem]:
    with RunningLogin2FA(url, FileInbox(otp_file)) as system:
        yield system


def test_somebody_new_is_logged_in(system: LoginSystem) -> None:
    with system.logged_in() as client:
        me = client.get("/users/me").json()

    assert (me["is_2fa"], me["is_admin"]) == (False, False)


def test_somebody_with_two_factors_is_logged_in_again_and_again(system: LoginSystem) -> None:
    ann = system.register(is_2fa=True)

    for _ in range(3):
        assert system.logged_in(ann).get("/users/me").json()["id"] == ann.id


def test_an_app_logs_in_beside_mailed_codes_and_no_code_is_mailed(system: LoginSystem) -> None:
    ann = system.register(is_2fa=True)
    app = AuthenticatorApp.enrol(system.logged_in(ann), name="Ann's phone")
    mailed = system.inbox.codes(ann.email)

    me = system.client(system.log_in(ann, factor=app)).get("/users/me").json()

    assert me["id"] == ann.id
    assert system.inbox.codes(ann.email) == mailed
    assert len(app.recovery_codes) == 10


def test_somebody_with_an_app_can_still_have_a_code_mailed(system: LoginSystem) -> None:
    ann = system.register(is_2fa=True)
    AuthenticatorApp.enrol(system.logged_in(ann))

    assert system.logged_in(ann).get("/users/me").json()["id"] == ann.id


@pytest.mark.parametrize("synced", [False, True])
def test_a_passkey_logs_in_alone_and_as_a_second_factor_again_and_again(system: LoginSystem, synced: bool) -> None:
    ann = system.register()
    passkey = system.passkey(synced=synced)
    enrolled = passkey.register(system.logged_in(ann), name="Ann's laptop")

    assert (enrolled["name"], enrolled["synced"]) == ("Ann's laptop", synced)
    assert len(passkey.recovery_codes) == 10
    for _ in range(2):
        assert system.client(passkey.log_in(system.client())).get("/users/me").json()["id"] == ann.id
        assert system.client(system.log_in(ann, factor=passkey)).get("/users/me").json()["id"] == ann.id


def test_what_is_given_of_a_person_is_kept(system: LoginSystem) -> None:
    ann = system.register(email="Ann@Example.org", username="ann", password="correct horse", lastname="Li", is_2fa=True)

    me = system.logged_in(ann).get("/users/me").json()
    assert (me["username"], me["name"], me["lastname"], me["is_2fa"]) == ("ann", "Ann", "Li", True)


def test_both_demo_accounts_can_log_in(system: LoginSystem) -> None:
    assert system.logged_in(system.demo_admin).get("/users/").status_code == 200
    assert system.logged_in(system.demo_customer).get("/users/").status_code == 403


def test_an_administrator_may_list_accounts_and_somebody_else_may_not(system: LoginSystem) -> None:
    assert system.register(is_admin=True).is_admin
    assert system.logged_in(is_admin=True).get("/users/").status_code == 200
    assert system.logged_in().get("/users/").status_code == 403


def test_many_administrators_cost_the_demo_administrator_one_code(system: LoginSystem) -> None:
    before = len(system.inbox.codes(system.demo_admin.email))
    for _ in range(5):
        system.register(is_admin=True)

    assert len(system.inbox.codes(system.demo_admin.email)) == before + 1


def test_administrators_can_be_made_after_a_test_has_ended_every_session_of_the_demo_administrator(
    system: LoginSystem,
) -> None:
    system.register(is_admin=True)
    # The users service hears of an ended session a moment later; this one it refuses at once.
    system._administrator = Tokens(access="not.a.token", refresh="")

    assert system.logged_in(is_admin=True).get("/users/").status_code == 200


def test_the_issuer_and_the_keys_of_the_access_tokens_are_known(system: LoginSystem, url: str) -> None:
    assert system.issuer == url
    assert system.client().get(system.jwks_url).json()["keys"]


def test_a_client_can_be_closed_by_its_test_or_left_to_the_end(url: str) -> None:
    with RunningLogin2FA(url) as system:
        with system.logged_in() as closed:
            assert closed.get("/users/me").is_success
        left = system.logged_in()
    assert (closed.is_closed, left.is_closed) == (True, True)


def test_without_an_inbox_people_without_a_second_factor_can_log_in(url: str) -> None:
    with RunningLogin2FA(f"{url}/") as system:
        assert system.logged_in().get("/users/me").is_success
        with pytest.raises(ValueError, match="set LOGIN2FA_INBOX, as in LOGIN2FA_INBOX=mailhog:http"):
            system.logged_in(is_2fa=True)


def test_a_refusal_is_told_with_the_sentence_of_the_api_and_without_the_password(system: LoginSystem) -> None:
    ann = system.register(password="correct horse")

    with pytest.raises(UnexpectedAnswer, match=r"^POST /api/v1/users/registration answered 400: User already exists$"):
        system.register(email=ann.email, password="correct horse")
    with pytest.raises(UnexpectedAnswer) as refused:
        system.log_in(Person(email=ann.email, password="wrong horse"))
    assert str(refused.value) == "POST /api/v1/auth/token answered 400: Incorrect username or password"


def test_no_password_and_no_token_is_shown_by_print(system: LoginSystem) -> None:
    ann = system.register()
    tokens = system.log_in(ann)

    assert ann.password not in repr(ann)
    assert tokens.access not in repr(tokens)
    assert tokens.refresh not in repr(tokens)


def test_with_an_address_in_the_environment_nothing_is_started(
    monkeypatch: pytest.MonkeyPatch, url: str, otp_file: Path
) -> None:
    monkeypatch.setenv("LOGIN2FA_URL", url)
    monkeypatch.setenv("LOGIN2FA_INBOX", f"file:{otp_file}")
    with login2fa_of_environment() as system:
        assert not isinstance(system, Login2FA)
        assert system.logged_in(is_2fa=True).get("/users/me").is_success


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("http://127.0.0.1:1", "Nothing answers at http://127.0.0.1:1 (ConnectError): set LOGIN2FA_URL to"),
        ("127.0.0.1:8201", "Nothing answers at 127.0.0.1:8201 (UnsupportedProtocol): set LOGIN2FA_URL to"),
        ("http://me:secret@127.0.0.1:1", "Nothing answers at http://127.0.0.1:1 (ConnectError): set LOGIN2FA_URL to"),
        ("http://127.0.0.1:port", "Nothing answers at LOGIN2FA_URL, which is no URL (InvalidURL): set LOGIN2FA_URL to"),
        ("{url}/api/v1", "What answers at {url}/api/v1 is no Login2FA, for it has no public keys: set LOGIN2FA_URL to"),
        ("{url}/docs", "What answers at {url}/docs is no Login2FA, for it has no public keys: set LOGIN2FA_URL to"),
    ],
)
def test_a_wrong_address_in_the_environment_is_told_in_one_sentence_that_says_what_to_write(
    monkeypatch: pytest.MonkeyPatch, url: str, wrong: str, said: str
) -> None:
    monkeypatch.setenv("LOGIN2FA_URL", wrong.format(url=url))

    with pytest.raises(NotLogin2FA) as refused, login2fa_of_environment():
        pass

    assert str(refused.value).startswith(said.format(url=url))


def test_without_an_address_in_the_environment_one_is_to_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOGIN2FA_URL", raising=False)

    assert isinstance(login2fa_of_environment(), Login2FA)


def test_the_example_passes_on_it(url: str, otp_file: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(PROJECT / "testkit" / "example", project, ignore=shutil.ignore_patterns("__pycache__"))
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "-p", "no:asyncio"],
        cwd=project,
        env=os.environ
        | {"PYTHONPATH": str(PROJECT / "testkit"), "LOGIN2FA_URL": url, "LOGIN2FA_INBOX": f"file:{otp_file}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "5 passed" in ended.stdout
