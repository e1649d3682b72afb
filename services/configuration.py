"""The settings of all services, as a table for the README."""

from __future__ import annotations

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from services.auth.settings import AuthSettings
from services.notifier.settings import NotifierSettings
from services.users.settings import UsersSettings
from shared.settings import ProcessSettings

SETTINGS: dict[str, type[ProcessSettings]] = {
    "auth": AuthSettings,
    "users": UsersSettings,
    "notifier": NotifierSettings,
}


def table() -> str:
    """Markdown; one row per variable, with the services that read it."""
    fields: dict[str, FieldInfo] = {}
    readers: dict[str, list[str]] = {}
    for service, settings in SETTINGS.items():
        for name, field in settings.model_fields.items():
            fields.setdefault(name, field)
            readers.setdefault(name, []).append(service)
    rows = ["| variable | default | read by | meaning |", "| --- | --- | --- | --- |"]
    for name, field in fields.items():
        rows.append(f"| `{name.upper()}` | {_default(field)} | {', '.join(readers[name])} | {field.description}. |")
    return "\n".join(rows)


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "**required**"
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"  # as it is written in the environment
    return "none" if field.default in (None, "", []) else f"`{field.default}`"
