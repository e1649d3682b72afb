"""Swaps a refresh token for a new pair: the most frequent request that writes."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from services.auth.sessions.client import Client
from services.auth.sessions.lifecycle import Sessions, TokenPair
from services.auth.tokens.issue import Tokens
from shared.database.pool import Database
from shared.tokens.signed import TokenInvalid
from shared.web.bearer import REALM
from shared.web.problems import Problem

log = structlog.get_logger()


class RefreshTokenNotValid(Problem):
    status = 401
    code = "invalid_refresh_token"
    detail = "Token not valid"
    headers: Mapping[str, str] = {"WWW-Authenticate": REALM}  # RFC 9110 section 15.5.2: no 401 without one


async def refresh(
    database: Database, tokens: Tokens, sessions: Sessions, refresh_token: str, client: Client
) -> TokenPair:
    """A repeat within the grace gets the same pair; a later one ends the session. Raises `RefreshTokenNotValid`."""
    try:
        token_id = tokens.read_refresh(refresh_token)
    except TokenInvalid as error:
        log.info("refresh token refused", reason=str(error))
        raise RefreshTokenNotValid from None
    pair = await sessions.rotate(database, token_id, client)
    if pair is None:
        async with database.transaction() as connection:
            pair = await sessions.repeat(connection, token_id)
    if pair is None:  # raised after the commit: a reuse must have ended the session
        raise RefreshTokenNotValid
    return pair
