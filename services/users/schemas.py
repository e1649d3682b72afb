from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    ValidationInfo,
    computed_field,
    field_validator,
)

from services.users.account_factors import SecondFactor, second_factors
from shared.long_codes import Code
from shared.names import GROUP_NAME, MOST_GROUPS, NO_CONTROL, refuse_control, refuse_invisible, refuse_links


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
Group = Annotated[StrictStr, Field(pattern=f"^{GROUP_NAME}$", examples=["staff"])]


def _sorted_set(groups: list[str]) -> list[str]:
    return sorted(set(groups))


Groups = Annotated[list[Group], Field(max_length=MOST_GROUPS), AfterValidator(_sorted_set)]


class _Profile(BaseModel):
    email: Email
    username: Username
    name: PersonName = Field(examples=["Ada"])
    lastname: PersonName = Field(examples=["Lovelace"])


class RegistrationIn(_Profile):
    password: Password
    is_2fa: StrictBool = False
    invitation_code: Code | None = Field(None, description="The code of an invitation's mail, if there is one")


class RegistrationConfirmIn(BaseModel):
    registration_token: UUID
    code: Code
    username: Username | None = Field(None, description="Another one, when that of the registration is taken")


class AccountIn(_Profile):
    """There is no password: the owner asks for one as if it were forgotten."""

    is_2fa: StrictBool = False
    is_admin: StrictBool = False
    groups: Groups = []


class InvitationIn(BaseModel):
    email: Email
    is_admin: StrictBool = False
    groups: Groups = []


class CodeIn(BaseModel):
    code: Code


class EmailIn(BaseModel):
    email: Email


class ResetIn(BaseModel):
    reset_token: UUID
    code: Code
    password: Password = Field(examples=["a better horse battery"])


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
    groups: Groups = Field([], description="By an admin only; the whole list")

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
    is_2fa: bool = Field(description="Whether codes by mail are a second factor")
    second_factors: list[SecondFactor] = Field(validation_alias="factors", description="The strongest first")
    is_admin: bool
    is_active: bool
    email_verified_at: datetime | None = Field(description="When the address was proved; null if it was not")
    pending_email: str | None = Field(description="The address that takes its place once its code is back")
    groups: list[str]
    created_at: datetime
    modified_at: datetime

    @field_validator("second_factors", mode="before")
    @classmethod
    def _with_mail(cls, factors: list[str], info: ValidationInfo) -> list[str]:
        return second_factors(is_2fa=info.data["is_2fa"], factors=factors)

    @computed_field  # type: ignore[prop-decorator] # mypy does not know a decorated property
    @property
    def full_name(self) -> str:
        return f"{self.name} {self.lastname}".strip()


class CodeSentOut(BaseModel):
    expires_in: int = Field(description="Seconds that the code lives", examples=[600])


class RegistrationRulesOut(BaseModel):
    """As they are set for the service."""

    registration: Literal["open", "proven", "invited", "closed"] = Field(
        description="`open`: anybody, at once; `proven`: anybody, with a mailed code; `invited`: whoever has an "
        "invitation; `closed`: nobody"
    )
    email_verification: Literal["off", "optional", "required"] = Field(
        description="`off`: no address is proved; `required`: no gateway lets an account pass before its address is"
    )
    password_min_length: int = Field(description="Characters", examples=[8])


class RegistrationStartedOut(CodeSentOut):
    """The same whether the address has an account or not. If it has one, its owner is told by mail instead."""

    registration_token: UUID = Field(description="Goes with the code; the answer has no account yet")


class ResetStartedOut(CodeSentOut):
    """The same whether somebody has the address or not."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    reset_token: UUID = Field(description="Goes with the code of any mail that is not expired")
    message: str = Field("If the address has an account, a code is on its way", description="For people")


class ProofOut(CodeSentOut):
    """The state of the latest code. `failed`: it will not come; ask for another one."""

    email: str = Field(description="The address that the code proves")
    status: Literal["not_asked", "pending", "delivered", "failed"]
    attempts_left: int = Field(description="Wrong codes that are still allowed")
    resend_in: int = Field(description="Seconds until another code can be had")


class InvitationOut(BaseModel):
    email: str
    expires_at: datetime


class MessageOut(BaseModel):
    message: str = Field(description="For people", examples=["Password updated"])
