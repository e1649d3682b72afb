"""Mails in each shipped language, and templates of an operator's own."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from pathlib import Path
from typing import cast

import pytest

from services.notifier.mailbox import Mailbox
from services.notifier.mails.own_templates import made_up, refuse_bad_templates
from services.notifier.mails.style import SHIPPED, Style, shipped_language, words
from tests.good_settings import environment, refusal

__all__ = ["environment"]


def mails(style: Style, site: str = "Acme") -> list[EmailMessage]:
    return [email.message_from_bytes(composed, policy=email.policy.SMTP) for composed, _ in made_up(style, site=site)]


def parts(mail: EmailMessage) -> list[EmailMessage]:
    return [cast("EmailMessage", part) for part in mail.iter_parts()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "de").mkdir()
    return tmp_path


def test_every_language_has_the_same_texts() -> None:
    assert all(words(language).keys() == words("en").keys() for language in SHIPPED)


@pytest.mark.parametrize("language", SHIPPED)
def test_a_strict_parser_finds_no_defect_in_any_mail(language: str) -> None:
    site = "Bücher {code} <b>株式会社"
    style = Style(language, reply_to=Mailbox("help@example.com", "Hilfe für Ännchen"))
    for mail in mails(style, site):
        assert not mail.defects
        assert not any(header.defects for header in mail.values())
        assert str(mail["Reply-To"].addresses[0]) == "Hilfe für Ännchen <help@example.com>"
        assert mail["Subject"].startswith(f"[{site}] ")
        text, html = (part.get_content() for part in parts(mail))
        assert not any(part.defects for part in parts(mail))
        assert site in text
        assert "<b>" not in html
        assert f'<html lang="{language}">' in html


def test_no_line_of_a_mail_is_longer_than_smtp_allows(folder: Path) -> None:
    (folder / "de/notice.html.j2").write_text("<p>" + "a" * 5000)
    for composed, _ in made_up(Style("de", folder), site="Acme"):
        assert all(len(line) <= 998 for line in composed.split(b"\r\n"))


def test_a_file_takes_the_place_of_the_shipped_one_in_its_language_alone(folder: Path) -> None:
    (folder / "de/login_code.subject.txt.j2").write_text("Schlüssel\nfür {{ site }}")
    (folder / "de/login_code.txt.j2").write_text("Grüße!\n{{ code }}\n")
    refuse_bad_templates(folder, site="Acme")

    german, english = mails(Style("de", folder))[0], mails(Style("en", folder))[0]
    assert german["Subject"] == "Schlüssel für Acme"
    assert parts(german)[0].get_content().split() == ["Grüße!", "493817"]
    assert "dein Anmeldecode" in parts(german)[1].get_content()
    assert english["Subject"] == "[Acme] Your login code"


@pytest.mark.parametrize(
    ("file", "template", "says"),
    [
        ("login_code.txt.j2", "{{ code }}\n{% if %}", r"login_code\.txt\.j2, line 2: .*Correct it, or remove the file"),
        ("login_code.txt.j2", "\n{{ code }} {{ nmae }}", r"login_code\.txt\.j2, line 2: 'nmae' is undefined"),
        ("notice.html.j2", "{{ ''.__class__.__mro__ }}", r"notice\.html\.j2, line 1: .*unsafe"),
        ("account_code.txt.j2", "no code", "the plain part of a mail with a code lacks it"),
        ("login_code.subject.txt.j2", "{{ code }}", "'code' is undefined"),
        ("notice.txt.j2", '{{ text("notice.none") }}', r"notice\.txt\.j2, line 1: 'notice\.none'"),
        ("logincode.txt.j2", "{{ code }}", "belongs to no mail"),
    ],
)
def test_a_template_that_would_spoil_a_mail_is_refused_by_file_and_line(
    folder: Path, file: str, template: str, says: str
) -> None:
    (folder / "de" / file).write_text(template)
    with pytest.raises(ValueError, match=says):
        refuse_bad_templates(folder, site="Acme")


def test_a_bad_template_is_a_setting_that_stops_the_start(folder: Path, environment: pytest.MonkeyPatch) -> None:
    (folder / "de/notice.txt.j2").write_text("{{ happend }}")
    environment.setenv("MAIL_TEMPLATES", str(folder))
    assert "notice.txt.j2, line 1: 'happend' is undefined. Correct it" in refusal("notifier")


@pytest.mark.parametrize(("tag", "language"), [("de", "de"), ("de-AT", "de"), ("EN-gb", "en"), ("fr", None)])
def test_a_language_falls_back_to_a_less_special_one(tag: str, language: str | None) -> None:
    assert shipped_language(tag) == language
