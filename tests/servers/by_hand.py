"""A server of the tests that is run by hand: its faults are options, and lines that are typed while it runs.

`--cut-after 100 --way out` on the command line is `cut-after 100 --way out` when typed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NoReturn


class _NotUnderstood(Exception):
    pass


class Faults(argparse.ArgumentParser):
    """Options that may be typed, too."""

    def __init__(self) -> None:
        super().__init__(add_help=False, allow_abbrev=False)

    def typed(self, line: str) -> argparse.Namespace:
        try:
            return self.parse_args(shlex.split(f"--{line}"))
        except ValueError as error:
            raise _NotUnderstood(str(error)) from None

    def error(self, message: str) -> NoReturn:
        """Instead of ending the process."""
        raise _NotUnderstood(message)


async def by_hand(faults: Faults, apply: Callable[[argparse.Namespace], Awaitable[None]]) -> None:
    """Until it is cancelled, which Ctrl-C does."""
    lines: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    standard_input = sys.stdin.fileno()

    def read() -> None:
        data = os.read(standard_input, 4096)
        if not data:
            loop.remove_reader(standard_input)
        for line in data.decode().splitlines():
            lines.put_nowait(line)

    with suppress(PermissionError):  # a file or /dev/null: nobody types
        loop.add_reader(standard_input, read)
    while True:
        line = await lines.get()
        try:
            await apply(faults.typed(line))
        except _NotUnderstood as error:
            print(error, faults.format_usage(), sep="\n", flush=True)
