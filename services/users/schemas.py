from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    computed_field,
)

from shared.names import NO_CONTROL, refuse_control, refuse_invisible, refuse_links


def _strip(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


Visible = Annotated[StrictStr, BeforeValidator(_strip), AfterValidator(refuse_invisible)]
Username = Annotated[Visible, Field(min_length=1, max_length=254, examples=["ada"])]
Email = Annotated[Visible, Field(max_length=254, examples=["ada@example.com"], json_schema_extra={"format": "email"})]
PersonName = Annotated[
    Visible,
    AfterValidator(refuse_links),
    Field(
        min_length=1,
        max_length=100,
        description="No link (a colon and two slashes, `www.`), `@` or line break, in any width or case",
        json_schema_extra={"pattern": r"^[^@\r\n]*$"},
    ),
]
# Longer ones get 422 before any hashing; nothing is cut off.
Password = Annotated[
    StrictStr,
    AfterValidator(refuse_control),
    Field(max_length=128, examples=["correct horse battery"], json_schema_extra=NO_CONTROL),
]


class RegistrationIn(BaseModel):
    email: Email
    username: Username
    name: PersonName = Field(examples=["Ada"])
    lastname: PersonName = Field(examples=["Lovelace"])
    password: Password
    is_2fa: StrictBool = False


def _without_defaults(schema: dict[str, Any]) -> None:
    """Defaults mean "absent": a client that sends them, or an example with every field, changes the account."""
    for each in schema["properties"].values():
        each.pop("default", None)
    schema["examples"] = [{"name": "Augusta Ada"}]


class AccountPatch(BaseModel):
    """RFC 7396: what is absent stays. Nothing can be removed, so null is refused."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    email: Email = ""
    username: Username = ""
    name: PersonName = ""
    lastname: PersonName = ""
    is_2fa: StrictBool = False
    is_admin: StrictBool = Field(False, description="By an admin only")
    is_active: StrictBool = Field(True, description="By an admin only")

    def changes(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)


class PasswordIn(BaseModel):
    password: Password = Field(examples=["a better horse battery"])
    confirm_password: Password = Field(description="The same as `password`", examples=["a better horse battery"])
    current_password: Password | None = Field(None, description="Required when the login is older than 5 minutes")


class AccountOut(BaseModel):
    id: UUID
    email: str = Field(examples=["ada@example.com"])
    username: str = Field(examples=["ada"])
    name: str = Field(examples=["Ada"])
    lastname: str = Field(examples=["Lovelace"])
    is_2fa: bool
    is_admin: bool
    is_active: bool
    created_at: datetime
    modified_at: datetime

    @computed_field  # type: ignore[prop-decorator] # mypy does not know a decorated property
    @property
    def full_name(self) -> str:
        return f"{self.name} {self.lastname}".strip()


class MessageOut(BaseModel):
    message: str = Field(description="For people", examples=["Password updated"])
