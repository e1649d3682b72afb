"""A notifier as a process of its own, with settings of its own."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests import edge_keys
from tests.composed import Keys
from tests.servers.ports import free_ports
from tests.stacks.program import Program

_DELIVERIES = re.compile(r'^login2fa_deliveries_total\{outcome="(\w+)"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True)
class NotifierProcess:
    program: Program
    management: str

    async def start(self) -> None:
        """Return when it is ready."""
        self.program.start()
        await self.program.until_ready(self.management)

    async def counted(self) -> dict[str, float]:
        """Deliveries and what became of them, as its metrics say."""
        async with httpx.AsyncClient(trust_env=False) as client:
            said = (await client.get(f"{self.management}/metrics")).text
        return {outcome: float(value) for outcome, value in _DELIVERIES.findall(said) if float(value)}


@asynccontextmanager
async def notifier_process(
    keys: Keys, amqp_url: str, folder: Path, *, prefix: tuple[str, ...] = (), failpoints: bool = False, **settings: str
) -> AsyncIterator[NotifierProcess]:
    """Not yet started; `settings` by their names. Killed at the end, and what it has logged is printed."""
    (port,) = free_ports(1)
    settings = {
        "RABBITMQ_URL": amqp_url,
        "MANAGEMENT_PORT": str(port),
        "OTP_SEALING_KEYS": keys.otp_sealing,
        **edge_keys.environment_of("notifier"),
        "MAILED_CODE_SEALING_KEYS": keys.mailed_sealing,
        **settings,
    }
    program = Program("notifier", "notifier", settings=settings, folder=folder, prefix=prefix, failpoints=failpoints)
    try:
        yield NotifierProcess(program, f"http://127.0.0.1:{port}")
    finally:
        print(program.output())
        program.kill()
