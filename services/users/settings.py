from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from shared.configuration.connections import Connection, to_http
from shared.configuration.database_url import to_database
from shared.configuration.hosts import is_loopback
from shared.configuration.settings import DemoSettings, HttpSettings
from shared.configuration.types import DatabaseUrl, HttpUrl, MacKeys, SealingKeys, mac_keys
from shared.mail_address import RESERVED_DOMAINS


class UsersSettings(HttpSettings, DemoSettings):
    users_database_url: DatabaseUrl = Field(description="`postgresql://users:password@host/database`, role `users`")
    account_sealing_keys: SealingKeys = Field(
        description="Fernet keys of password hashes in events, comma-separated; the first encrypts. Shared with auth"
    )
    users_to_auth_keys: MacKeys = mac_keys("users", "auth")
    auth_to_users_keys: MacKeys = mac_keys("auth", "users")
    users_to_notifier_keys: MacKeys = mac_keys("users", "the notifier")
    auth_jwks_url: HttpUrl = Field(
        "http://127.0.0.1:8201/.well-known/jwks.json", description="Where auth publishes its public keys"
    )
    in_step_every: float = Field(
        5.0, gt=0, description="Seconds between two messages that tell auth who is an administrator"
    )
    recent_login: int = Field(300, ge=0, description="Seconds for which a login allows sensitive changes")
    current_password_guesses: int = Field(
        10, ge=1, le=10_000, description="Wrong current passwords in a row; then a fresh login, or an hour's wait"
    )
    name_guesses: int = Field(
        10,
        ge=1,
        le=10_000,
        description="Names or addresses that one account may try to take in an hour; not of administrators",
    )
    password_min_length: int = Field(8, ge=8, le=128, description="Characters")
    mail_reserved_domains: bool = Field(True, description=RESERVED_DOMAINS)

    def connections(self) -> dict[str, Connection]:
        return super().connections() | {
            "USERS_DATABASE_URL": to_database(self.users_database_url.get_secret_value()),
            "AUTH_JWKS_URL": to_http(self.auth_jwks_url),
        }

    @model_validator(mode="after")
    def _demo_stays_here(self) -> Self:
        if self.demo and (self.require_tls or not is_loopback(urlsplit(self.issuer).hostname or "")):
            raise ValueError(
                "DEMO is on: everybody knows the passwords of the demo accounts, and one is an administrator's. That is"
                " for an ISSUER on this machine, without REQUIRE_TLS"
            )
        return self
