"""Settings from the environment or a `<NAME>_FILE`. An error stops the start; it names the variable, not the value."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import ErrorDetails, PydanticKnownError
from pydantic_settings import BaseSettings

from shared.configuration.connection_settings import ConnectionSettings
from shared.configuration.connections import Connection, to_brokers, to_issuer
from shared.configuration.environment import VariableInvalid, not_set
from shared.configuration.trace_settings import TraceSettings
from shared.configuration.types import (
    Audience,
    BrokerUrl,
    BrokerUrls,
    CookieDomain,
    Host,
    Issuer,
    Lowercase,
    Origins,
    Port,
    Proxies,
    Redirections,
)

S = TypeVar("S", bound=BaseSettings)

_SENTENCES = {
    "too_short": "must hold at least one",
    "bool_parsing": "must be true or false",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "path_not_directory": "must be a folder",
}


class SettingsInvalid(Exception):
    """The message is for the operator: which variables are wrong, and what to write."""


class DemoSettings(ConnectionSettings):
    demo: bool = Field(
        False,
        description="There are demo accounts, whose passwords everybody knows; refused where others could log in, "
        "or get their mail",
    )


class ManagedSettings(TraceSettings):
    management_host: Host = Field("127.0.0.1", description="Address of `/livez`, `/readyz` and `/metrics`")
    management_port: Port = Field(9000, description="Port of the same; 0 takes a free one")
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Lowercase] = Field(
        "info", description="Least severe line logged"
    )
    shutdown_grace: float = Field(20.0, ge=0, description="Seconds to finish what is under way after SIGTERM")


class ProcessSettings(ManagedSettings):
    rabbitmq_urls: BrokerUrls = Field(
        [],
        description="Instead of `RABBITMQ_URL`: those of the nodes of a cluster, separated by commas or blanks;"
        " each connection goes to any that answers",
    )
    rabbitmq_url: BrokerUrl | None = Field(
        None, validate_default=True, description="AMQP URL of the broker, `amqp://user:password@host:5672/`"
    )

    @field_validator("rabbitmq_url")
    @classmethod
    def _one_of_the_two(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        several = info.data.get("rabbitmq_urls", "not valid")
        if value is None and not several:
            raise PydanticKnownError("missing")
        if value is not None and several:
            raise ValueError("is set, and RABBITMQ_URLS too: leave one of them empty")
        return value

    @property
    def broker_urls(self) -> list[str]:
        return [url.get_secret_value() for url in (self.rabbitmq_url, *self.rabbitmq_urls) if url]

    def connections(self) -> dict[str, Connection]:
        name = "RABBITMQ_URL" if self.rabbitmq_url else "RABBITMQ_URLS"
        return super().connections() | {name: to_brokers(self.broker_urls)}


class ServerSettings(ManagedSettings):
    host: Host = Field("127.0.0.1", description="Address that it serves")
    port: Port = Field(8000, description="Port of the same")
    trusted_proxies: Proxies = Field(
        "",
        description="Addresses and networks whose `X-Forwarded-For` is believed, comma-separated: your gateway's, and"
        " for auth and users the portal's; by default nobody's",
    )
    keep_alive: int = Field(
        75, ge=1, description="Seconds an idle connection is kept; more than the gateway in front keeps one (nginx: 60)"
    )
    max_body: int = Field(65536, ge=1024, description="Bytes of a request body; more is answered 413")
    max_headers: int = Field(8192, ge=1024, description="Bytes of request headers; more is answered 431")
    issuer: Issuer = Field(
        "http://localhost:8201", description="`iss` of every token: the public URL, written alike everywhere"
    )

    def connections(self) -> dict[str, Connection]:
        return super().connections() | {"ISSUER": to_issuer(self.issuer)}


class BrowserSettings(ServerSettings):
    portal_redirects: Redirections = Field(
        [],
        description="Where a browser may be sent back after a login, comma-separated: origins, or `https://*.example.com`"
        " for all below. The same for auth and the portal",
    )
    gate_cookie_domain: CookieDomain = Field(
        "",
        description="Domain whose hosts are gated, such as `example.com`: browsers get a second cookie for it, that"
        " opens forward-auth alone. The same for auth and the portal",
    )

    @model_validator(mode="after")
    def _settable(self) -> Self:
        domain, host = self.gate_cookie_domain, urlsplit(self.issuer).hostname or ""
        if domain and not f".{host}".endswith(f".{domain}"):
            raise ValueError(
                "GATE_COOKIE_DOMAIN must be the host of ISSUER, or a domain above it: else browsers drop it"
            )
        return self


class HttpSettings(ServerSettings, ProcessSettings):
    flood_rate: float = Field(
        50.0, ge=0, description="Requests a second from one address, where something can be guessed; 0 is no limit"
    )
    flood_burst: int = Field(200, ge=1, description="Of these so many may come at once")
    cors_origins: Origins = Field(
        [],
        description="Origins whose scripts may call from a browser, comma-separated, as `https://app.example.com`",
    )
    database_pool: int = Field(10, ge=2, le=1000, description="Connections to Postgres, per process")
    database_max_age: float = Field(
        1800.0,
        ge=1,
        le=3600,
        description="Seconds after which a connection to Postgres is closed, idle or not; a random part, down to half, "
        "spreads them",
    )
    argon2_memory_kib: int = Field(
        19456, ge=19456, le=4 * 1024**2, description="Argon2id memory in KiB (OWASP's floor is 19456)"
    )
    argon2_passes: int = Field(2, ge=2, le=100, description="Argon2id passes")
    argon2_lanes: int = Field(1, ge=1, le=64, description="Argon2id lanes")
    hash_threads: int = Field(
        0, ge=0, le=1024, description="Passwords hashed at a time, per process; 0 is as many as it has processors"
    )
    hash_max_wait: float = Field(5.0, gt=0, description="Seconds of hashing that may be queued; beyond it 503")
    audience: Audience = Field("login2fa", description="`aud` of access tokens")
    recent_login: int = Field(
        300, ge=0, description="Seconds for which a login allows sensitive changes. The same for auth and users"
    )
    email_verification: Annotated[Literal["off", "optional", "required"], Lowercase] = Field(
        "optional",
        description="`off`: no address is proved; `optional`: each gets a code; `required`: nobody passes forward-auth "
        "before. The same for auth and users",
    )
    require_2fa: Annotated[Literal["none", "admins", "all"], Lowercase] = Field(
        "none",
        description="Whose sessions pass forward-auth, and do an administrator's acts, only if they began with a "
        "second factor: `none`, `admins` or `all`. The same for auth and users",
    )

    def demands_second_factor(self, *, is_admin: bool) -> bool:
        return self.require_2fa == "all" or (self.require_2fa == "admins" and is_admin)


def load(settings: type[S], **overrides: Any) -> S:
    """Raises `SettingsInvalid`."""
    try:
        return settings(**overrides)
    except VariableInvalid as error:
        raise SettingsInvalid(str(error)) from None
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)
        missing = [str(problem["loc"][0]).upper() for problem in problems if problem["type"] == "missing"]
        others = [_sentence(problem) for problem in problems if problem["type"] != "missing"]
        raise SettingsInvalid("; ".join([*not_set(missing), *others])) from None


def _sentence(problem: ErrorDetails) -> str:
    variable = ".".join(map(str, problem["loc"])).upper()
    if said := _SENTENCES.get(problem["type"]):
        context = {name: str(value).replace("'", "") for name, value in problem.get("ctx", {}).items()}
        return f"{variable}: {said.format(**context)}"
    message = problem["msg"].removeprefix("Value error, ")
    # A rule across several variables has no variable here; its message names them.
    return f"{variable}: {message}" if variable else message
