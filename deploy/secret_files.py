"""Creates the secrets of a deployment as files, for `<NAME>_FILE` and JWT_KEYS_DIR. Existing secrets stay unchanged."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import get_args
from urllib.parse import quote, unquote, urlsplit

from cryptography.fernet import Fernet

from deploy.rabbitmq.definitions import as_text, broker_users, definitions, known_hashes
from deploy.rabbitmq.grants import USERS_OF_BROKER
from services.auth.tokens import keys
from shared.messaging.edges import Edge

DEFINITIONS = "rabbitmq_definitions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """The servers in the URLs, as `host` or `host:port`. `tls` demands TLS and a certificate for that name.

    `authority`: the file, where the processes run, of the authority that made it; by default one of the machine's.
    """

    postgres: str = "postgres"
    database: str = "login2fa"
    rabbitmq: str = "rabbitmq"
    tls: bool = False
    authority: str | None = None

    @property
    def database_tls(self) -> str:
        named = f"&sslrootcert={self.authority}" if self.authority else ""
        return f"?sslmode=verify-full{named}" if self.tls else ""

    @property
    def broker_tls(self) -> str:
        return f"?cafile={self.authority}" if self.tls and self.authority else ""


def new_password() -> str:
    return secrets.token_urlsafe(32)


def new_key() -> str:
    return Fernet.generate_key().decode()


def new_pepper() -> str:
    return secrets.token_urlsafe(32)


def write_missing(folder: Path, servers: Servers, *, group_readable: bool = False) -> list[Path]:
    """Creates the secrets that `folder` lacks and returns their paths. Raises OSError, `UrlInvalid`.

    Files have mode 0600; with `group_readable` those that Postgres and RabbitMQ read have 0640.
    """
    folder.mkdir(mode=0o750 if group_readable else 0o700, parents=True, exist_ok=True)
    made = []

    def ensure(name: str, value: str, mode: int = 0o600) -> str:
        path = folder / name
        if create_whole(path, value, mode=mode):
            made.append(path)
        return path.read_text().strip()

    of_servers = 0o640 if group_readable else 0o600
    postgres = ensure("postgres_password", _password_in(folder / "admin_database_url"), of_servers)
    for variable, role, password in (
        ("admin_database_url", "postgres", postgres),
        ("auth_database_url", "auth", new_password()),
        ("users_database_url", "users", new_password()),
        ("migrator_database_url", "migrator", new_password()),
    ):
        url = f"postgresql+asyncpg://{role}:{quote(password, '')}@{servers.postgres}/{servers.database}"
        ensure(variable, url + servers.database_tls)
    scheme = "amqps" if servers.tls else "amqp"
    for user in USERS_OF_BROKER:
        url = f"{scheme}://{user}:{quote(new_password(), '')}@{servers.rabbitmq}/"
        ensure(f"{user}_rabbitmq_url", url + servers.broker_tls)
    ensure("otp_sealing_keys", new_key())
    ensure("account_sealing_keys", new_key())
    ensure("mailed_code_sealing_keys", new_key())
    ensure("factor_sealing_keys", new_key())
    for edge in get_args(Edge):
        ensure(f"{edge}_keys", new_key())
    ensure("otp_peppers", new_pepper())
    ensure("mailed_code_peppers", new_pepper())
    made += write_definitions(folder, group_readable=group_readable)
    return made + _signing_key(folder / "jwt_keys")


def write_definitions(folder: Path, *, group_readable: bool = False) -> list[Path]:
    """Writes RabbitMQ's definitions from `folder`; returns their path if changed. Raises OSError, `UrlInvalid`."""
    path = folder / DEFINITIONS
    before = path.read_text() if path.exists() else ""
    text = as_text(definitions(broker_users(broker_urls(folder)), known_hashes(before)))
    if text == before:
        return []
    partial = _whole(path, text, 0o640 if group_readable else 0o600)
    partial.replace(path)
    return [path]


def broker_urls(folder: Path) -> dict[str, str]:
    return {user: (folder / f"{user}_rabbitmq_url").read_text().strip() for user in USERS_OF_BROKER}


def _signing_key(folder: Path) -> list[Path]:
    return [] if any(folder.glob("*.pem")) else [keys.generate(folder)]


def _password_in(file: Path) -> str:
    """The password of the URL in `file`, so that both files agree; a new one if the file is missing."""
    try:
        password = urlsplit(file.read_text().strip()).password
    except FileNotFoundError:
        password = None
    return unquote(password) if password else new_password()


def create_whole(path: Path, text: str, *, mode: int = 0o600) -> bool:
    """Atomic: a kill leaves no half secret. Returns False, and keeps the file, if `path` exists: it may be in use."""
    partial = _whole(path, text, mode)
    try:
        with suppress(FileExistsError):
            path.hardlink_to(partial)
            return True
        return False
    finally:
        partial.unlink()


def _whole(path: Path, text: str, mode: int) -> Path:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
    except BaseException:
        partial.unlink()
        raise
    return partial
