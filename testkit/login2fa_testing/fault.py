"""Which service keeps a stack from starting."""

from __future__ import annotations

from collections.abc import Iterable

from testcontainers.compose import ComposeContainer


def at_fault(containers: Iterable[ComposeContainer]) -> tuple[str, str] | None:
    """The service to look at first, and what is wrong with it.

    What has died comes before what is ill, and that before what is merely late: the later ones wait for the former.
    What was not started yet waits for others, and is at no fault.
    """
    found = sorted(fault for each in containers if (fault := _fault(each)) is not None)
    return (found[0][1], found[0][2]) if found else None


def _fault(container: ComposeContainer) -> tuple[int, str, str] | None:
    service = container.Service or "?"
    if container.State in {"exited", "dead"} and container.ExitCode:
        return 0, service, f"ended with exit code {container.ExitCode}"
    if container.State == "restarting":
        return 1, service, "ends again and again"
    if container.Health == "unhealthy":
        return 2, service, "is unhealthy"
    if container.Health == "starting":
        return 3, service, "was not healthy in time"
    return None


def states(containers: Iterable[ComposeContainer]) -> str:
    """`auth created, postgres running (healthy)`, or `none`."""
    found = sorted(f"{each.Service} {each.State}" + (f" ({each.Health})" if each.Health else "") for each in containers)
    return ", ".join(found) or "none"
