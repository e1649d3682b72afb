"""Examines an operator's templates before the first mail needs them: each mail is composed with values made up."""

from __future__ import annotations

import email
import email.policy
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, get_args

from jinja2 import TemplateSyntaxError

from services.notifier.channel import AccountCode, Delivery, Notice
from services.notifier.mailbox import Mailbox
from services.notifier.mails.account_code import AccountCodeMail
from services.notifier.mails.login_code import LoginCodeMail
from services.notifier.mails.notice import NoticeMail
from services.notifier.mails.style import SHIPPED, Style
from shared.long_codes import in_halves
from shared.messaging.address_events import CodePurpose
from shared.messaging.notice_events import NoticeWord

_PARTS = ("subject.txt", "txt", "html")
_NAMES: Final = {f"{mail}.{part}.j2" for mail in ("login_code", "account_code", "notice") for part in _PARTS}
_SHARED: Final = {"subject.txt.j2", "frame.html.j2"}
_SENDER = Mailbox("login@example.com")
_LOGIN_CODE, _ACCOUNT_CODE = "493817", "K7X9M2Q4TZ"
_AT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
_COMMON: Final = {"event_id": "e", "correlation_id": "c", "email": "somebody@example.com"}


def refuse_bad_templates(folder: Path, *, site: str) -> None:
    """Raises ValueError, which names file and line and says what to do."""
    _refuse_unused(folder)
    for language in SHIPPED:
        style = Style(language, folder)
        try:
            for composed, code in made_up(style, site=site):
                _refuse_without_code(composed, code, folder / language)
        except ValueError:
            raise
        except Exception as error:  # noqa: BLE001 - a template may raise anything: each is the operator's to mend
            raise ValueError(f"MAIL_TEMPLATES: {_place(error, folder)}: {error}. {_CURE}") from None


_CURE = "Correct it, or remove the file to use the shipped one"


def _refuse_unused(folder: Path) -> None:
    """A misspelt name would leave the shipped mail in use, unnoticed."""
    if not folder.is_dir():
        raise ValueError(f"MAIL_TEMPLATES: {folder} is no folder that can be read")
    for path in sorted(folder.rglob("*.j2")):
        if path.parent.parent != folder or path.parent.name not in SHIPPED or path.name not in _NAMES | _SHARED:
            raise ValueError(
                f"MAIL_TEMPLATES: {path} belongs to no mail. Folders: {', '.join(SHIPPED)}; "
                f"files: {', '.join(sorted(_NAMES | _SHARED))}"
            )


def made_up(style: Style, *, site: str) -> Iterator[tuple[bytes, str]]:
    """Every mail there is, with the code that it must show."""
    until = _AT + timedelta(minutes=4)
    login = Delivery(**_COMMON, code=_LOGIN_CODE, requested_at=_AT, expires_at=until)
    yield LoginCodeMail(sender=_SENDER, subject=None, site=site, style=style).compose(login), _LOGIN_CODE
    account = AccountCodeMail(sender=_SENDER, site=site, style=style)
    for purpose in get_args(CodePurpose):
        code = AccountCode(**_COMMON, purpose=purpose, code=_ACCOUNT_CODE, requested_at=_AT, expires_at=until)
        yield account.compose(code), in_halves(_ACCOUNT_CODE)
    notices = NoticeMail(sender=_SENDER, site=site, style=style)
    for word in (*get_args(NoticeWord), "mail_test"):
        left = 2 if word == "recovery_code_used" else None
        notice = Notice(**_COMMON, notice=word, recovery_codes_left=left, occurred_at=_AT, expires_at=until)
        yield notices.compose(notice), ""


def _refuse_without_code(composed: bytes, code: str, folder: Path) -> None:
    mail = email.message_from_bytes(composed, policy=email.policy.SMTP)
    for part in mail.iter_parts():
        if code not in part.get_content():
            raise ValueError(
                f"MAIL_TEMPLATES: in {folder}, the {part.get_content_subtype()} part of a mail with a code lacks it. "
                "Write {{ code }} into its template"
            )


def _place(error: Exception, folder: Path) -> str:
    if isinstance(error, TemplateSyntaxError):
        return f"{error.filename}, line {error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(".j2")]
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else str(folder)
