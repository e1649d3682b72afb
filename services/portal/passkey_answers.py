"""The answer of the browser's authenticator, as `static/passkeys.js` puts it into a form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from services.portal.api import Refused


def answered(form: Mapping[str, str]) -> dict[str, Any]:
    """`ceremony` and `credential`, as the API takes them. Raises `Refused`."""
    try:
        return {"ceremony": form.get("ceremony", ""), "credential": json.loads(form.get("credential", ""))}
    except (ValueError, RecursionError):
        raise Refused(400, "passkey_not_valid", "") from None
