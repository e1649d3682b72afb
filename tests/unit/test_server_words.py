"""A mail server's words as they are kept: one short line, readable, and neither an address, a code nor a password."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.server_words import ADDRESS, HIDDEN, MOST, NUMBER, quoted
from tests.builders import full_width

KEPT = [
    "5.1.1 No such mailbox",
    "4.7.1 Greylisted, see http://postgrey.example/help for 300 seconds",
    "5.7.1 Client host [192.0.2.55] blocked using zen.example.org",
    "4.2.1 Sch\u00f6ne Gr\u00fc\u00dfe",
]
WITHOUT_ADDRESS = {
    "5.1.1 <ann@example.org>: Recipient address rejected": f"5.1.1 {ADDRESS} Recipient address rejected",
    "see http://spf.example/why?id=ann%40example.org;ip=1": f"see {ADDRESS}",
    "bounce to srs0=ann=40example.org now": f"bounce to {ADDRESS} now",
    "no ann @ example.org here": f"no {ADDRESS} here",
    "no ann@ example.org here": f"no {ADDRESS} here",
    "no ann @example.org here": f"no {ADDRESS} here",
    "no ann(at)example.org here": f"no {ADDRESS} here",
    f"no {full_width('ann@example.org')} here": f"no {ADDRESS} here",
    "no Ann... here, and no user=ann,": f"no {ADDRESS} here, and no {ADDRESS}",
    "cannot relay annually": "cannot relay annually",
}
WITHOUT_CODE = [
    "519273",
    "519 273",
    "519-273",
    "5 1 9 2 7 3",
    "x519273y",
    "1519273",
    "519\r\n273",
    full_width("519273"),
]


@pytest.mark.parametrize("said", KEPT)
def test_an_honest_reply_is_kept_as_it_is(said: str) -> None:
    assert quoted(said, recipient="bob@example.org") == said


@pytest.mark.parametrize("said", WITHOUT_ADDRESS)
def test_an_address_in_any_spelling_is_left_out_and_the_rest_stays(said: str) -> None:
    assert quoted(said, recipient="ann@example.org") == WITHOUT_ADDRESS[said]


@pytest.mark.parametrize("code", WITHOUT_CODE)
def test_six_digits_are_left_out_however_they_are_written(code: str) -> None:
    assert quoted(f"5.6.0 {code} is spam") in (f"5.6.0 {NUMBER} is spam", f"5.6.0 x{NUMBER}y is spam")


@pytest.mark.parametrize(
    "said", ["K7X9M-2Q4TZ", "k7x9m2q4tz", "K7X9M\r\n2Q4TZ", "K 7 X 9 M 2 Q 4 T Z", full_width("K7X9M-2Q4TZ")]
)
def test_an_account_code_is_left_out_however_it_is_written(said: str) -> None:
    assert quoted(f"5.6.0 {said} is spam", code="K7X9M2Q4TZ") == f"5.6.0 {HIDDEN} is spam"


def test_a_login_that_is_repeated_is_left_out_in_clear_and_as_it_was_sent() -> None:
    plain = b64encode(b"\0login2fa\0secret").decode()

    for said in (f"{plain}", '"secret"', b64encode(b"secret").decode()):
        line = quoted(f"5.5.2 what is AUTH {said} to me", password="secret")
        assert line.replace("'", "") == f"5.5.2 what is AUTH {HIDDEN} to me"
    assert quoted("5.7.8 Authentifizierungsfehler", password="secret") == "5.7.8 Authentifizierungsfehler"
    page = "see https://support.example/mail/answer/help?p=BadCredentials"
    assert quoted(page, password="secret") == page


@given(st.text(max_size=3000))
def test_it_is_one_line_of_printable_characters_whatever_was_said(said: str) -> None:
    line = quoted(said)

    assert len(line) <= MOST
    assert line.isprintable()


@pytest.mark.parametrize("filling", [" ", "a@b "])
@pytest.mark.parametrize("secret", ["victim@example.net", "519273"])
def test_what_is_cut_leaves_no_part_of_an_address_and_no_part_of_a_code(filling: str, secret: str) -> None:
    for before in range(1100):
        line = quoted((filling * before)[:before] + f" {secret} and so on", recipient="bob@example.org")

        assert secret[:3] not in line, before


def test_a_reply_without_end_is_read_in_no_time() -> None:
    assert len(quoted("@" * 10**7)) <= MOST
    assert len(quoted("1 " * 10**7)) <= MOST
