from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from services.auth.relying_party import RelyingParty, RpId, relying_party
from shared.configuration.connection_settings import ConnectionSettings
from shared.configuration.connections import Connection
from shared.configuration.database_url import to_database
from shared.configuration.settings import BrowserSettings, HttpSettings
from shared.configuration.types import DatabaseUrl, Lowercase, MacKeys, Origins, Peppers, SealingKeys, mac_keys

_TEN_YEARS = 3653 * 86400


class KeySettings(ConnectionSettings):
    jwt_keys_dir: Path = Field(description="Folder of PEM private keys; make one with `login2fa keys generate`")
    access_token_lifetime: int = Field(3600, ge=60, le=_TEN_YEARS, description="Seconds")
    refresh_token_lifetime: int = Field(30 * 86400, ge=3600, le=_TEN_YEARS, description="Seconds, anew at each use")


class AuthSettings(HttpSettings, BrowserSettings, KeySettings):
    auth_database_url: DatabaseUrl = Field(description="`postgresql://auth:password@host/database`, role `auth`")
    otp_sealing_keys: SealingKeys = Field(
        description="Fernet keys of codes in events, comma-separated; the first encrypts. Shared with the notifier"
    )
    account_sealing_keys: SealingKeys = Field(
        description="Fernet keys of password hashes in events, comma-separated. Shared with the users service"
    )
    users_to_auth_keys: MacKeys = mac_keys("users", "auth")
    auth_to_users_keys: MacKeys = mac_keys("auth", "users")
    auth_to_notifier_keys: MacKeys = mac_keys("auth", "the notifier")
    notifier_to_auth_keys: MacKeys = mac_keys("the notifier", "auth")
    otp_peppers: Peppers = Field(
        description="Server keys of the HMACs under which codes and addresses are stored, comma-separated, each of at "
        "least 32 bytes; the first makes new ones"
    )
    factor_sealing_keys: SealingKeys = Field(
        description="Fernet keys of the secrets of authenticator apps, comma-separated; the first encrypts. "
        "Keep old ones: an app that was set up under one needs it"
    )
    totp_drift: int = Field(
        1, ge=0, le=2, description="Codes of an app before and after the current one that are accepted as well"
    )
    passkeys: Annotated[Literal["auto", "on", "off"], Lowercase] = Field(
        "auto",
        description="`auto`: on where browsers take `WEBAUTHN_RP_ID`: a name, and https unless it is `localhost`",
    )
    webauthn_rp_id: RpId = Field(
        "", description="Domain of the passkeys, by default the host of `ISSUER`. Changing it orphans all passkeys"
    )
    webauthn_origins: Origins = Field(
        [], description="Origins of the pages that ask for passkeys, comma-separated; by default that of `ISSUER`"
    )
    webauthn_rp_name: str = Field("Login2FA", min_length=1, max_length=64, description="Name that authenticators show")
    trusted_device_lifetime: int = Field(
        30 * 86400,
        ge=0,
        le=_TEN_YEARS,
        description="Seconds for which a remembered device needs no second factor to log in; 0 remembers none",
    )
    refresh_grace: int = Field(
        10,
        ge=0,
        le=300,
        description="Seconds from its first use in which a refresh token gives the same pair again",
    )
    session_max_lifetime: int = Field(
        90 * 86400,
        ge=3600,
        le=_TEN_YEARS,
        description="Seconds after its login at which a session ends, whatever refreshes it",
    )
    cookie_idle: int = Field(
        12 * 3600, ge=300, le=_TEN_YEARS, description="Seconds without use that end a browser's session"
    )
    cookie_lifetime: int = Field(
        86400,
        ge=300,
        le=_TEN_YEARS,
        description="Seconds after its login at which a browser's session ends; `SESSION_MAX_LIFETIME` ends it too",
    )
    kept_cookie_idle: int = Field(
        30 * 86400, ge=300, le=_TEN_YEARS, description="The same for whoever asked to be kept logged in: without use"
    )
    kept_cookie_lifetime: int = Field(
        90 * 86400, ge=300, le=_TEN_YEARS, description="The same for whoever asked to be kept logged in: in all"
    )
    otp_lifetime: int = Field(240, ge=30, le=3600, description="Seconds that a challenge lives")
    otp_attempts: int = Field(5, ge=1, le=100, description="Codes that may be tried on one challenge")
    otp_resends: int = Field(3, ge=0, le=100, description="Times that a new code can be had for one challenge")
    otp_resend_cooldown: int = Field(30, ge=0, le=3600, description="Seconds between two codes of one challenge")
    otp_codes_per_hour: int = Field(
        20, ge=1, le=10_000, description="Codes sent to one account, and to one mailbox, in an hour"
    )
    otp_wrong_in_a_row: int = Field(
        100,
        ge=1,
        le=10_000,
        description="Wrong codes of one account, after which it gets none until `login2fa auth unlock`",
    )
    otp_pressure_on: float = Field(
        60.0,
        gt=0,
        description="Seconds that a code waits for the broker, after which two-factor logins are answered 503",
    )
    notifier_silence: float = Field(
        30.0,
        gt=0,
        description="Seconds without a notifier that says that its mail server takes connections; then likewise",
    )
    admin_staleness: float = Field(
        300.0,
        ge=10,
        description="Seconds without a word from users after which no administrator passes `forward/admin`",
    )
    login_failure_deadline: float = Field(
        0.25,
        ge=0.05,
        le=5,
        description="Seconds after its start at which a failing login looks again, and answers",
    )
    throttle_free: int = Field(
        10, ge=1, le=10_000, description="Wrong passwords in a row, by name and address, without a wait"
    )
    throttle_first_wait: float = Field(
        1.0, ge=0, le=86400, description="Seconds of the first wait; each failure doubles it"
    )
    throttle_longest_wait: float = Field(300.0, ge=0, le=86400, description="Seconds of the longest wait")
    throttle_name_per_hour: int = Field(
        100,
        ge=1,
        le=1000,
        description="Wrong passwords for one name; then only addresses it has logged in from may try",
    )
    throttle_address_per_hour: int = Field(
        300,
        ge=1,
        le=10_000,
        description="Wrong passwords from one address (IPv6: /64); then only names that have logged in from it may try",
    )
    familiar_address_lifetime: int = Field(
        90 * 86400, ge=0, le=_TEN_YEARS, description="Seconds for which such an address is remembered, as an HMAC"
    )

    def connections(self) -> dict[str, Connection]:
        return super().connections() | {"AUTH_DATABASE_URL": to_database(self.auth_database_url.get_secret_value())}

    @property
    def relying_party(self) -> RelyingParty | None:
        """The party of this deployment's passkeys; None if it has none."""
        return relying_party(
            passkeys=self.passkeys,
            rp_id=self.webauthn_rp_id,
            rp_name=self.webauthn_rp_name,
            origins=self.webauthn_origins,
            issuer=self.issuer,
        )

    @model_validator(mode="after")
    def _passkeys(self) -> Self:
        _ = self.relying_party
        return self

    @model_validator(mode="after")
    def _lifetimes(self) -> Self:
        if self.session_max_lifetime < self.refresh_token_lifetime:
            raise ValueError("SESSION_MAX_LIFETIME must not be less than REFRESH_TOKEN_LIFETIME")
        if self.cookie_lifetime < self.cookie_idle:
            raise ValueError("COOKIE_LIFETIME must not be less than COOKIE_IDLE")
        if self.kept_cookie_lifetime < self.kept_cookie_idle:
            raise ValueError("KEPT_COOKIE_LIFETIME must not be less than KEPT_COOKIE_IDLE")
        if self.otp_resends and self.otp_resend_cooldown >= self.otp_lifetime:
            raise ValueError("OTP_RESEND_COOLDOWN must be less than OTP_LIFETIME, or OTP_RESENDS be 0")
        if self.throttle_longest_wait < self.throttle_first_wait:
            raise ValueError("THROTTLE_LONGEST_WAIT must not be less than THROTTLE_FIRST_WAIT")
        return self
