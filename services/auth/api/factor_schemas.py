"""Requests and answers of the routes of factors and devices."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StrictStr

from services.auth.api.schemas import Otp, Out
from services.auth.factors.totp import ENROLMENT
from shared.names import refuse_invisible


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


# A name that its owner gives a factor.
FactorName = Annotated[
    StrictStr,
    BeforeValidator(_stripped),
    AfterValidator(refuse_invisible),
    Field(min_length=1, max_length=64, examples=["My phone"]),
]


class NewAppIn(BaseModel):
    name: FactorName = "Authenticator app"


class NewAppOut(Out):
    """Shown once. `secret`: base32 (RFC 4648) of 160 bits, for whoever can not read the picture."""

    id: UUID
    secret: str = Field(examples=["JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"])
    uri: str = Field(description="The same for an app, with the names of service and account: an otpauth URI")
    qr_svg: str = Field(description="The URI as a QR code, an SVG element for a page", examples=["<svg ...>"])
    expires_in: int = Field(ENROLMENT, description="Seconds in which it must be confirmed")


class ConfirmIn(BaseModel):
    otp: Otp


class FirstCodesOut(BaseModel):
    recovery_codes: list[str] | None = Field(
        None, description="Ten, with the first factor of an account: show them now, they are never shown again"
    )


class RecoveryCodesOut(BaseModel):
    codes: list[str] = Field(description="Each is good for one login", examples=[["7K9M2-Q4TZ1"]])
    created_at: datetime


class AppOut(BaseModel):
    id: UUID
    name: str
    created_at: datetime
    last_used_at: datetime | None


class PasskeyOut(BaseModel):
    id: UUID
    name: str
    created_at: datetime
    last_used_at: datetime | None
    synced: bool = Field(description="Whether a copy is kept elsewhere, such as in the cloud of a phone's maker")
    transports: list[str] = Field(description="Ways to reach its authenticator", examples=[["internal", "hybrid"]])


class RecoveryStateOut(BaseModel):
    left: int = Field(description="Codes that are not used yet")
    created_at: datetime


class FactorsOut(BaseModel):
    """`null` and an empty list: the account has none."""

    email: bool = Field(description="Whether codes by mail are a second factor of the account")
    totp: AppOut | None
    recovery_codes: RecoveryStateOut | None
    passkeys: list[PasskeyOut]
    passkeys_offered: bool = Field(description="Whether one can be added: not where PASSKEYS is off")


class DeviceOut(BaseModel):
    """`null` where something is not known."""

    id: UUID
    created_at: datetime
    last_used_at: datetime | None = Field(description="When it logged in last without a second factor")
    expires_at: datetime
    address: str | None
    user_agent: str | None
