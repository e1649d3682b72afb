"""For end-to-end tests of services that use Login2FA: start it, log people in, read their codes."""

from __future__ import annotations

from login2fa_testing.answers import UnexpectedAnswer
from login2fa_testing.authenticator_app import AuthenticatorApp
from login2fa_testing.compose import Compose
from login2fa_testing.docker_command import DockerFailed
from login2fa_testing.inbox import AccountCodePurpose, Inbox, InboxUnreachable, NoCode
from login2fa_testing.inbox_address import inbox_at
from login2fa_testing.login import SecondFactor
from login2fa_testing.mailhog import MailHogInbox
from login2fa_testing.mailpit import MailpitInbox
from login2fa_testing.otp_file import FileInbox
from login2fa_testing.people import Person, Tokens
from login2fa_testing.running import NotLogin2FA, RunningLogin2FA, login2fa_of_environment
from login2fa_testing.software_passkey import Changes, NoAnswer, SoftwarePasskey
from login2fa_testing.stack import Login2FA
from login2fa_testing.system import LoginSystem
from login2fa_testing.webauthn_bytes import Flags

__all__ = [
    "AccountCodePurpose",
    "AuthenticatorApp",
    "Changes",
    "Compose",
    "DockerFailed",
    "FileInbox",
    "Flags",
    "Inbox",
    "InboxUnreachable",
    "Login2FA",
    "LoginSystem",
    "MailHogInbox",
    "MailpitInbox",
    "NoAnswer",
    "NoCode",
    "NotLogin2FA",
    "Person",
    "RunningLogin2FA",
    "SecondFactor",
    "SoftwarePasskey",
    "Tokens",
    "UnexpectedAnswer",
    "inbox_at",
    "login2fa_of_environment",
]
