"""Logins by app and by passkey, each whole, beside the one thing in them that can not be done faster."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from login2fa_testing.webauthn_bytes import base64url
from tests.bench import factors
from tests.bench.bench import Bench
from tests.bench.factors import ORIGIN, RP_ID, PasskeyAnswers
from tests.bench.job import Job
from tests.bench.loading import load, request, sample
from tests.bench.measured import Comparison, Result, Sample, Side, compare, in_turn
from tests.bench.people import MANY
from tests.bench.rows.logins import BARE, PARAMETERS, WARM, WORKERS, logins, verifications
from tests.bench.workers import Worker
from tests.servers.databases import connected

_OPTIONS = "/api/v1/auth/passkey/options"
_SECONDS = 2.0
_CHALLENGE = base64url(bytes(32))


async def totp_login(bench: Bench) -> list[Result]:
    """Password and code; an app has one code for each half minute, so each account logs in once."""
    await bench.give_passwords()
    await bench.system.stop("auth")
    await bench.system.start(*WORKERS)
    everybody = range(2 * MANY)
    async with (
        connected(bench.system.databases.admin_url) as connection,
        factors.apps(connection, everybody) as codes,
        Worker("tests.bench.limits.hashing") as hashing,
    ):
        ports, pids = [bench.system.ports[name] for name in WORKERS], bench.system.pids(*WORKERS)
        # Each turn has its own part of the accounts: a load begins with its first request.
        of_a_turn = 2 * MANY // bench.rounds
        parts = iter([range(first, first + of_a_turn) for first in range(0, of_a_turn * bench.rounds, of_a_turn)])

        async def by_app() -> Sample:
            numbers = next(parts)
            job = Job(
                ports=tuple(ports),
                requests=logins(numbers=numbers),
                following=replace(codes, secrets=[codes.secrets[number] for number in numbers]),
                once=True,
                warm=WARM,
                seconds=_SECONDS,
                watched=bench.watched(pids),
            )
            return sample(await load(job))

        sides: dict[str, Side] = {"auth": by_app, BARE: verifications(bench, hashing)}
        samples = await in_turn(sides, bench.say, bench.rounds)
    await bench.system.stop(*WORKERS)
    return [compare(_asked("totp-login", f"password and code; {PARAMETERS}", BARE, 0.60), samples)]


async def passkey_login(bench: Bench) -> list[Result]:
    """Nothing but the passkey: the question and the answer, one process."""
    await bench.system.stop("auth")
    await bench.system.start("auth-passkeys")
    async with (
        connected(bench.system.databases.admin_url) as connection,
        factors.passkeys(connection, range(MANY)) as answers,
        Worker("tests.bench.limits.assertions") as bare,
    ):
        job = Job(
            ports=(bench.system.ports["auth-passkeys"],),
            requests=[request("POST", _OPTIONS)] * MANY,
            following=PasskeyAnswers(answers.keys),  # none of them made yet: they can not be pickled
            seconds=_SECONDS,
            watched=bench.watched(bench.system.pids("auth-passkeys")),
        )

        async def by_passkey() -> Sample:
            return sample(await load(job))

        limit = "bare verifications of signatures"
        sides: dict[str, Side] = {"auth": by_passkey, limit: _signatures(bare, answers)}
        samples = await in_turn(sides, bench.say, bench.rounds)
    await bench.system.stop("auth-passkeys")
    return [
        compare(_asked("passkey-login", "question and answer; one verification of py_webauthn", limit, 0.02), samples)
    ]


def _signatures(bare: Worker, answers: PasskeyAnswers) -> Side:
    asked = {"challenge": _CHALLENGE, "rpId": RP_ID}
    made: list[dict[str, Any]] = [
        {"credential": answers.passkey(number).answer(asked), "key": base64url(answers.public_key(number))}
        for number in range(MANY)
    ]

    async def side() -> Sample:
        done = await bare.ask(answers=made, challenge=_CHALLENGE, rp_id=RP_ID, origin=ORIGIN, seconds=_SECONDS)
        return Sample(figures={"rate": done["count"] / done["seconds"], "process": done["cpu"] / done["count"] * 1e6})

    return side


def _asked(row: str, what: str, limit: str, target: float) -> Comparison:
    return Comparison(
        row=row, what=what, ours="auth", limit=limit, figure="rate", unit="logins/s", bound="at least", target=target
    )
