"""`login2fa users ...`: account commands. Passwords come from a prompt or stdin: others can read a command line."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import typer

from services.command_run import T, fail, load_settings, run

if TYPE_CHECKING:
    from sqlalchemy import Row

    from services.users.administration import Administration
    from services.users.importing import Result

Username = Annotated[str | None, typer.Option("--username", help="The account of this username")]
Email = Annotated[str | None, typer.Option("--email", help="The account of this address")]
Id = Annotated[UUID | None, typer.Option("--id", help="The account of this id")]
Stdin = Annotated[bool, typer.Option("--stdin", help="Read the password from standard input instead of asking for it")]
Force = Annotated[bool, typer.Option("--force", help="Also if no active administrator is left")]

# Seconds of a comparison that LOGIN_FAILURE_DEADLINE hides as it is shipped, on a machine that does other work, too.
_QUICK = 0.12


def add_to(app: typer.Typer) -> None:
    app.command()(create_admin)
    app.command("list")(list_accounts)
    app.command("import")(import_accounts)
    app.command("export")(export_accounts)
    for command in (
        show,
        grant_admin,
        revoke_admin,
        set_active,
        set_password,
        set_email,
        verify_email,
        invite,
        delete,
        republish,
    ):
        app.command()(command)


def create_admin(
    email: Annotated[str, typer.Option()],
    name: Annotated[str, typer.Option()] = "Admin",
    lastname: Annotated[str, typer.Option()] = "Admin",
    username: Annotated[str | None, typer.Option(help="The address, when left out")] = None,
    two_factor: Annotated[bool, typer.Option("--2fa/--no-2fa")] = True,
    stdin: Stdin = False,
) -> None:
    """Create an administrator; asks for the password."""
    _refuse_if_nobody_can_be_asked(stdin=stdin)
    named: dict[str, Any] = {"email": email, "username": username, "name": name, "lastname": lastname}
    _run(lambda administration: administration.refuse_new(**named))
    password = _password(stdin=stdin)
    _run(lambda administration: administration.create(password=password, is_2fa=two_factor, is_admin=True, **named))
    typer.echo(f"{email} is an administrator")


def list_accounts(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Accounts a page")] = 50,
    after: Annotated[UUID | None, typer.Option(help="The id that the page before ended with")] = None,
) -> None:
    """One line per account, in order of registration: id, username, address, and what it is."""
    rows = _run(lambda administration: administration.page(after=after, limit=limit + 1))
    for row in rows[:limit]:
        typer.echo(f"{row.id}  {row.username}  {row.email}  {_kind(row)}")
    if len(rows) > limit:
        typer.echo(f"more: login2fa users list --limit {limit} --after {rows[limit - 1].id}")


def show(username: Username = None, email: Email = None, id_: Id = None) -> None:
    """Everything about an account but its password."""
    row = _find(_named(username, email, id_))
    shown = ("id", "username", "email", "email_verified_at", "pending_email", "name", "lastname", "is_2fa", "is_admin")
    for field in (*shown, "factors", "groups", "is_active", "created_at", "modified_at"):
        typer.echo(f"{field}: {getattr(row, field)}")


def grant_admin(username: Username = None, email: Email = None, id_: Id = None) -> None:
    """Make somebody an administrator. The owner is told by mail."""
    _change(_named(username, email, id_), {"is_admin": True}, "is an administrator")


def revoke_admin(username: Username = None, email: Email = None, id_: Id = None, force: Force = False) -> None:
    """Take the rights of an administrator away."""
    _change(_named(username, email, id_), {"is_admin": False}, "is no administrator", force=force)


def set_active(
    active: Annotated[Literal["yes", "no"], typer.Argument(help="Whether the account may be used")],
    username: Username = None,
    email: Email = None,
    id_: Id = None,
    force: Force = False,
) -> None:
    """Lock an account, which ends its sessions, or let it in again."""
    state = "may log in" if active == "yes" else "is locked, and its sessions have ended"
    _change(_named(username, email, id_), {"is_active": active == "yes"}, state, force=force)


def set_password(username: Username = None, email: Email = None, id_: Id = None, stdin: Stdin = False) -> None:
    """Set somebody's password; asks for it. All sessions end, and the owner is told by mail."""
    named = _named(username, email, id_)
    _refuse_if_nobody_can_be_asked(stdin=stdin)
    _find(named)
    password = _password(stdin=stdin)
    row = _run(lambda administration: administration.set_password(password, **named))
    typer.echo(f"{row.username} has another password, and all sessions have ended")


def set_email(
    new: Annotated[str, typer.Argument(help="The new address")],
    username: Username = None,
    email: Email = None,
    id_: Id = None,
) -> None:
    """Give an account another address, also as its username if the old one was. The owner is told at the old one."""
    named = _named(username, email, id_)
    row = _run(lambda administration: administration.set_email(new, **named))
    typer.echo(f"{row.username} has the address {row.email}, and all sessions have ended")


def verify_email(username: Username = None, email: Email = None, id_: Id = None) -> None:
    """Answer for somebody's address: it counts as proved."""
    _change(_named(username, email, id_), {"email_verified_at": datetime.now(UTC)}, "has a proved address")


def invite(
    email: Annotated[str, typer.Argument(help="The address that may register")],
    admin: Annotated[bool, typer.Option("--admin", help="The account becomes an administrator's")] = False,
    group: Annotated[list[str] | None, typer.Option(help="A group of the account; may be repeated")] = None,
) -> None:
    """Mail somebody a code that registers an account. It takes the place of an earlier invitation."""
    from services.users.administration import invitation

    new = invitation(email=email, is_admin=admin, groups=group or [])
    expires_at = _run(lambda administration: administration.invite(new))
    typer.echo(f"{email} is invited, until {expires_at:%Y-%m-%d %H:%M} UTC")


def delete(
    username: Username = None,
    email: Email = None,
    id_: Id = None,
    force: Force = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask")] = False,
) -> None:
    """Delete an account for good. The owner is told by mail."""
    named = _named(username, email, id_)
    if not yes:
        _find(named)
        typer.confirm("Delete this account for good?", abort=True)
    row = _run(lambda administration: administration.remove(force=force, **named))
    typer.echo(f"{row.username} is deleted")
    _warn_of_no_administrator()


def republish(
    force: Annotated[
        bool,
        typer.Option("--force", help="After a restore of an older backup: over what auth knows. Ends all sessions"),
    ] = False,
) -> None:
    """Tell auth the state of every account once more: rebuilds its read model."""
    from services.users.administration import republish

    async def publish(administration: Administration) -> None:
        async for progress in republish(administration.database.transaction, administration.sealer, force=force):
            typer.echo(progress)

    _run(publish)


def import_accounts(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="One JSON object a line: docs/import.md")],
    upsert: Annotated[
        bool, typer.Option("--upsert", help="Change accounts that are there, but not their passwords")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done")] = False,
) -> None:
    """Take accounts over, with password hashes of another system. Safe to repeat. Exits with 1 if a line is refused."""
    with file.open("rb") as lines:
        size = file.stat().st_size
        result = _run(lambda administration: _imported(administration, lines, size, upsert=upsert, dry_run=dry_run))
    counts = f"{result.made} made, {result.changed} changed, {result.there} were there, {result.refusals} refused"
    typer.echo(f"{counts}; nothing was written" if dry_run else counts)
    if result.slowest > _QUICK:
        typer.echo(
            f"The slowest hash takes {result.slowest:.2f} s here: set LOGIN_FAILURE_DEADLINE of auth to"
            f" {2 * result.slowest:.1f} while such hashes are left, or the time of a refusal tells who was imported",
            err=True,
        )
    if result.refusals:
        raise typer.Exit(1)


async def _imported(
    administration: Administration, lines: Iterable[bytes], size: int, *, upsert: bool, dry_run: bool
) -> Result:
    from services.users.importing import Import, Result

    taking = Import(
        database=administration.database,
        sealer=administration.sealer,
        reserved_domains=administration.settings.mail_reserved_domains,
        upsert=upsert,
        dry_run=dry_run,
    )
    result, told = Result(), 0
    with typer.progressbar(length=size, label="Accounts", file=sys.stderr) as bar:
        async for result in taking.run(lines):
            bar.update(result.read - told)
            told = result.read
            for refused in result.refused:
                typer.echo(f"line {refused.line}: {refused.said}", err=True)
    return result


def export_accounts(
    with_hashes: Annotated[
        bool, typer.Option("--with-hashes", help="With the hashes of passwords: keep the file as secret as a backup")
    ] = False,
) -> None:
    """Write every account to standard output, as `import` reads it."""
    _run(lambda administration: _exported(administration, with_hashes=with_hashes))


async def _exported(administration: Administration, *, with_hashes: bool) -> None:
    from services.users.importing import BATCH, exported

    after = None
    while rows := await administration.page(after=after, limit=BATCH):
        for row in rows:
            typer.echo(exported(row, with_hashes=with_hashes))
        after = rows[-1].id


def _change(named: dict[str, Any], changes: dict[str, Any], state: str, *, force: bool = False) -> None:
    row = _run(lambda administration: administration.change(changes, force=force, **named))
    typer.echo(f"{row.username} {state}")
    _warn_of_no_administrator()


def _warn_of_no_administrator() -> None:
    if not _run(lambda administration: administration.page(is_admin=True, is_active=True, limit=1)):
        typer.echo("No active administrator is left: make one with login2fa users grant-admin", err=True)


def _named(username: str | None, email: str | None, id_: UUID | None) -> dict[str, Any]:
    given = {"username": username, "email": email, "id": id_}
    named = {name: value for name, value in given.items() if value is not None}
    if len(named) != 1:
        fail("Name the account by one of --username, --email and --id")
    return named


def _refuse_if_nobody_can_be_asked(*, stdin: bool) -> None:
    if not stdin and not sys.stdin.isatty():
        fail("There is no terminal to ask for the password at: give it on standard input, with --stdin")


def _password(*, stdin: bool) -> str:
    """Call outside the event loop, which would keep Ctrl-C from the prompt."""
    if stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


def _kind(row: Any) -> str:
    words = ["administrator" if row.is_admin else "customer", f"2FA {'on' if row.is_2fa else 'off'}"]
    return ", ".join(words if row.is_active else [*words, "locked"])


def _find(named: dict[str, Any]) -> Row[Any]:
    return _run(lambda administration: administration.find(**named))


def _run(work: Callable[[Administration], Awaitable[T]]) -> T:
    from services.users.administration import offline
    from services.users.settings import UsersSettings

    settings = load_settings(UsersSettings)

    async def done() -> T:
        async with offline(settings) as administration:
            return await work(administration)

    return run(done())
