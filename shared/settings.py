"""Settings from the environment; a secret also from the file that `<NAME>_FILE` points to.

A process refuses to start on a bad one, with a sentence that names the variable and never its value.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from shared.client_address import proxy_test
from shared.connections import Connection, of, to_broker, trusted
from shared.hosts import is_container_name

S = TypeVar("S", bound=BaseSettings)

_KEY = re.compile(r"[A-Za-z0-9_-]{43}=", re.ASCII)


DEMO = "There are demo accounts, whose passwords everybody knows; refused where others could log in, or get their mail"


class SettingsInvalid(Exception):
    """Its text is for the operator: which variables are wrong, and why."""


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _32_bytes(keys: list[SecretStr]) -> list[SecretStr]:
    # Fernet itself overlooks what follows the padding: of keys with a wrong separator it would take the first.
    if not all(_KEY.fullmatch(key.get_secret_value()) for key in keys):
        raise ValueError("each key must be 32 bytes in URL-safe base64; make one with: login2fa keys sealing")
    return keys


def _host_names(names: list[str]) -> list[str]:
    if foreign := [name for name in names if not is_container_name(name)]:
        raise ValueError(f"a container's name has one label; these have not: {', '.join(foreign)}")
    return names


HostNames = Annotated[list[str], NoDecode, BeforeValidator(_split), AfterValidator(_host_names)]
SecretList = Annotated[list[SecretStr], NoDecode, BeforeValidator(_split), Field(min_length=1)]
SealingKeys = Annotated[SecretList, AfterValidator(_32_bytes)]
MacKeys = Annotated[SecretList, AfterValidator(_32_bytes)]


def _proxies(value: str) -> str:
    try:
        proxy_test(value)
    except ValueError:
        raise ValueError("not a comma-separated list of IP addresses and networks") from None
    return value


class _SecretFiles(PydanticBaseSettingsSource):
    """`<NAME>_FILE`: the convention of the official Docker images, for any setting."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - inherited
        path = os.environ.get(f"{field_name.upper()}_FILE")
        if not path:
            return None, field_name, False
        try:
            return Path(path).read_text().strip(), field_name, False
        except OSError as error:
            raise SettingsInvalid(f"{field_name.upper()}_FILE: cannot read {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SettingsInvalid(f"{field_name.upper()}_FILE: {path} is no text") from None

    def __call__(self) -> dict[str, Any]:
        values = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in values.items() if value is not None}


class ConnectionSettings(BaseSettings):
    """What is asked of every connection, of a process or of a command."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    require_tls: bool = Field(
        False, description="Refuse to start where broker, database, mail server or auth would be spoken to in plain"
    )
    tls_exempt_hosts: HostNames = Field(
        [], description="Names of containers of one machine that `REQUIRE_TLS` leaves out, comma-separated"
    )

    def connections(self) -> dict[str, Connection]:
        """By the variable that says where to. Raises ValueError."""
        return {}

    def refuse_plain(self, variable: str, connection: Connection) -> None:
        """Raises ValueError, with a sentence for the operator, where REQUIRE_TLS forbids `connection`."""
        if self.require_tls and (hosts := connection.in_plain(self.tls_exempt_hosts)):
            raise ValueError(
                f"{variable}: REQUIRE_TLS is on, and {', '.join(hosts)} would be spoken to without TLS, or without"
                f" asking for its certificate: {connection.instead}"
            )

    @model_validator(mode="after")
    def _one_purpose_for_each_key(self) -> Self:
        # One key for everything would let each process that has it speak in every other's name.
        of_key: dict[str, str] = {}
        for name, value in self:
            for key in value if name.endswith("_keys") else ():
                other = of_key.setdefault(key.get_secret_value(), name)
                if other != name:
                    raise ValueError(f"{other.upper()} and {name.upper()} have a key in common: each needs its own")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - inherited: no .env file is read
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - inherited
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _SecretFiles(settings_cls)

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        if authorities := os.environ.get("SSL_CERT_FILE"):
            of("SSL_CERT_FILE", trusted, authorities)
        for variable, connection in self.connections().items():
            self.refuse_plain(variable, connection)
        return self


class ProcessSettings(ConnectionSettings):
    """What every process has."""

    rabbitmq_url: SecretStr = Field(description="AMQP URL of the broker, `amqp://user:password@host:5672/`")
    management_host: str = Field("127.0.0.1", description="Address of `/livez`, `/readyz` and `/metrics`")
    management_port: int = Field(9000, ge=0, le=65535, description="Port of the same; 0 takes a free one")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe line logged")
    shutdown_grace: float = Field(20.0, ge=0, description="Seconds to finish what is under way after SIGTERM")

    def connections(self) -> dict[str, Connection]:
        return {"RABBITMQ_URL": of("RABBITMQ_URL", to_broker, self.rabbitmq_url.get_secret_value())}


class HttpSettings(ProcessSettings):
    """What a process with an HTTP API has."""

    host: str = Field("127.0.0.1", description="Address of the HTTP API")
    port: int = Field(8000, ge=0, le=65535, description="Port of the HTTP API")
    trusted_proxies: Annotated[str, AfterValidator(_proxies)] = Field(
        "",
        description="Addresses and networks whose `X-Forwarded-For` is believed, comma-separated; by default nobody's",
    )
    flood_rate: float = Field(
        50.0, ge=0, description="Requests a second from one address, where something can be guessed; 0 is no limit"
    )
    flood_burst: int = Field(200, ge=1, description="Of these so many may come at once")
    keep_alive: int = Field(
        75, ge=1, description="Seconds an idle connection is kept; more than the gateway in front keeps one (nginx: 60)"
    )
    max_body: int = Field(65536, ge=1024, description="Bytes of a request body; more is answered 413")
    max_headers: int = Field(8192, ge=1024, description="Bytes of request headers; more is answered 431")
    database_pool: int = Field(10, ge=2, description="Connections to Postgres, per process")
    argon2_memory_kib: int = Field(19456, ge=19456, description="Argon2id memory in KiB (OWASP's floor is 19456)")
    argon2_passes: int = Field(2, ge=2, description="Argon2id passes")
    argon2_lanes: int = Field(1, ge=1, description="Argon2id lanes")
    hash_threads: int = Field(
        0, ge=0, description="Passwords hashed at a time, per process; 0 is as many as it has processors"
    )
    hash_max_wait: float = Field(5.0, gt=0, description="Seconds of hashing that may be queued; beyond it 503")
    issuer: str = Field("http://127.0.0.1:8201", description="`iss` of every token: the public URL")
    audience: str = Field("login2fa", description="`aud` of access tokens")


def load(settings: type[S], **overrides: Any) -> S:
    """Raises `SettingsInvalid`."""
    try:
        return settings(**overrides)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)
        raise SettingsInvalid("; ".join(_sentence(problem) for problem in problems)) from None


def _sentence(problem: ErrorDetails) -> str:
    variable = ".".join(map(str, problem["loc"])).upper()
    message = problem["msg"].removeprefix("Value error, ")
    # Without a variable: what several have to do with each other, and then the message names them.
    return f"{variable}: {message}" if variable else message
