"""The secrets and signing keys that `make up` keeps in STATE_DIR, besides the database."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

from deploy.secret_files import create_whole, new_key, new_password, new_pepper
from services.auth.tokens import keys
from shared.messaging.edges import Edge


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    auth_password: str
    users_password: str
    migrator_password: str
    otp_sealing_key: str
    account_sealing_key: str
    mailed_code_sealing_key: str
    factor_sealing_key: str
    otp_pepper: str
    mailed_code_pepper: str
    edge_keys: dict[str, str]

    @property
    def database_passwords(self) -> dict[str, str]:
        return {"auth": self.auth_password, "users": self.users_password, "migrator": self.migrator_password}


def new_secrets() -> Secrets:
    return Secrets(
        auth_password=new_password(),
        users_password=new_password(),
        migrator_password=new_password(),
        otp_sealing_key=new_key(),
        account_sealing_key=new_key(),
        mailed_code_sealing_key=new_key(),
        factor_sealing_key=new_key(),
        otp_pepper=new_pepper(),
        mailed_code_pepper=new_pepper(),
        edge_keys={f"{edge}_keys": new_key() for edge in get_args(Edge)},
    )


class State:
    """Raises OSError if the folder can not be written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        # PostgreSQL may run as `nobody` and must pass through. Only their owner can read files with secrets.
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o711)
        self.postgres = self.folder / "postgres"
        self.keys = self.folder / "keys"
        self.otp_log = self.folder / "otp-logs.txt"
        self.account_codes = self.folder / "otp-logs.txt.account-codes"
        self.log = self.folder / "login2fa.log"

    def secrets(self) -> Secrets:
        path = self.folder / "secrets.json"
        kept = json.loads(path.read_text()) if path.exists() else {}
        made = asdict(new_secrets())
        # Another version may have had fewer secrets, and fewer edges: what is lacking is made.
        whole = made | kept | {"edge_keys": made["edge_keys"] | kept.get("edge_keys", {})}
        if whole != kept:
            path.unlink(missing_ok=True)
            create_whole(path, json.dumps(whole))
            kept = json.loads(path.read_text())
        return Secrets(**{name: kept[name] for name in made})

    def ensure_signing_key(self) -> None:
        if not any(self.keys.glob("*.pem")):
            keys.generate(self.keys)
