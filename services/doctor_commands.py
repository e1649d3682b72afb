"""`login2fa doctor`: says what is wrong, with which variable or file, what to do, and where to read on."""

from __future__ import annotations

import json
from dataclasses import asdict
from io import StringIO
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from services.command_run import broker_url, fail, load_settings, run

if TYPE_CHECKING:
    from services.doctor.findings import Finding

Service = Literal["auth", "users", "notifier", "portal"]


def add_to(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(
    service: Annotated[Service | None, typer.Argument(help="By default whatever the settings here are for")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output")] = False,
    mail: Annotated[
        str | None,
        typer.Option("--mail", metavar="ADDRESS", help="Also send one test mail the whole way, and await its outcome"),
    ] = None,
) -> None:
    """Examine services with the settings that are here: 0 all is well, 1 warnings, 2 failures. Changes nothing."""
    from services.doctor.findings import EXIT_CODES, worst
    from shared.observability import logs

    logs.configure("doctor", "error", StringIO())  # the log would repeat this command's output
    found = run(_examine(service))
    if mail is not None:
        found["mail"] = [_send(mail)]
    if not found:
        fail("There are no settings of a service here. Run it where a service runs, with its environment")
    level = worst([each for findings in found.values() for each in findings])
    typer.echo(_as_json(level, found) if as_json else _as_text(found))
    raise typer.Exit(EXIT_CODES[level])


async def _examine(service: str | None) -> dict[str, list[Finding]]:
    from services.doctor.checks import OPERATOR, examine_as_operator, examine_service, services_here
    from shared.configuration.environment import value_of

    found = {each: await examine_service(each) for each in ([service] if service else services_here())}
    if value_of(OPERATOR):
        found["operator"] = await examine_as_operator(broker_url(OPERATOR))
    return found


def _send(address: str) -> Finding:
    from services.doctor.mail import mail
    from services.users.settings import UsersSettings
    from shared.mail_address import AddressInvalid

    settings = load_settings(UsersSettings)
    try:
        return run(mail(settings, address, lambda step: typer.echo(f"mail  {step}", err=True)))
    except AddressInvalid as error:
        fail(f"--mail: {error}")


def _as_json(level: str, found: dict[str, list[Finding]]) -> str:
    findings: list[dict[str, Any]] = [
        {"service": service, **asdict(each), "read_on": each.read_on}
        for service, listed in found.items()
        for each in listed
    ]
    return json.dumps({"status": level, "findings": findings}, indent=1)


def _as_text(found: dict[str, list[Finding]]) -> str:
    return "\n".join(line for service, listed in found.items() for line in (service, *map(_line, listed)))


def _line(finding: Finding) -> str:
    told = f"  {finding.level:4}  {finding.name}: {finding.where}: {finding.said}"
    return told if finding.level == "ok" else f"{told.rstrip('.')}.\n        {finding.advice}. See {finding.read_on}"
