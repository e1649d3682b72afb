"""The AsyncAPI 3.0 document of all events, made of their classes: `/asyncapi.json`, frozen as docs/asyncapi.json."""

from __future__ import annotations

from inspect import getdoc
from typing import Any, Final

from shared.messaging.edges import EDGES
from shared.messaging.event_types import EVENTS
from shared.messaging.events import Event
from shared.messaging.topology import PUBLIC, events_exchange, process_of

Json = dict[str, Any]

_TAGS: Final[dict[bool, Json]] = {
    True: {"name": "public", "description": "For consumers of other teams, who get broker users of their own"},
    False: {"name": "internal", "description": "Between our processes alone; it may change without notice"},
}
_INFO: Final = (
    "Events of Login2FA, on RabbitMQ. Those with the tag `public` are for consumers of other teams, within the promises"
    " of 1.x; the others are internal. Each comes at least once and in any order; a repeat has the same `event_id`."
)
_BROKER: Final[Json] = {
    "host": "{broker}",
    "protocol": "amqps",
    "description": "With the broker user that `login2fa broker-consumer` makes",
    "variables": {"broker": {"description": "Host and port", "default": "rabbitmq:5671"}},
    "security": [{"$ref": "#/components/securitySchemes/brokerUser"}],
}
_MOMENT: Final[Json] = {"type": "string", "format": "date-time"}
_HEADERS: Final[Json] = {
    "x-event-id": {"type": "string", "format": "uuid", "description": "`event_id` of the body"},
    "x-published-at": _MOMENT | {"description": "By the clock of the publisher's database"},
    "x-attempt": {"type": "integer", "minimum": 1, "description": "1, but for our own retries"},
    "traceparent": {"type": "string", "description": "W3C Trace Context, if the act was traced"},
}
_MAC: Final[Json] = {
    "type": "string",
    "description": "HMAC-SHA256 with a key that only the publisher and our own consumer have",
}


def document(version: str) -> Json:
    kinds = sorted(EVENTS.values(), key=_order)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Login2FA events", "version": version, "description": _INFO, "tags": list(_TAGS.values())},
        "defaultContentType": "application/json",
        "servers": {"broker": _BROKER},
        "channels": {kind.type: _channel(kind) for kind in kinds},
        "operations": {f"publish{kind.__name__}": _operation(kind) for kind in kinds},
        "components": {
            "messages": {kind.__name__: _message(kind) for kind in kinds},
            "schemas": {kind.__name__: schema(kind) for kind in kinds},
            "securitySchemes": {"brokerUser": {"type": "userPassword", "description": "A user of the broker"}},
        },
    }


def is_public(kind: type[Event]) -> bool:
    return kind.type in PUBLIC


def summary(kind: type[Event]) -> str:
    return (getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ")


def schema(kind: type[Event]) -> Json:
    """Of what is published: every field is there."""
    made: Json = _plain(kind.model_json_schema(mode="serialization"))
    return {"description": getdoc(kind)} | {name: each for name, each in made.items() if name != "description"}


def _order(kind: type[Event]) -> tuple[bool, str]:
    return not is_public(kind), kind.type


def _channel(kind: type[Event]) -> Json:
    exchange = {"name": events_exchange(process_of(kind.type)), "type": "topic", "durable": True, "autoDelete": False}
    return {
        "address": kind.type,
        "messages": {kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"}},
        "tags": [_TAGS[is_public(kind)]],
        "bindings": {"amqp": {"is": "routingKey", "exchange": exchange, "bindingVersion": "0.3.0"}},
    }


def _operation(kind: type[Event]) -> Json:
    channel = f"#/channels/{kind.type}"
    return {
        "action": "send",
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{kind.__name__}"}],
        "summary": summary(kind),
        "tags": [_TAGS[is_public(kind)]],
    }


def _message(kind: type[Event]) -> Json:
    of_type = {"type": {"type": "string", "const": kind.type, "description": "Also the AMQP property `type`"}}
    signed = {"x-mac": _MAC} if kind.type in EDGES else {}
    return {
        "name": kind.type,
        "title": kind.__name__,
        "summary": summary(kind),
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "required": ["type", "x-event-id", "x-published-at", "x-attempt", *signed],
            "properties": of_type | _HEADERS | signed,
        },
        "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
        "bindings": {"amqp": {"messageType": kind.type, "bindingVersion": "0.3.0"}},
        "tags": [_TAGS[is_public(kind)]],
    }


def _plain(made: Any) -> Any:
    """Without titles made of names and defaults of absent fields. More words may come, which `enum` would deny; a tuple
    as draft 7 writes it.
    """
    if isinstance(made, list):
        return [_plain(each) for each in made]
    if not isinstance(made, dict):
        return made
    kept = {name: _plain(value) for name, value in made.items() if not (name == "title" and isinstance(value, str))}
    kept.pop("default", None)
    renamed = {"enum": "x-extensible-enum", "prefixItems": "items"}
    return {renamed.get(name, name): value for name, value in kept.items()}
