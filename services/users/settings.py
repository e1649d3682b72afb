from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from services.users.breach_filter import refuse_invalid
from shared.configuration.connection_settings import ConnectionSettings
from shared.configuration.connections import Connection, to_http
from shared.configuration.database_url import to_database
from shared.configuration.hosts import is_loopback
from shared.configuration.settings import DemoSettings, HttpSettings
from shared.configuration.types import DatabaseUrl, HttpUrl, Lowercase, MacKeys, Peppers, SealingKeys, mac_keys
from shared.mail_address import RESERVED_DOMAINS


class AccountSealing(ConnectionSettings):
    account_sealing_keys: SealingKeys = Field(
        description="Fernet keys of password hashes in events, comma-separated; the first encrypts. Shared with auth"
    )


class UsersSettings(HttpSettings, DemoSettings, AccountSealing):
    users_database_url: DatabaseUrl = Field(description="`postgresql://users:password@host/database`, role `users`")
    users_to_auth_keys: MacKeys = mac_keys("users", "auth")
    auth_to_users_keys: MacKeys = mac_keys("auth", "users")
    users_to_notifier_keys: MacKeys = mac_keys("users", "the notifier")
    notifier_to_users_keys: MacKeys = mac_keys("the notifier", "users")
    mailed_code_sealing_keys: SealingKeys = Field(
        description="Fernet keys of account codes in events, comma-separated; the first encrypts. Shared with the "
        "notifier"
    )
    mailed_code_peppers: Peppers = Field(
        description="Server keys of the HMACs under which account codes and client addresses are stored, "
        "comma-separated, each of at least 32 bytes; the first makes new ones"
    )
    auth_jwks_url: HttpUrl = Field(
        "http://127.0.0.1:8201/.well-known/jwks.json", description="Where auth publishes its public keys"
    )
    in_step_every: float = Field(
        5.0, gt=0, description="Seconds between two messages that tell auth who is an administrator"
    )
    current_password_guesses: int = Field(
        10, ge=1, le=10_000, description="Wrong current passwords in a row; then a fresh login, or an hour's wait"
    )
    name_guesses: int = Field(
        10,
        ge=1,
        le=10_000,
        description="Names or addresses that one account may try to take in an hour; not of administrators",
    )
    registration: Annotated[Literal["open", "proven", "invited", "closed"], Lowercase] = Field(
        "open",
        description="Who may register. `open`: anybody; `proven`: anybody, once a mailed code is back; `invited`: "
        "whoever has an administrator's invitation; `closed`: nobody",
    )
    mailed_code_lifetime: int = Field(600, ge=60, le=3600, description="Seconds that an account code lives")
    mailed_code_attempts: int = Field(5, ge=1, le=100, description="Wrong account codes that one request allows")
    mailed_code_cooldown: int = Field(
        60, ge=0, le=3600, description="Seconds between two codes that prove one address of one account"
    )
    address_proofs_per_hour: int = Field(
        5, ge=1, le=1000, description="Codes that prove an address in an hour, for one account and for one mailbox"
    )
    password_resets_per_hour: int = Field(
        3, ge=1, le=1000, description="Codes for a new password in an hour, for one mailbox"
    )
    password_resets_per_client: int = Field(
        10, ge=1, le=100_000, description="New passwords asked for in an hour from one address (IPv6: /64)"
    )
    registrations_per_hour: int = Field(
        3, ge=1, le=1000, description="Codes for a registration, and for an invitation, in an hour, for one mailbox"
    )
    registrations_per_client: int = Field(
        100,
        ge=1,
        le=100_000,
        description="Codes for registrations and proofs in an hour, asked for from one address (IPv6: /64)",
    )
    invitation_lifetime: int = Field(
        3 * 86400, ge=600, le=30 * 86400, description="Seconds that the code of an invitation lives"
    )
    uniform_deadline: float = Field(
        0.25,
        ge=0.05,
        le=5,
        description="Seconds after its start at which a request is answered that must not tell whether an address has "
        "an account",
    )
    password_min_length: int = Field(8, ge=8, le=128, description="Characters")
    breached_passwords: Annotated[Path, AfterValidator(refuse_invalid)] | None = Field(
        None,
        description="File of stolen passwords, which nobody may take: `login2fa passwords build-filter` makes it",
    )
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
