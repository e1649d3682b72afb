"""The party that browsers make passkeys for (WebAuthn's relying party), and what they take as one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import httpx
from pydantic import AfterValidator

from shared.configuration.hosts import is_host
from shared.configuration.types import Lowercase

_LABELS = re.compile(r"(?!-)[a-z0-9-]{1,63}(\.(?!-)[a-z0-9-]{1,63})*", re.ASCII)
_OR_OFF = "or set PASSKEYS=off"


@dataclass(frozen=True, slots=True, kw_only=True)
class RelyingParty:
    rp_id: str
    rp_name: str
    origins: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"Passkeys are those of {self.rp_id}, for pages at {', '.join(self.origins)}. With another WEBAUTHN_RP_ID"
            " nobody can use the passkeys that there are."
        )

    def refuse_what_browsers_refuse(self) -> None:
        """Raises ValueError for the operator: else nobody would know before the first passkey."""
        if is_address(self.rp_id):
            raise ValueError(
                "PASSKEYS is on, and browsers take no IP address as the domain of passkeys: let WEBAUTHN_RP_ID, or the"
                f" host of ISSUER, be a name (on this machine localhost), {_OR_OFF}"
            )
        for origin in self.origins:
            page = httpx.URL(origin)
            if page.host != self.rp_id and not page.host.endswith(f".{self.rp_id}"):
                raise ValueError(
                    "WEBAUTHN_ORIGINS, or else ISSUER, names a page whose host is neither WEBAUTHN_RP_ID nor below it:"
                    f" {origin}. Browsers would give it no passkey: change one of them, {_OR_OFF}"
                )
            if page.scheme != "https" and page.host != "localhost":
                raise ValueError(
                    f"WEBAUTHN_ORIGINS, or else ISSUER, must be https for passkeys, or http://localhost: {origin} is"
                    f" neither. Change it, {_OR_OFF}"
                )


def is_address(host: str) -> bool:
    # Browsers read any host whose last label is a number as an IPv4 address (the URL standard).
    return ":" in host or host.rpartition(".")[2].isdecimal()


def relying_party(
    *, passkeys: str, rp_id: str, rp_name: str, origins: Sequence[str], issuer: str
) -> RelyingParty | None:
    """None if passkeys are off. Raises ValueError for the operator."""
    if passkeys == "off":
        return None
    public = httpx.URL(issuer)
    party = RelyingParty(
        rp_id=rp_id or public.host,
        rp_name=rp_name,
        origins=tuple(origins) or (f"{public.scheme}://{public.netloc.decode()}",),
    )
    try:
        party.refuse_what_browsers_refuse()
    except ValueError:
        # Passwords and codes work at an address, and in plain; whoever chose a domain of passkeys wants them, though.
        if passkeys == "auto" and (is_address(party.rp_id) or not (rp_id or origins)):
            return None
        raise
    return party


def _domain(text: str) -> str:
    if text and not (_LABELS.fullmatch(text) or (is_address(text) and is_host(text))):
        raise ValueError("must be a domain alone, in ASCII, without scheme and port, such as login.example.com")
    return text


RpId = Annotated[str, Lowercase, AfterValidator(_domain)]
