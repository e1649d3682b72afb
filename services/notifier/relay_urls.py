"""The setting SMTP_RELAYS: mail servers as URLs, each with its login."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from shared.configuration.hosts import is_host

_FORM: Final = "write smtp://user:password@host:587 (STARTTLS), smtps://user:password@host:465 or smtp+plain://host:25"
_ESCAPED: Final = "characters like @ : / , % in a name or password are written %40 %3A %2F %2C %25"

_SCHEMES: Final[dict[str, tuple[Literal["none", "starttls", "tls"], int]]] = {
    "smtp": ("starttls", 587),
    "smtps": ("tls", 465),
    "smtp+plain": ("none", 25),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayUrl:
    """Named as the settings of the first mail server."""

    smtp_host: str
    smtp_port: int
    smtp_security: Literal["none", "starttls", "tls"]
    smtp_username: str | None
    smtp_password: SecretStr | None

    @classmethod
    def parse(cls, url: str) -> RelayUrl:
        """Raises ValueError, whose text holds nothing of the URL."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError(f"is no URL of a mail server; {_FORM}; {_ESCAPED}") from None
        if parts.scheme not in _SCHEMES or not is_host(parts.hostname or ""):
            raise ValueError(f"is no URL of a mail server; {_FORM}; {_ESCAPED}")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError(f"has something behind the port; {_FORM}; {_ESCAPED}")
        security, usual = _SCHEMES[parts.scheme]
        username, password = unquote(parts.username or ""), unquote(parts.password or "")
        if bool(username) != bool(password):
            raise ValueError(f"has a name or a password, and must have both or none; {_FORM}")
        if username and security == "none":
            raise ValueError("has a login and no TLS: credentials are not sent in clear")
        return cls(
            smtp_host=str(parts.hostname),
            smtp_port=usual if port is None else port,
            smtp_security=security,
            smtp_username=username or None,
            smtp_password=SecretStr(password) if password else None,
        )


def split_relays(value: Any) -> Any:
    return [each.strip() for each in value.split(",") if each.strip()] if isinstance(value, str) else value


def check_relays(urls: list[SecretStr]) -> list[SecretStr]:
    for number, url in enumerate(urls, 1):
        try:
            RelayUrl.parse(url.get_secret_value())
        except ValueError as error:
            raise ValueError(f"number {number} {error}") from None
    return urls
