"""Requests and answers of the routes of passkeys. Browsers send more of a credential than is read here."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, StrictStr, StringConstraints

from services.auth.api.factor_schemas import FactorName, FirstCodesOut, PasskeyOut
from services.auth.api.schemas import Out, RememberDeviceIn
from services.auth.factors.assertions import Answer, Question
from services.auth.factors.ceremonies import LIFETIME

_FROM_BROWSER = "As `PublicKeyCredential.toJSON()` writes it"


_BYTES = "base64url, without padding"

# Longer than any that browsers make. An id has at most 1023 bytes.
_Id = Annotated[StrictStr, Field(max_length=2048, description=_BYTES)]
_Short = Annotated[StrictStr, Field(max_length=4096, description=_BYTES)]
_Long = Annotated[StrictStr, Field(max_length=16384, description=_BYTES)]
_Transport = Annotated[str, StringConstraints(strict=True, pattern=r"^[a-z0-9-]{1,32}$")]


class QuestionOut(Out):
    ceremony: str = Field(description="To be sent back with the answer, once", examples=["eyJ...ceremony"])
    options: dict[str, Any] = Field(
        description="For `PublicKeyCredential.parseCreationOptionsFromJSON`, or `parseRequestOptionsFromJSON`"
    )
    expires_in: int = Field(LIFETIME, description="Seconds in which it must be answered")

    @classmethod
    def of(cls, question: Question) -> Self:
        return cls(ceremony=question.ceremony, options=question.options)


class _Credential(BaseModel):
    id: _Id
    raw_id: _Id = Field(alias="rawId")
    type: StrictStr = Field(max_length=32, examples=["public-key"])


class AttestationIn(BaseModel):
    client_data: _Short = Field(alias="clientDataJSON")
    attestation: _Long = Field(alias="attestationObject")
    transports: list[_Transport] = Field([], max_length=8)


class AssertionIn(BaseModel):
    client_data: _Short = Field(alias="clientDataJSON")
    authenticator_data: _Short = Field(alias="authenticatorData")
    signature: _Short
    user_handle: _Short | None = Field(None, alias="userHandle")


class NewCredentialIn(_Credential):
    response: AttestationIn


class SignedCredentialIn(_Credential):
    response: AssertionIn


class _AnswerIn(BaseModel):
    ceremony: StrictStr = Field(max_length=2048, examples=["eyJ...ceremony"])
    credential: Any

    def answer(self) -> Answer:
        return Answer(ceremony=self.ceremony, credential=self.credential.model_dump(by_alias=True))


class NewPasskeyIn(_AnswerIn):
    credential: NewCredentialIn = Field(description=_FROM_BROWSER)
    name: FactorName = "Passkey"


class PasskeyIn(_AnswerIn):
    credential: SignedCredentialIn = Field(description=_FROM_BROWSER)


class SecondPasskeyIn(PasskeyIn, RememberDeviceIn):
    pass


class RenameIn(BaseModel):
    name: FactorName


class AddedPasskeyOut(PasskeyOut, FirstCodesOut):
    pass
