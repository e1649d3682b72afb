from __future__ import annotations

from pydantic import DirectoryPath, Field

from shared.configuration.connections import Connection, to_http
from shared.configuration.settings import BrowserSettings
from shared.configuration.types import HttpUrl, SiteName


class PortalSettings(BrowserSettings):
    auth_url: HttpUrl = Field("http://127.0.0.1:8201", description="Where auth serves its API, without `/api`")
    users_url: HttpUrl = Field("http://127.0.0.1:8201", description="Where users serves its API, without `/api`")
    site_name: SiteName = Field("Login2FA", description="Your site, as pages and mails name it")
    portal_theme_dir: DirectoryPath | None = Field(
        None, description="Folder with your own `theme.css` (custom properties) and `logo.svg`; both may be left out"
    )

    def connections(self) -> dict[str, Connection]:
        return super().connections() | {"AUTH_URL": to_http(self.auth_url), "USERS_URL": to_http(self.users_url)}
