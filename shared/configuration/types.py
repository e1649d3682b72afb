"""Types of settings. No error message shows the value: it may be a secret in the wrong variable."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

import httpx
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from shared.client_address import proxy_test
from shared.configuration.connections import to_broker, to_brokers, to_http, to_issuer
from shared.configuration.database_url import to_database
from shared.configuration.hosts import is_container_name, is_host, is_loopback
from shared.names import refuse_invisible
from shared.redirects import Place

_KEY = re.compile(r"[A-Za-z0-9_-]{43}=", re.ASCII)
_AUDIENCE = re.compile(r"[!-+\--~]+")  # visible ASCII except the comma
_PEPPER_BYTES = 32  # the output length of the HMAC's hash (RFC 2104 section 3)


def mac_keys(sender: str, receiver: str) -> Any:
    """The setting with the keys of the events that one process sends another."""
    events = f"events from {sender} to {receiver}"
    return Field(description=f"MAC keys of {events}, comma-separated; the first signs, any verifies")


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _split_urls(value: object) -> object:
    return re.split(r"[,\s]+", value.strip(", ")) if isinstance(value, str) else value


def _brokers(urls: list[SecretStr]) -> list[SecretStr]:
    to_brokers([url.get_secret_value() for url in urls])
    return urls


def _in_lower_case(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _32_bytes(keys: list[SecretStr]) -> list[SecretStr]:
    # Fernet ignores text after the padding: with a wrong separator it would use only the first key.
    if not all(_KEY.fullmatch(key.get_secret_value()) for key in keys):
        raise ValueError("each key must be 32 bytes in URL-safe base64; make one with: login2fa keys sealing")
    return keys


def _long_enough(peppers: list[SecretStr]) -> list[SecretStr]:
    if any(len(pepper.get_secret_value().encode()) < _PEPPER_BYTES for pepper in peppers):
        raise ValueError(f"each must have at least {_PEPPER_BYTES} bytes; make one with: login2fa keys sealing")
    return peppers


def _host_names(names: list[str]) -> list[str]:
    if foreign := [name for name in names if not is_container_name(name)]:
        raise ValueError(f"a container's name has one label; these have not: {', '.join(foreign)}")
    return names


def _origins(origins: list[str]) -> list[str]:
    """Spelled exactly as browsers send them (RFC 6454 section 6.2); other spellings never match."""
    for origin in origins:
        try:
            url = httpx.URL(origin)
        except httpx.InvalidURL:
            url = httpx.URL("")
        if not url.host or "*" in origin or origin != f"{url.scheme}://{url.netloc.decode()}":
            raise ValueError("each must be an origin like https://app.example.com: no path, no slash at its end, no *")
        if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.host)):
            raise ValueError("each must be https, except on this machine: whoever listens could change its scripts")
    return origins


def _site_name(name: str) -> str:
    refuse_invisible(name)
    if name != name.strip():
        raise ValueError("must not begin or end with a blank")
    return name


def _redirections(entries: list[str]) -> list[str]:
    for entry in entries:
        Place.parse(entry)
    return entries


def _cookie_domain(value: str) -> str:
    if value and (not is_host(value) or "." not in value.strip(".") or value.rpartition(".")[2].isdecimal()):
        raise ValueError("must be a domain alone, such as example.com, and no address: browsers take no other")
    return value.removeprefix(".")


def _audience(value: str) -> None:
    if not _AUDIENCE.fullmatch(value):
        raise ValueError("must be one word of ASCII, such as login2fa: there is one audience, and no list")


def _host(value: str) -> None:
    if not is_host(value):
        raise ValueError("must be a name or an address alone, without scheme, port or brackets, such as 0.0.0.0")


def _kept(parse: Callable[[str], object]) -> AfterValidator:
    """Refuses what `parse` refuses, and keeps the text."""

    def checked(value: Any) -> Any:
        parse(value.get_secret_value() if isinstance(value, SecretStr) else value)
        return value

    return AfterValidator(checked)


Lowercase = BeforeValidator(_in_lower_case)
Host = Annotated[str, _kept(_host)]
HostNames = Annotated[list[str], BeforeValidator(_split), AfterValidator(_host_names)]
Origins = Annotated[list[str], BeforeValidator(_split), AfterValidator(_origins)]
Redirections = Annotated[list[str], BeforeValidator(_split), AfterValidator(_redirections)]
SiteName = Annotated[str, AfterValidator(_site_name), Field(min_length=1, max_length=60)]
CookieDomain = Annotated[str, Lowercase, AfterValidator(_cookie_domain)]
Port = Annotated[int, Field(ge=0, le=65535)]
Proxies = Annotated[str, _kept(proxy_test)]
Issuer = Annotated[str, _kept(to_issuer)]
Audience = Annotated[str, _kept(_audience)]
HttpUrl = Annotated[str, _kept(to_http)]
BrokerUrl = Annotated[SecretStr, _kept(to_broker)]
BrokerUrls = Annotated[list[SecretStr], BeforeValidator(_split_urls), AfterValidator(_brokers)]
DatabaseUrl = Annotated[SecretStr, _kept(to_database)]
SecretList = Annotated[list[SecretStr], BeforeValidator(_split), Field(min_length=1)]
SealingKeys = Annotated[SecretList, AfterValidator(_32_bytes)]
MacKeys = SealingKeys
Peppers = Annotated[SecretList, AfterValidator(_long_enough)]
