from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, StrictStr

from shared.names import NO_CONTROL, refuse_control

Text = Annotated[StrictStr, AfterValidator(refuse_control), Field(json_schema_extra=NO_CONTROL)]


class Credentials(BaseModel):
    """RFC 6749 section 4.3.2 without the client's part; `grant_type` may be sent and must then be `password`."""

    username: Text = Field(min_length=1, max_length=254, examples=["dv.gahan@test.com"])
    password: Text = Field(min_length=1, max_length=128, examples=["testtest11&@"])
    grant_type: Literal["password"] | None = None


class OtpIn(BaseModel):
    # ASCII digits as a JSON string: a library that compares codes may take full-width digits and numbers for them.
    otp: StrictStr = Field(pattern=r"^[0-9]{6}$", examples=["123456"])


class RefreshIn(BaseModel):
    refresh_token: StrictStr = Field(min_length=1, max_length=8192)


class TokenPairOut(BaseModel):
    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"
    expires_in: int = Field(description="Seconds that the access token lives")


class OtpRequiredOut(BaseModel):
    """There is no `access_token` in this answer, on purpose: a client must not take it for one."""

    temporary_token: str
    token_type: Literal["bearer"] = "bearer"
    expires_in: int = Field(description="Seconds that the temporary token and its code live")
    otp_required: Literal[True] = True


class TokenIsGood(BaseModel):
    message: Literal[True] = True


class CodeOnItsWay(BaseModel):
    message: str = "A new code is on its way"


class ChallengeOut(BaseModel):
    """Of the latest code. `failed`: it will not come; ask for another one, if that is allowed."""

    status: Literal["pending", "delivered", "failed"]
    resend_allowed: bool = Field(description="Whether another code can be had now")
    resend_in: int | None = Field(description="Seconds until another code can be had; null when none can any more")
    resends_left: int = Field(description="Further codes of this login")
    attempts_left: int = Field(description="Codes that may still be tried")
    expires_in: int = Field(description="Seconds that this login and its code live")


class SessionOut(BaseModel):
    """`null` is what is not known, as with sessions that have not been used since before it was kept."""

    id: UUID
    created_at: datetime
    last_used_at: datetime | None = Field(description="When it was begun or last refreshed")
    address: str | None = Field(description="From where that was")
    user_agent: str | None = Field(description="With which program, as it calls itself")
    current: bool = Field(description="Whether it is the one that asks")


class JwksOut(BaseModel):
    keys: list[dict[str, str]]
