"""An authenticator of the browser's own, which has its user verified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from playwright.async_api import CDPSession, Page

# As of a phone or a laptop: passkeys are kept in it, and its owner unlocks it.
_OPTIONS: Final = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@dataclass(frozen=True, slots=True)
class Authenticator:
    """It says yes to whatever a page asks, until its owner is away."""

    devices: CDPSession
    id: str

    @classmethod
    async def of(cls, page: Page) -> Self:
        devices = await page.context.new_cdp_session(page)
        await devices.send("WebAuthn.enable")
        added = await devices.send("WebAuthn.addVirtualAuthenticator", {"options": _OPTIONS})
        return cls(devices, added["authenticatorId"])

    async def owner_is(self, *, here: bool) -> None:
        known = {"authenticatorId": self.id, "enabled": here}
        await self.devices.send("WebAuthn.setAutomaticPresenceSimulation", known)
