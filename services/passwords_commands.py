"""`login2fa passwords ...`: lists of stolen passwords."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from services.command_run import fail

T = TypeVar("T")


def add_to(app: typer.Typer) -> None:
    passwords = typer.Typer(no_args_is_help=True, help="Passwords that were stolen somewhere.")
    passwords.callback()(_group)
    passwords.command()(build_filter)
    app.add_typer(passwords, name="passwords")


def _group() -> None:
    """Keeps the name of the command, which Typer drops where there is only one."""


def build_filter(
    source: Annotated[Path, typer.Argument(help="The list: lines of `SHA-1:count`, or one password a line")],
    to: Annotated[Path, typer.Option("--to", help="The file that BREACHED_PASSWORDS shall name")],
) -> None:
    """Make the file of BREACHED_PASSWORDS: two bytes for each password of the list, which is read twice."""
    from services.users.breach_list import ListInvalid, build, count_lines

    try:
        lines = _shown("Counting", source, lambda progress: count_lines(source, progress))
        _shown("Building", source, lambda progress: build(source, to, lines, progress))
    except ListInvalid as error:
        fail(str(error))
    except OSError as error:
        fail(f"Cannot use {error.filename or to}: {error.strerror}")
    typer.echo(f"written: {to} ({lines} lines, {to.stat().st_size} bytes)")


def _shown(label: str, source: Path, work: Callable[[Callable[[int], None]], T]) -> T:
    with typer.progressbar(length=source.stat().st_size, label=label) as bar:
        return work(bar.update)
