"""Settings that come from the environment or a `<NAME>_FILE`, and the rules for what they lead to."""

from __future__ import annotations

import os
from typing import Any, Self

from pydantic import Field, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from shared.configuration.connections import Connection, of, trusted
from shared.configuration.environment import value_of
from shared.configuration.hosts import is_loopback
from shared.configuration.types import HostNames


class _Environment(PydanticBaseSettingsSource):
    """`NAME` or `<NAME>_FILE`: the convention of the official Docker images."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - inherited
        return value_of(field_name.upper()), field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in values.items() if value is not None}


class ConnectionSettings(BaseSettings):
    model_config = SettingsConfigDict(extra="ignore", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)

    require_tls: bool = Field(
        False,
        description="Refuse to start where broker, database, mail server, auth, users or the collector of traces"
        " would be spoken to in plain",
    )
    tls_exempt_hosts: HostNames = Field(
        [], description="Names of containers of one machine that `REQUIRE_TLS` leaves out, comma-separated"
    )

    def connections(self) -> dict[str, Connection]:
        """Connections by the name of their variable. Raises ValueError."""
        return {}

    def refuse_plain(self, variable: str, connection: Connection) -> None:
        """Raises ValueError for the operator if REQUIRE_TLS forbids `connection`."""
        if not self.require_tls or connection.encrypted:
            return
        if hosts := [each for each in connection.hosts if not (is_loopback(each) or each in self.tls_exempt_hosts)]:
            raise ValueError(
                f"{variable}: REQUIRE_TLS is on, and {', '.join(hosts)} would be spoken to without TLS, or without"
                f" asking for its certificate: {connection.instead}"
            )

    @model_validator(mode="after")
    def _one_purpose_for_each_key(self) -> Self:
        # With one key for all purposes, each process that has it could impersonate the others.
        of_key: dict[str, str] = {}
        for name, value in self:
            for key in value if name.endswith(("_keys", "_peppers")) else ():
                other = of_key.setdefault(key.get_secret_value(), name)
                if other != name:
                    raise ValueError(f"{other.upper()} and {name.upper()} have a key in common: each needs its own")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - inherited: `_Environment` reads it, and files
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - inherited: no .env file is read
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - inherited
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _Environment(settings_cls)

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        if authorities := os.environ.get("SSL_CERT_FILE"):
            of("SSL_CERT_FILE", trusted, authorities)
        for variable, connection in self.connections().items():
            self.refuse_plain(variable, connection)
        return self
