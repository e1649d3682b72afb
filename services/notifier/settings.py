from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from services.notifier.http_body import JSON, read_headers, refuse_bad_body
from services.notifier.mailbox import Mailbox
from services.notifier.mails.own_templates import refuse_bad_templates
from services.notifier.mails.style import SHIPPED, Style, shipped_language
from services.notifier.relay_urls import RelayUrl, check_relays, split_relays
from shared.configuration.connections import Connection, to_http
from shared.configuration.hosts import is_container_name, is_loopback
from shared.configuration.settings import DemoSettings, ProcessSettings
from shared.configuration.types import Host, HttpUrl, MacKeys, SealingKeys, SiteName, mac_keys
from shared.mail_address import RESERVED_DOMAINS

_LONGEST_SUBJECT = 70

_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.IGNORECASE)
# RFC 5321 4.1.3
_ADDRESS_LITERAL = re.compile(r"\[(\d{1,3}(\.\d{1,3}){3}|IPv6:[0-9a-f:.]+)\]", re.IGNORECASE | re.ASCII)
_LONGEST_NAME = 255


def _helo(name: str) -> str:
    if len(name) > _LONGEST_NAME or not (_HOST_NAME.fullmatch(name) or _ADDRESS_LITERAL.fullmatch(name)):
        raise ValueError("must be a host's name like login.example.com, or an address like [192.0.2.1]")
    return name


def _mailbox(value: object) -> object:
    return Mailbox.parse(value) if isinstance(value, str) else value


def _subject(value: str) -> str:
    if not value.isprintable() or not 1 <= len(value) <= _LONGEST_SUBJECT:
        raise ValueError(f"must be at most {_LONGEST_SUBJECT} characters on one line")
    return value


def _language(value: str) -> str:
    known = shipped_language(value)
    if known is None:
        raise ValueError(f"must be one of {', '.join(SHIPPED)}, or a form of one of them, such as de-AT")
    return known


class NotifierSettings(ProcessSettings, DemoSettings):
    otp_sealing_keys: SealingKeys = Field(
        description="Fernet keys of codes in events, comma-separated. Shared with auth"
    )
    auth_to_notifier_keys: MacKeys = mac_keys("auth", "the notifier")
    users_to_notifier_keys: MacKeys = mac_keys("users", "the notifier")
    notifier_to_auth_keys: MacKeys = mac_keys("the notifier", "auth")
    notifier_to_users_keys: MacKeys = mac_keys("the notifier", "users")
    mailed_code_sealing_keys: SealingKeys = Field(
        description="Fernet keys of account codes in events, comma-separated. Shared with users"
    )
    notifier_channel: Literal["smtp", "http", "file"] = Field("smtp", description="How codes are delivered")
    notifier_concurrency: int = Field(
        16, ge=1, le=500, description="Deliveries under way at a time; to one domain a quarter"
    )
    otp_log_file: Path | None = Field(
        None,
        description="With channel `file`: gets a line `email/otp` per login code; account codes go to "
        "`<file>.account-codes` as `email/purpose/code`, notices to `<file>.notices`",
    )
    smtp_host: Host = Field("127.0.0.1", description="Mail server, by its name or address alone")
    smtp_port: int = Field(25, ge=1, le=65535, description="Its port; usually 465 for `tls`, 587 for `starttls`")
    smtp_security: Literal["none", "starttls", "tls"] = Field(
        "starttls", description="Demanded, never merely tried; `none` is for MailHog"
    )
    smtp_username: str | None = Field(None, description="Goes with SMTP_PASSWORD; without them no login is made")
    smtp_password: SecretStr | None = Field(None, description="Sent only over TLS")
    smtp_relays: Annotated[list[SecretStr], BeforeValidator(split_relays), AfterValidator(check_relays)] = Field(
        [],
        description="More mail servers, comma-separated: `smtp://user:password@host:587` (STARTTLS), `smtps://…`;"
        " asked in this order when `SMTP_HOST` does not take a mail now",
    )
    smtp_timeout: float = Field(15.0, gt=0, le=600, description="Seconds that one delivery may take in all")
    smtp_helo_name: Annotated[str, AfterValidator(_helo)] | None = Field(
        None, description="The name that the mail server is greeted with (EHLO); by default the domain of `MAIL_FROM`"
    )
    mail_http_url: HttpUrl | None = Field(None, description="With channel `http`: where each mail is posted to")
    mail_http_headers: SecretStr = Field(
        SecretStr(""),
        description="Headers of these requests, one on each line, `Authorization: Bearer ...`; without a `Content-Type`"
        " it is JSON's",
    )
    mail_http_body: Path | None = Field(
        None, description="Template of their body, which is JSON; docs/mail.md has the values and examples"
    )
    mail_from: Annotated[Mailbox, BeforeValidator(_mailbox)] = Field(
        Mailbox("login@localhost.localdomain"),
        description="Sender, `login@example.com` or `Acme <login@example.com>`; a name with a comma is quoted",
    )
    mail_reserved_domains: bool = Field(True, description=RESERVED_DOMAINS)
    site_name: SiteName = Field("Login2FA", description="Your site, as pages and mails name it")
    mail_subject: Annotated[str, AfterValidator(_subject)] | None = Field(
        None,
        description="Subject of a login code's mail, after `[SITE_NAME]`; by default `Your login code`",
    )
    mail_language: Annotated[str, AfterValidator(_language)] = Field(
        "en", description="Language of mails (BCP 47): `en` or `de`; `de-AT` means `de`"
    )
    mail_templates: Path | None = Field(
        None,
        description="Folder with templates of your own, `<language>/<name>.j2`; docs/mail.md names them",
    )
    mail_reply_to: Annotated[Mailbox, BeforeValidator(_mailbox)] | None = Field(
        None, description="Where answers go, written like `MAIL_FROM`; by default to the sender"
    )

    @property
    def mail_style(self) -> Style:
        return Style(self.mail_language, self.mail_templates, self.mail_reply_to)

    @property
    def helo_name(self) -> str:
        return self.smtp_helo_name or self.mail_from.domain

    def connections(self) -> dict[str, Connection]:
        if self.notifier_channel == "file":
            return super().connections()
        if self.notifier_channel == "http" and self.mail_http_url is not None:
            return super().connections() | {"MAIL_HTTP_URL": to_http(self.mail_http_url)}
        first, *others = self.mail_servers()
        mail = Connection((self.smtp_host,), first.smtp_security != "none", "SMTP_SECURITY=starttls or tls")
        plain = tuple(each.smtp_host for each in others if each.smtp_security == "none")
        relays = {"SMTP_RELAYS": Connection(plain, encrypted=False, instead="smtp:// or smtps://")} if plain else {}
        return super().connections() | {"SMTP_HOST": mail} | relays

    def mail_servers(self) -> list[Self]:
        """These settings for each mail server, the first one first."""
        relays = (RelayUrl.parse(each.get_secret_value()) for each in self.smtp_relays)
        return [self, *(self.model_copy(update={**asdict(each), "smtp_relays": []}) for each in relays)]

    @model_validator(mode="after")
    def _demo_stays_here(self) -> Self:
        named, hosts = "SMTP_HOST", [each.smtp_host for each in self.mail_servers()]
        if self.notifier_channel == "http":
            named, hosts = "MAIL_HTTP_URL", list(to_http(self.mail_http_url).hosts if self.mail_http_url else ())
        leaves = not all(is_loopback(host) or is_container_name(host) for host in hosts)
        if self.demo and leaves and self.notifier_channel != "file":
            raise ValueError(
                f"DEMO is on, and {named} is neither this machine nor a container: the demo accounts' addresses are"
                " somebody's, so their mail must not leave. Turn DEMO off, or send to an inbox like MailHog"
            )
        return self

    @model_validator(mode="after")
    def _templates_work(self) -> Self:
        if self.mail_templates is not None:
            refuse_bad_templates(self.mail_templates, site=self.site_name)
        return self

    def http_headers(self) -> dict[str, str]:
        """Names in lower case."""
        return {"content-type": JSON, **dict(read_headers(self.mail_http_headers.get_secret_value()))}

    @model_validator(mode="after")
    def _http_works(self) -> Self:
        if self.notifier_channel == "http":
            if self.mail_http_url is None or self.mail_http_body is None:
                raise ValueError("MAIL_HTTP_URL and MAIL_HTTP_BODY are needed with NOTIFIER_CHANNEL=http")
            content_type = self.http_headers()["content-type"]
            refuse_bad_body(self.mail_http_body, content_type, style=self.mail_style, site=self.site_name)
        return self

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.notifier_channel == "file" and self.otp_log_file is None:
            raise ValueError("OTP_LOG_FILE is needed with NOTIFIER_CHANNEL=file")
        if self.smtp_username is not None and self.smtp_security == "none":
            raise ValueError("SMTP_USERNAME needs SMTP_SECURITY=starttls or tls: credentials are not sent in clear")
        if self.smtp_username is not None and self.smtp_password is None:
            raise ValueError("SMTP_PASSWORD is needed with SMTP_USERNAME; without a login leave out both")
        if self.smtp_password is not None and self.smtp_username is None:
            raise ValueError("SMTP_USERNAME is needed with SMTP_PASSWORD; without a login leave out both")
        return self
