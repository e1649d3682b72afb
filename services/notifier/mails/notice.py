"""The mail that reports a change to the owner of the account, with advice; no code, no link."""

from __future__ import annotations

from services.notifier.channel import Notice
from services.notifier.mailbox import Mailbox
from services.notifier.mails.mime_message import MimeMessage
from shared.messaging.notice_events import NoticeWord

_CHANGE_IT = "If it was not you, change your password at once, and tell whoever runs this service."
_TELL_THEM = "If it was not you, tell whoever runs this service at once: somebody else may be logged in as you."
_SECURE_THE_MAILBOX = (
    "If it was not you, somebody else reads your mails: change the password of your mailbox, ask for a new password "
    "here, and tell whoever runs this service."
)
_END_EVERY_SESSION = (
    "If it was not you, somebody else is logged in as you: ask for a new password at once, which ends every session, "
    "and tell whoever runs this service."
)
_REMOVE_IT = (
    "If it was not you, somebody else can log in as you: remove it, ask for a new password, and tell whoever runs this "
    "service at once, who can remove it too."
)
_REPLACE_THE_PASSKEY = (
    "If it was you, replace the passkey that you used. If not, replace all your passkeys, and tell whoever runs this "
    "service at once."
)
_REPLACE_THE_CODES = (
    "If it was not you, somebody else has your recovery codes: ask for a new password at once, make new codes, and "
    "tell whoever runs this service."
)

# Subject; event; advice.
TEXTS: dict[NoticeWord, tuple[str, str, str]] = {
    "password_changed": (
        "Your password was changed",
        "the password of your account was changed. Every other session has ended.",
        _TELL_THEM,
    ),
    "two_factor_on": (
        "Mailed login codes were turned on",
        "from now on a code from a mail is a second factor of logins to your account.",
        _CHANGE_IT,
    ),
    "two_factor_off": (
        "Mailed login codes were turned off",
        "no login to your account needs a code from a mail now: without another second factor its password is enough.",
        _CHANGE_IT,
    ),
    "email_changed": (
        "Your mail address was changed",
        "your account has another mail address now. What concerns it is no longer sent here.",
        _TELL_THEM,
    ),
    "username_changed": (
        "Your username was changed",
        "your account has another username now. The old one no longer logs in.",
        _CHANGE_IT,
    ),
    "admin_granted": (
        "You are an administrator now",
        "your account was given the rights of an administrator: it may read, change and delete all accounts.",
        "If you did not expect this, tell whoever runs this service.",
    ),
    "account_deleted": (
        "Your account was deleted",
        "your account was deleted, and nobody can log in to it any more.",
        "If it was not you, tell whoever runs this service at once.",
    ),
    "wrong_passwords": (
        "Somebody is trying passwords",
        "wrong passwords were given for your account again and again. Nobody got in with them.",
        "If it was not you, you need do nothing; a long password that you use nowhere else can not be guessed.",
    ),
    "codes_off": (
        "Login codes are off for your account",
        "too many wrong codes were given, by somebody who knows your password. No code logs you in for now.",
        "Log in with a passkey, or ask whoever runs this service to let you in again. Then change your password.",
    ),
    "email_change_requested": (
        "A new mail address was asked for",
        "another mail address was given for your account. This one stays in use until the new one is confirmed.",
        _CHANGE_IT,
    ),
    "password_reset": (
        "A new password was set",
        "a new password was set with a code from a mail. Every session has ended; second factors are as they were.",
        _SECURE_THE_MAILBOX,
    ),
    "already_registered": (
        "You have an account already",
        "somebody, perhaps you, wanted to use this mail address for another account. It has an account already.",
        "If it was you, log in or ask for a new password. If not, you need do nothing: nothing has changed.",
    ),
    "totp_added": (
        "An authenticator app was added",
        "an authenticator app was added to your account. Its codes are a second factor of logins from now on.",
        _REMOVE_IT,
    ),
    "totp_removed": (
        "Your authenticator app was removed",
        "the authenticator app of your account was removed. Its codes no longer work.",
        _END_EVERY_SESSION,
    ),
    "passkey_added": (
        "A passkey was added",
        "a passkey was added to your account. Whoever has it logs in without the password.",
        _REMOVE_IT,
    ),
    "passkey_removed": (
        "A passkey was removed",
        "a passkey of your account was removed. It no longer logs in.",
        _END_EVERY_SESSION,
    ),
    "passkey_cloned": (
        "Somebody may have copied your passkey",
        "a login with a passkey of your account was refused: there may be a copy of that passkey.",
        _REPLACE_THE_PASSKEY,
    ),
    "recovery_codes_made": (
        "New recovery codes were made",
        "new recovery codes were made for your account. Earlier ones no longer work.",
        _REPLACE_THE_CODES,
    ),
    "recovery_code_used": (
        "A recovery code was used",
        "one of your recovery codes was used as the second factor of a login to your account.",
        _REPLACE_THE_CODES,
    ),
    "factors_reset": (
        "Your second factors were removed",
        "an administrator removed all passkeys, the authenticator app and the recovery codes of your account.",
        "If you asked for it, set them up again after your next login. If not, tell whoever runs this service at once.",
    ),
}

_TEST = ("Test of the mails", "this is a test: mails of this service get as far as you.", "There is nothing to do.")


class NoticeMail:
    def __init__(self, *, sender: Mailbox, site: str) -> None:
        self._message = MimeMessage("notice", sender=sender, site=site)

    def compose(self, notice: Notice) -> bytes:
        subject, happened, advice = _TEST if notice.notice == "mail_test" else TEXTS[notice.notice]
        happened += _left(notice.recovery_codes_left)
        moment = f"{notice.occurred_at:%d %B %Y, %H:%M} UTC"
        values = {"happened": happened, "advice": advice, "moment": moment}
        return self._message.compose(notice, purpose="notice", subject=subject, date=notice.occurred_at, values=values)


# With so few, the owner should make new codes before the last one is used.
_FEW = 3


def _left(codes: int | None) -> str:
    """Recovery codes that are left, as a sentence after what happened."""
    if codes is None:
        return ""
    left = {0: "None is left", 1: "One is left"}.get(codes, f"{codes} are left")
    return f" {left}: make new ones soon." if codes <= _FEW else f" {left}."
