"""A service that keeps one note for each account: uvicorn notes:app, with LOGIN2FA_URL, ISSUER and AUDIENCE."""

from __future__ import annotations

import os
from typing import Annotated
from uuid import UUID

from fastapi import Body, Depends, FastAPI, HTTPException

from login2fa_client import AccessToken, AccessTokens, Demands
from login2fa_client.fastapi import current_user

tokens = AccessTokens(os.environ["LOGIN2FA_URL"], issuer=os.environ["ISSUER"], audience=os.environ["AUDIENCE"])
app = FastAPI()
notes: dict[UUID, str] = {}

User = Annotated[AccessToken, Depends(current_user(tokens))]
ProvedLately = Annotated[AccessToken, Depends(current_user(tokens, Demands(acr=2, max_age=300)))]


@app.get("/note")
async def read(user: User) -> str:
    if user.account not in notes:
        raise HTTPException(404, "There is no note yet")
    return notes[user.account]


@app.put("/note", status_code=204)
async def write(user: User, text: Annotated[str, Body(embed=True, max_length=1000)]) -> None:
    notes[user.account] = text


@app.delete("/note", status_code=204)
async def delete(user: ProvedLately) -> None:
    """For good: whoever holds a session of yesterday has to prove again who they are, with a second factor."""
    notes.pop(user.account, None)
