from __future__ import annotations

from pydantic import Field, SecretStr

from shared.settings import HttpSettings, SealingKeys


class UsersSettings(HttpSettings):
    """The users service."""

    users_database_url: SecretStr = Field(
        description="`postgresql+asyncpg://users:password@host/database`, role `users`"
    )
    account_sealing_keys: SealingKeys = Field(
        description="Fernet keys of password hashes in events, comma-separated; the first encrypts. Shared with auth"
    )
    auth_jwks_url: str = Field(
        "http://127.0.0.1:8201/.well-known/jwks.json", description="Where auth publishes its public keys"
    )
    in_step_every: float = Field(
        5.0, gt=0, description="Seconds between two messages that tell auth who is an administrator"
    )
    recent_login: int = Field(300, ge=0, description="Seconds for which a login allows sensitive changes")
    current_password_guesses: int = Field(
        10, ge=1, description="Wrong current passwords in a row; then a fresh login, or an hour's wait"
    )
    password_min_length: int = Field(8, ge=8, description="Characters")
