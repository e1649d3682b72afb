"""The folder of secrets that `login2fa secrets` makes: deploy/secret_files.py."""

from __future__ import annotations

import base64
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import make_url
from yarl import URL

from deploy.rabbitmq.definitions import hash_of, known_hashes
from deploy.rabbitmq.grants import USERS_OF_BROKER
from deploy.secret_files import Servers, create_whole, write_missing
from services.auth.settings import AuthSettings
from services.auth.tokens.keys import KeyRing
from services.notifier.settings import NotifierSettings
from services.users.settings import UsersSettings
from shared.configuration.settings import load

NAMES = {
    "postgres_password",
    "admin_database_url",
    "auth_database_url",
    "users_database_url",
    "migrator_database_url",
    "auth_rabbitmq_url",
    "users_rabbitmq_url",
    "notifier_rabbitmq_url",
    "operator_rabbitmq_url",
    "rabbitmq_definitions",
    "otp_sealing_keys",
    "account_sealing_keys",
    "mailed_code_sealing_keys",
    "factor_sealing_keys",
    "otp_peppers",
    "mailed_code_peppers",
    "users_to_auth_keys",
    "auth_to_users_keys",
    "auth_to_notifier_keys",
    "users_to_notifier_keys",
    "notifier_to_auth_keys",
    "notifier_to_users_keys",
}


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "secrets"


def test_it_makes_one_file_per_secret_and_a_signing_key(folder: Path) -> None:
    made = write_missing(folder, Servers())

    assert {path.name for path in folder.iterdir()} == NAMES | {"jwt_keys"}
    assert set(made) == {path for path in folder.rglob("*") if path.is_file()}
    assert KeyRing(folder / "jwt_keys").signing_key()


def test_every_process_starts_with_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_missing(folder, Servers())
    for name in NAMES:
        monkeypatch.setenv(f"{name.upper()}_FILE", str(folder / name))
    monkeypatch.setenv("JWT_KEYS_DIR", str(folder / "jwt_keys"))

    for process, settings in (("auth", AuthSettings), ("users", UsersSettings), ("notifier", NotifierSettings)):
        monkeypatch.setenv("RABBITMQ_URL_FILE", str(folder / f"{process}_rabbitmq_url"))
        load(settings)


def test_a_second_run_changes_nothing(folder: Path) -> None:
    write_missing(folder, Servers())
    before = contents(folder)

    assert write_missing(folder, Servers(postgres="elsewhere", rabbitmq="elsewhere")) == []
    assert contents(folder) == before


@pytest.mark.parametrize("lost", sorted(NAMES | {"jwt_keys"}))
def test_what_is_missing_is_made_again_and_agrees_with_the_rest(folder: Path, lost: str) -> None:
    write_missing(folder, Servers())
    before = contents(folder)
    for path in [folder / lost, *(folder / lost).glob("*")]:
        if path.is_file():
            path.unlink()

    made = write_missing(folder, Servers())

    after = contents(folder)
    # The definitions hold a hash of each password of the broker.
    again = {lost, "rabbitmq_definitions"} if lost.endswith("_rabbitmq_url") else {lost}
    assert {path.relative_to(folder).parts[0] for path in made} == again
    kept = {name: text for name, text in before.items() if Path(name).parts[0] not in again}
    assert {name: text for name, text in after.items() if name in kept} == kept
    assert_passwords_agree(folder)


def assert_passwords_agree(folder: Path) -> None:
    admin = make_url((folder / "admin_database_url").read_text())
    assert admin.password == (folder / "postgres_password").read_text()
    hashes = known_hashes((folder / "rabbitmq_definitions").read_text())
    for user in USERS_OF_BROKER:
        password = URL((folder / f"{user}_rabbitmq_url").read_text()).password
        salt = base64.b64decode(hashes[user])[:4]
        assert password
        assert hash_of(password, salt) == hashes[user]


def test_a_password_of_yours_stands_in_the_url_whatever_is_in_it(folder: Path) -> None:
    folder.mkdir()
    (folder / "postgres_password").write_text("a@b:c/d %41#é?")
    (folder / "auth_rabbitmq_url").write_text("amqp://auth:a%40b%3Ac%2Fd%20%2541%23%C3%A9%3F@rabbitmq/")

    write_missing(folder, Servers())

    assert_passwords_agree(folder)


def test_the_urls_lead_where_they_are_told_to(folder: Path) -> None:
    write_missing(folder, Servers(postgres="db.internal:6432", database="logins", rabbitmq="mq.internal:5673"))

    for role in ("admin", "auth", "users", "migrator"):
        url = make_url((folder / f"{role}_database_url").read_text())
        assert (url.username, url.host, url.port, url.database) == (
            "postgres" if role == "admin" else role, "db.internal", 6432, "logins",
        )  # fmt: skip
    for user in USERS_OF_BROKER:
        amqp = URL((folder / f"{user}_rabbitmq_url").read_text())
        assert (amqp.user, amqp.host, amqp.port) == (user, "mq.internal", 5673)


def test_no_two_secrets_and_no_two_deployments_are_alike(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_missing(tmp_path / name, Servers())
    passwords = [
        make_url((tmp_path / name / f"{role}_database_url").read_text()).password
        for name in ("one", "other")
        for role in ("admin", "auth", "users", "migrator")
    ]
    texts = [text for name in ("one", "other") for text in contents(tmp_path / name).values()]
    assert len(set(texts)) == len(texts)
    assert len(set(passwords)) == len(passwords)
    assert all(len(password or "") >= 40 for password in passwords)


def test_each_file_is_its_owners_alone(folder: Path) -> None:
    write_missing(folder, Servers())
    assert {mode(path) for path in folder.rglob("*") if path.is_file()} == {0o600}
    assert {mode(folder), mode(folder / "jwt_keys")} == {0o700}


def test_the_group_may_read_what_the_servers_themselves_read_and_no_more(folder: Path) -> None:
    write_missing(folder, Servers(), group_readable=True)
    shared = {path.name for path in folder.rglob("*") if path.is_file() and mode(path) & 0o077}
    assert shared == {"postgres_password", "rabbitmq_definitions"}
    assert {mode(folder / name) for name in shared} == {0o640}
    assert (mode(folder), mode(folder / "jwt_keys")) == (0o750, 0o700)


def test_two_that_start_together_agree_on_every_secret(folder: Path) -> None:
    folder.mkdir()

    def start(_: int) -> None:
        write_missing(folder, Servers())

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(start, range(8)))

    assert {path.name for path in folder.iterdir()} == NAMES | {"jwt_keys"}, "nothing half-made is left"
    assert_passwords_agree(folder)


@pytest.mark.parametrize("fails", ["fsync", "fchmod"])
def test_a_file_that_can_not_be_finished_is_not_there_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"deploy.secret_files.os.{fails}", fail)
    with pytest.raises(OSError, match="No space"):
        create_whole(tmp_path / "secret", "x")
    assert list(tmp_path.iterdir()) == []


Make = Callable[[Path], None]


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir], ids=["a file", "a folder"])
def test_create_whole_replaces_nothing(tmp_path: Path, make: Make) -> None:
    path = tmp_path / "secret"
    make(path)
    assert create_whole(path, "x") is False
    assert path.is_dir() or path.read_text() == ""


def test_with_tls_every_url_asks_for_it(folder: Path) -> None:
    write_missing(folder, Servers(tls=True))
    for user in USERS_OF_BROKER:
        assert URL((folder / f"{user}_rabbitmq_url").read_text()).scheme == "amqps"
    for role in ("admin", "migrator", "auth", "users"):
        assert make_url((folder / f"{role}_database_url").read_text()).query["sslmode"] == "verify-full"
