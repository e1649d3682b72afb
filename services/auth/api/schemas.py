from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictStr

from services.auth.factors.challenges import Challenge
from services.auth.factors.methods import Method
from services.auth.login.second_factor import Completed
from services.auth.sessions.lifecycle import TokenPair
from shared.long_codes import Code
from shared.names import NO_CONTROL, refuse_control
from shared.web.openapi_responses import Responses, leads_to

# ASCII digits only, as a JSON string: a code library may also accept full-width digits and numbers.
_CODE = re.compile(r"^[0-9]{6}$")
_SEPARATORS = re.compile(r"[\s\u2010-\u2015-]+")

_REFRESH_LINK = leads_to("post", "/api/v1/auth/refresh-token", {"refresh_token": "$response.body#/refresh_token"})
REFRESHED: Responses = {200: {"links": {"refresh": _REFRESH_LINK}}}

Text = Annotated[StrictStr, AfterValidator(refuse_control), Field(json_schema_extra=NO_CONTROL)]


_USERNAME, _PASSWORD = "dv.gahan@test.com", "testtest11&@"  # of a demo account: /docs logs in as it stands


class Credentials(BaseModel):
    """RFC 6749 section 4.3.2 without the client's part; `grant_type` may be sent and must then be `password`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"username": _USERNAME, "password": _PASSWORD}]})

    username: Text = Field(min_length=1, max_length=254, examples=[_USERNAME])
    password: Text = Field(min_length=1, max_length=128, examples=[_PASSWORD])
    grant_type: Literal["password"] | None = None
    device_token: Text | None = Field(
        None, max_length=128, description="From `remember_device`: the second factor is not asked for again"
    )


def _without_separators(value: Any) -> Any:
    """Mail programs and phones may add blanks or hyphens to a code."""
    return _SEPARATORS.sub("", value) if isinstance(value, str) else value


def _six_digits(code: str) -> str:
    if not _CODE.fullmatch(code):
        raise ValueError("A code has six digits: send all of them")
    return code


class RememberDeviceIn(BaseModel):
    remember_device: bool = Field(False, description="Answer with a `device_token` for the next logins")


Otp = Annotated[
    StrictStr,
    BeforeValidator(_without_separators),
    AfterValidator(_six_digits),
    Field(
        description="Blanks and hyphens in it are overlooked",
        examples=["123456"],
        json_schema_extra={"pattern": _CODE.pattern},
    ),
]


class OtpIn(RememberDeviceIn):
    otp: Otp


class RecoveryIn(RememberDeviceIn):
    code: Code


class StepUpIn(BaseModel):
    acr: Literal[2, 3] | None = Field(
        None,
        description="2: two factors; 3: a passkey, which resists phishing; null: only a newer login",
    )


class StepUpPasswordIn(BaseModel):
    password: Text = Field(min_length=1, max_length=128, examples=["testtest11&@"])


class RefreshIn(BaseModel):
    refresh_token: StrictStr = Field(min_length=1, max_length=8192, examples=["eyJ...refresh"])


class CookieIn(RefreshIn):
    keep_logged_in: bool | None = Field(
        None, description="For longer, and when the browser is closed; null: as it was before a step-up"
    )


class CookieAccessIn(BaseModel):
    session_cookie: StrictStr = Field(min_length=1, max_length=128)


class Out(BaseModel):
    """A field with a default is in every answer all the same, and the document says so: clients may rely on it."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


def _may_lack(*names: str) -> ConfigDict:
    """An answer has these fields only if they say something."""

    def not_required(schema: dict[str, Any]) -> None:
        schema["required"] = [name for name in schema.get("required", ()) if name not in names]

    return ConfigDict(json_schema_extra=not_required)


class TokenPairOut(Out):
    """The login is complete. `otp_required` tells this answer of a login from the other one."""

    access_token: str = Field(examples=["eyJ...access"])
    refresh_token: str = Field(examples=["eyJ...refresh"])
    token_type: Literal["bearer"] = "bearer"
    expires_in: int = Field(description="Seconds that the access token lives", examples=[3600])
    otp_required: Literal[False] = False

    @classmethod
    def of(cls, pair: TokenPair) -> Self:
        return cls(access_token=pair.access_token, refresh_token=pair.refresh_token, expires_in=pair.expires_in)


class LoggedInOut(TokenPairOut):
    model_config = _may_lack("device_token", "recovery_codes_left")

    device_token: str | None = Field(None, description="For the next logins on this device; only if asked for")
    recovery_codes_left: int | None = Field(None, description="Only after a recovery code")

    @classmethod
    def after(cls, completed: Completed, **more: int) -> Self:
        return cls(**TokenPairOut.of(completed.pair).model_dump(), device_token=completed.device_token, **more)


class CookieOut(BaseModel):
    """Set them `Secure`, `HttpOnly` and `SameSite=Lax`."""

    session_cookie: str = Field(description="For `__Host-login2fa`, at the host of the pages alone")
    gate_cookie: str | None = Field(
        description="For `__Secure-login2fa-gate`, with the domain GATE_COOKIE_DOMAIN: opens forward-auth alone"
    )
    max_age: int | None = Field(description="Seconds that the browser keeps them; null: until it is closed")


class AccessOut(Out):
    access_token: str = Field(examples=["eyJ...access"])
    token_type: Literal["bearer"] = "bearer"
    expires_in: int = Field(description="Seconds that it lives", examples=[60])


class OtpRequiredOut(Out):
    """There is no `access_token` in this answer, on purpose: a client must not take it for one. Without `methods` it is
    `["email"]`, and a code is on its way.
    """

    model_config = _may_lack("methods", "sent")

    temporary_token: str = Field(examples=["eyJ...temporary"])
    token_type: Literal["bearer"] = "bearer"
    expires_in: int = Field(description="Seconds that the temporary token and its code live", examples=[240])
    otp_required: Literal[True] = True
    methods: list[Method] | None = Field(None, description="What completes the login, the strongest first")
    sent: bool | None = Field(None, description="Whether a code is on its way by mail")

    @classmethod
    def of(cls, challenge: Challenge, temporary_token: str, expires_in: int) -> Self:
        by_mail_alone = challenge.sent and list(challenge.methods) == ["email"]
        return cls(
            temporary_token=temporary_token,
            expires_in=expires_in,
            methods=None if by_mail_alone else list(challenge.methods),
            sent=None if by_mail_alone else challenge.sent,
        )


class TokenIsGood(Out):
    message: Literal[True] = True


class CodeOnItsWay(Out):
    message: str = "A new code is on its way"


class ChallengeOut(BaseModel):
    """`status` is that of the latest code, if one was `sent`. `failed`: it will not come; ask for another one, if that
    is allowed.
    """

    methods: list[Method] = Field(description="What completes it, the strongest first")
    sent: bool = Field(description="Whether a code was sent by mail")
    email_hint: str = Field(description="The mailbox of the codes, for its owner to know", examples=["d***@t***.com"])
    status: Literal["pending", "delivered", "failed"]
    resend_allowed: bool = Field(description="Whether another code can be had now")
    resend_in: int | None = Field(description="Seconds until another code can be had; null when none can any more")
    resends_left: int = Field(description="Further codes of this login")
    attempts_left: int = Field(description="Codes that may still be tried")
    expires_in: int = Field(description="Seconds that this login and its code live")


class SessionOut(BaseModel):
    """`null` where something is not known."""

    id: UUID
    created_at: datetime
    last_used_at: datetime | None = Field(description="When it was begun or last refreshed")
    address: str | None = Field(description="From where that was")
    user_agent: str | None = Field(description="With which program, as it calls itself")
    current: bool = Field(description="Whether it is the one that asks")


class FactorsResetOut(BaseModel):
    second_factor: bool = Field(description="Whether the account still has one: codes by mail, which users turns off")


class JwksOut(BaseModel):
    keys: list[dict[str, str]]
