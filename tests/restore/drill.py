"""A backup of a running stack, and its restore, by the commands of docs/backup.md."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from deploy.standalone.postgres.programs import environment, programs
from tests.servers.databases import Databases, asyncpg_dsn
from tests.stacks.processes import Processes
from tests.stacks.program import Program


class Drill:
    def __init__(self, stack: Processes, databases: Databases, folder: Path) -> None:
        self._stack = stack
        self._databases = databases
        self._folder = folder
        self._dump = folder / "login2fa.dump"

    async def back_up(self, *schemas: str) -> None:
        """Dump these schemas alone, or all."""
        only = [f"--schema={schema}" for schema in schemas]
        await self._run("pg_dump", "--format=custom", f"--file={self._dump}", *only)

    async def restore(self) -> None:
        """Ends the services first."""
        for program in self._stack.programs:
            await program.terminate()
        await self._run("pg_restore", "--clean", "--if-exists", "--exit-on-error", "--single-transaction", self._dump)

    async def restored(self) -> str:
        """As an operator runs it, with the log of users as the audit trail; returns what it says."""
        settings = {
            "MIGRATOR_DATABASE_URL": self._databases.migrator_url,
            "ACCOUNT_SEALING_KEYS": self._stack.users.settings["ACCOUNT_SEALING_KEYS"],
        }
        command = ("restored", "--deletions", str(self._stack.users.log))
        program = Program("restored", *command, settings=settings, folder=self._folder)
        program.start()
        assert await program.ended() == 0, program.output()
        return program.output()

    async def start(self) -> None:
        for program in self._stack.programs:
            program.start()
        await self._stack.until_ready()

    async def _run(self, name: str, *arguments: str | Path) -> None:
        command = [programs() / name, "--dbname", asyncpg_dsn(self._databases.admin_url), *arguments]
        await asyncio.to_thread(subprocess.run, command, check=True, env=environment())
