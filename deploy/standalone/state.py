"""What `make up` keeps in STATE_DIR besides the database: secrets made once, and the signing keys."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.fernet import Fernet

from services.auth import keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    auth_password: str
    users_password: str
    otp_sealing_key: str
    account_sealing_key: str
    otp_pepper: str


def new_secrets() -> Secrets:
    return Secrets(
        auth_password=secrets.token_urlsafe(32),
        users_password=secrets.token_urlsafe(32),
        otp_sealing_key=Fernet.generate_key().decode(),
        account_sealing_key=Fernet.generate_key().decode(),
        otp_pepper=secrets.token_urlsafe(32),
    )


class State:
    """Raises OSError where the folder cannot be written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        # To be passed through: where root has no user namespaces, PostgreSQL below runs as `nobody`. Each file with
        # a secret is its owner's alone.
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o711)
        self.postgres = self.folder / "postgres"
        self.keys = self.folder / "keys"
        self.otp_log = self.folder / "otp-logs.txt"
        self.log = self.folder / "login2fa.log"

    def secrets(self) -> Secrets:
        path = self.folder / "secrets.json"
        if not path.exists():
            _create_whole(path, json.dumps(asdict(new_secrets())))
        return Secrets(**json.loads(path.read_text()))

    def ensure_signing_key(self) -> None:
        if not any(self.keys.glob("*.pem")):
            keys.generate(self.keys)


def _create_whole(path: Path, text: str) -> None:
    """All of it or nothing, readable by the owner alone; a file that is there by now stays as it is.

    A kill must not leave half a secret, nor a second process that is about to be refused replace one in use.
    """
    partial = path.with_suffix(f".{os.getpid()}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(partial)
    finally:
        partial.unlink()
