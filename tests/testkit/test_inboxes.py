"""What every inbox of the testing kit does: on MailHog, on a server with Mailpit's documented API, and on the file.

The codes are delivered by the notifier's own channels. No Mailpit was run here: see tests/servers/mailpit.py.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from email.message import EmailMessage

import aiosmtplib
import pytest

from login2fa_testing import InboxUnreachable, NoCode, mailhog, mailpit
from login2fa_testing.inbox import PolledInbox, Purpose, Received
from services.notifier.smtp import SmtpChannel
from tests.testkit.conftest import Place

ANN = "ann@example.org"


async def test_a_code_that_was_delivered_is_given(place: Place) -> None:
    await place.deliver(ANN, "493817")

    assert await place.wait_for_code(ANN) == "493817"
    assert place.inbox.codes(ANN) == ["493817"]


async def test_a_code_that_is_still_on_its_way_is_waited_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = threading.Event()
    inbox = place.inbox
    assert isinstance(inbox, PolledInbox)
    real = inbox._received

    def received(email: str, purpose: Purpose) -> Iterable[Received]:
        found = list(real(email, purpose))
        looked.set()
        return found

    monkeypatch.setattr(inbox, "_received", received)
    waiting = asyncio.create_task(place.wait_for_code(ANN))
    assert await asyncio.to_thread(looked.wait, 20)
    await place.deliver(ANN, "493817")

    assert await waiting == "493817"


async def test_addresses_are_compared_without_regard_to_case(place: Place) -> None:
    await place.deliver("Ann.Lee@Example.org", "493817")

    assert place.inbox.codes("aNN.lEE@eXAMPLE.ORG") == ["493817"]
    assert await place.wait_for_code("ann.lee@example.org") == "493817"


async def test_a_mail_that_was_delivered_twice_is_one_code(place: Place) -> None:
    await place.deliver(ANN, "493817", times=2)
    await place.deliver(ANN, "000042", times=3)

    assert place.inbox.codes(ANN) == ["493817", "000042"]


async def test_a_resend_gives_a_second_code(place: Place) -> None:
    await place.deliver(ANN, "493817")
    assert await place.wait_for_code(ANN) == "493817"
    await place.deliver(ANN, "000042")

    assert await place.wait_for_code(ANN) == "000042"
    assert place.inbox.codes(ANN) == ["493817", "000042"]


async def test_codes_of_other_people_are_never_given(place: Place) -> None:
    await place.deliver("joann@example.org", "111111")
    await place.deliver("ann@example.org.uk", "222222")
    await place.deliver("bob@example.org", "333333")

    assert place.inbox.codes(ANN) == []
    with pytest.raises(NoCode):
        await place.wait_for_code(ANN, timeout=0.2)


async def test_of_several_codes_the_newest_is_given_and_no_older_one_later(place: Place) -> None:
    await place.deliver(ANN, "493817")
    await place.deliver(ANN, "000042")

    assert await place.wait_for_code(ANN) == "000042"
    with pytest.raises(NoCode):
        await place.wait_for_code(ANN, timeout=0.2)


async def test_the_code_that_follows_so_many_is_given_when_asked_for_by_number(place: Place) -> None:
    for code in ("493817", "000042", "778899"):
        await place.deliver(ANN, code)

    assert [await place.wait_for_code(ANN, after=number) for number in (0, 1, 2)] == ["493817", "000042", "778899"]
    with pytest.raises(NoCode, match="holds 3 for this address, and not 4"):
        await place.wait_for_code(ANN, after=3, timeout=0.2)


async def test_a_wait_in_vain_says_what_it_saw_and_shows_no_code(place: Place) -> None:
    await place.deliver("bob@example.org", "493817")
    with pytest.raises(NoCode) as nothing:
        await place.wait_for_code(ANN, timeout=0.2)
    await place.deliver(ANN, "000042")
    await place.wait_for_code(ANN)
    with pytest.raises(NoCode) as used:
        await place.wait_for_code(ANN, timeout=0.2)

    assert isinstance(place.inbox, PolledInbox)
    said = f"No login code for {ANN} within 0.2 s: {place.inbox.place} holds"
    assert str(nothing.value) == f"{said} 0 for this address."
    assert str(used.value) == f"{said} 1 for this address, all given before."


async def test_after_clear_the_inbox_is_empty_until_something_arrives(place: Place) -> None:
    await place.deliver(ANN, "493817")
    place.inbox.clear()
    assert place.inbox.codes(ANN) == []
    await place.deliver(ANN, "000042")

    assert await place.wait_for_code(ANN) == "000042"
    assert place.inbox.codes(ANN) == ["000042"]


async def test_people_who_wait_at_the_same_time_get_their_own_codes(place: Place) -> None:
    expected = {f"person{number}@example.org": f"{number:06d}" for number in range(3)}
    waiting = [asyncio.create_task(place.wait_for_code(email)) for email in expected]
    await asyncio.gather(*(place.deliver(email, code) for email, code in expected.items()))

    assert await asyncio.gather(*waiting) == list(expected.values())


async def test_none_is_lost_when_they_fill_more_than_a_page(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailhog, "PAGE", 2)
    monkeypatch.setattr(mailpit, "PAGE", 2)
    codes = [f"{number:06d}" for number in range(5)]
    for code in codes:
        await place.deliver(ANN, code)

    assert place.inbox.codes(ANN) == codes


@pytest.mark.parametrize("place", ["mailhog", "mailpit"], indirect=True)  # the file holds nothing else
async def test_mail_without_a_code_is_passed_over(place: Place) -> None:
    assert isinstance(place.channel, SmtpChannel)
    await place.deliver(ANN, "493817")
    news = EmailMessage()
    news["From"], news["To"], news["Subject"] = "news@test.com", ANN, "Your newsletter"
    news.set_content("Call 123456 now!\n1234567\n12345\n123456\nABCDE-12345\n")
    settings = place.channel._settings
    await aiosmtplib.send(news, hostname=settings.smtp_host, port=settings.smtp_port, start_tls=False)

    assert place.inbox.codes(ANN) == ["493817"]
    assert place.inbox.account_codes(ANN, "verify") == []


async def test_an_account_code_is_given_for_its_purpose_alone_and_never_for_a_login_code(place: Place) -> None:
    await place.deliver(ANN, "K7X9M2Q4TZ", purpose="reset")
    await place.deliver(ANN, "0123456789", purpose="verify", times=2)
    await place.deliver(ANN, "493817")
    await place.deliver("bob@example.org", "BBBBB22222", purpose="reset")
    await place.deliver(ANN, "ZZZZZ99999", purpose="reset")

    assert place.inbox.codes(ANN) == ["493817"]
    assert place.inbox.account_codes(ANN, "reset") == ["K7X9M2Q4TZ", "ZZZZZ99999"]
    assert place.inbox.account_codes(ANN, "verify") == ["0123456789"]
    assert place.inbox.account_codes(ANN, "change") == []
    assert await place.wait_for_account_code("Ann@Example.org", "verify") == "0123456789"
    assert await place.wait_for_account_code(ANN, "reset") == "ZZZZZ99999"
    assert await place.wait_for_code(ANN) == "493817"
    with pytest.raises(NoCode, match=f"No reset code for {ANN} .* holds 2 for this address, all given before"):
        await place.wait_for_account_code(ANN, "reset", timeout=0.2)


async def test_after_clear_account_codes_are_forgotten_too(place: Place) -> None:
    await place.deliver(ANN, "K7X9M2Q4TZ", purpose="invite")
    place.inbox.clear()
    assert place.inbox.account_codes(ANN, "invite") == []
    await place.deliver(ANN, "ZZZZZ99999", purpose="invite")

    assert place.inbox.account_codes(ANN, "invite") == ["ZZZZZ99999"]


@pytest.mark.parametrize("place", ["mailhog", "mailpit"], indirect=True)  # the file: test_inbox_of_the_file.py
async def test_an_inbox_that_was_emptied_by_somebody_else_still_gives_what_comes_next(place: Place) -> None:
    await place.deliver(ANN, "493817")
    await place.wait_for_code(ANN)
    other = type(place.inbox)(place.inbox._http._address)  # type: ignore[attr-defined, call-arg] # both have it
    other.clear()
    await place.deliver(ANN, "000042")

    assert await place.wait_for_code(ANN) == "000042"


async def test_an_inbox_that_can_not_be_read_says_so(place: Place) -> None:
    inbox = type(place.inbox)("http://127.0.0.1:1" if isinstance(place.channel, SmtpChannel) else "/")  # type: ignore[call-arg] # each takes its place

    with pytest.raises(InboxUnreachable, match=r"does not answer|can't be read"):
        inbox.codes(ANN)
    with pytest.raises(NoCode, match=rf"No login code for {ANN} within 0.1 s: .*(does not answer|can't be read)"):
        inbox.wait_for_code(ANN, timeout=0.1)
