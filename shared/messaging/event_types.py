"""All events that this version knows, by type."""

from __future__ import annotations

from typing import Final

from shared.messaging import (
    address_events,
    audit_events,
    events,
    factor_events,
    notice_events,
    password_events,
    public_events,
)
from shared.messaging.events import Event

EVENTS: Final[dict[str, type[Event]]] = {
    kind.type: kind
    for module in (events, address_events, audit_events, factor_events, notice_events, password_events, public_events)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Event) and hasattr(kind, "type")
}


def mandatory(event_type: str) -> bool:
    """True also for a type that this version does not know."""
    return event_type not in EVENTS or EVENTS[event_type].mandatory
