"""Verifications of passkeys' signatures and nothing else (`python -m tests.bench.limits.assertions`)."""

from __future__ import annotations

import itertools
import time
from typing import Any

from webauthn import verify_authentication_response
from webauthn.helpers import base64url_to_bytes

from tests.bench import workers


async def _answer(command: dict[str, Any]) -> dict[str, Any]:
    """`answers`: to one challenge."""
    challenge = base64url_to_bytes(command["challenge"])
    answers = itertools.cycle([(each["credential"], base64url_to_bytes(each["key"])) for each in command["answers"]])
    began, used, count = time.monotonic(), time.process_time(), 0
    while time.monotonic() < began + command["seconds"]:
        credential, key = next(answers)
        verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=command["rp_id"],
            expected_origin=command["origin"],
            credential_public_key=key,
            credential_current_sign_count=0,
            require_user_verification=True,
        )
        count += 1
    return {"count": count, "seconds": time.monotonic() - began, "cpu": time.process_time() - used}


if __name__ == "__main__":
    workers.run(workers.answering(_answer))
