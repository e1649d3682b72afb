"""The public keys, as a JWK set (RFC 7517)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from services.auth.api.guards import Composed
from services.auth.api.schemas import JwksOut
from shared.web import entity_tags
from shared.web.openapi_responses import sends

# Seconds. `login2fa keys rotate` publishes a key for longer than this before it signs.
JWKS_MAX_AGE = 300

router = APIRouter(prefix="/.well-known")


class JwkSet(JSONResponse):
    media_type = "application/jwk-set+json"  # RFC 7517 section 8.5

    def render(self, content: bytes) -> bytes:
        """`content` is serialised already: the ETag covers these bytes."""
        return content


@router.get(
    "/jwks.json",
    summary="The public keys",
    response_model=JwksOut,
    response_class=JwkSet,
    responses={200: sends("ETag"), 304: {"description": "As `If-None-Match` has it", **sends("ETag")}},
)
async def jwks(request: Request, auth: Composed) -> Response:
    body, etag = auth.tokens.keys.document()
    headers = {"ETag": etag, "Cache-Control": f"public, max-age={JWKS_MAX_AGE}"}
    if entity_tags.names(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    return JwkSet(body, headers=headers)
