"""The compose file with several replicas of each service of ours, which these tests hurt: each heals what it broke."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from login2fa_testing import Inbox, Login2FA, MailHogInbox
from tests.compose.containers import OURS, THEIRS
from tests.e2e_required import require_containers
from tests.servers.ports import free_ports
from tests.stacks.program import HASH_MAX_WAIT

SCALE = {"auth": 2, "users": 2, "notifier": 3}


@pytest.fixture(scope="package")
def environment() -> dict[str, str]:
    gateway, mailhog = free_ports(2)
    return {
        # Chosen here: Docker would take other ones when it starts a container again.
        "GATEWAY_PORT": str(gateway),
        "MAILHOG_PORT": str(mailhog),
        # A new account is known to auth when its event has come: through a replica that lives, should one have died.
        "LOGIN_FAILURE_DEADLINE": "5",
        # Who lost a mail asks again at once, and the same people log in all the time.
        "OTP_RESEND_COOLDOWN": "1",
        "OTP_CODES_PER_HOUR": "1000",
        # A server that takes long to come back on a slow machine is not to be answered by refusals here.
        "OTP_PRESSURE_ON": "200",
        "NOTIFIER_SILENCE": "200",
        # One address has a quarter of this wait for a hash, and here all clients are one.
        "HASH_MAX_WAIT": HASH_MAX_WAIT,
    }


@pytest.fixture(scope="package")
def gateway(environment: dict[str, str]) -> str:
    return f"http://127.0.0.1:{environment['GATEWAY_PORT']}"


@pytest.fixture(scope="package")
def inbox(environment: dict[str, str]) -> Inbox:
    """One for all tests: it knows which codes it has given."""
    return MailHogInbox(f"http://127.0.0.1:{environment['MAILHOG_PORT']}")


@pytest.fixture(scope="package")
def system(environment: dict[str, str]) -> Iterator[Login2FA]:
    require_containers()
    with Login2FA(environment=environment, scale=SCALE) as system:
        yield system


@pytest.fixture
def healthy(system: Login2FA) -> Iterator[Login2FA]:
    """All of it, for a test that hurts it. A failing one shows the last lines of each container."""
    system.compose.wait_until_healthy(*OURS, *THEIRS)
    yield system
    print(system.compose.run("logs", "--no-color", "--tail", "40").stdout)
