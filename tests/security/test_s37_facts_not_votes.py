"""S37, back-pressure: however many accounts somebody has, and whatever is said of them, nobody else is refused a code.

That nobody waits for one: tests/faults/rows/test_13_mail_server_unwell.py.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.codes_path import PATIENCE, CodesPath, path, silence
from tests.integration.conftest import proxied_url, proxy
from tests.polling import eventually
from tests.servers.mail import HANG_UP, SILENCE, Stage

__all__ = ("path", "proxied_url", "proxy", "silence")

FEW = 9
SILENT_FOR = 8.0


@pytest.mark.parametrize("silence", [SILENT_FOR])
@pytest.mark.parametrize(
    ("reply", "stage"),
    [
        # A word that could be about us, and none.
        ("535 5.7.8 Who are you", "RCPT"),
        (SILENCE, "DATA"),
        *(
            pytest.param(reply, stage, marks=pytest.mark.long)
            for reply, stage in [
                ("556 5.1.10 No mail here", "RCPT"),
                ("451 4.3.0 Later", "RCPT"),
                ("554 5.7.1 No", "RCPT"),
                ("504 5.5.4 What", "RCPT"),
                ("501 5.1.3 Bad address", "RCPT"),
                ("421 4.3.2 Going down", "RCPT"),
                ("530 5.7.0 Log in first", "DATA"),
                ("554 5.6.0 I do not like it", "DATA"),
                (HANG_UP, "RCPT"),
                (SILENCE, "RCPT"),
            ]
        ),
    ],
)
async def test_whatever_a_domain_answers_others_get_their_codes(path: CodesPath, reply: str, stage: Stage) -> None:
    await path.start_notifier()
    path.mails.refuse(reply, at=stage, recipient="@evil.example.net")
    answers = await asyncio.gather(*(path.log_in(email=f"{n}@evil.example.net") for n in range(FEW)))
    assert {answer.status_code for answer in answers} == {200}

    async def longer_than_any_threshold() -> bool:
        await path.code_arrives()  # for somebody else, with 200
        assert not await path.is_on()
        age = "SELECT extract(epoch FROM now() - min(created_at)) FROM auth.challenges"
        return bool(await path.sql.fetchval(age) > SILENT_FOR + 2)

    await eventually(longer_than_any_threshold, PATIENCE)
