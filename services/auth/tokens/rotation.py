"""Makes the next signing key and removes old ones. Replicas, caches of the JWKS and the users service must all have a
public key before it signs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.auth.tokens.keys import generate, retire, signing_time

# Margin for clock skew and for a process resumed just before expiry.
_MARGIN = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    made: Path | None
    signs_from: datetime
    removed: list[Path]


def rotate(folder: Path, *, lead: int, keep: timedelta) -> Rotation:
    """`lead`: seconds until a new key signs. `keep`: how long a superseded key verifies. Raises OSError."""
    now = datetime.now(UTC)
    # File names have whole seconds; rounding down would shorten the lead.
    wanted = datetime.fromtimestamp(math.ceil(now.timestamp() + lead), UTC)
    waiting = _waiting(folder, now, wanted)
    made = None if waiting else generate(folder, signs_from=wanted)
    removed = retire(folder, superseded_before=now - keep)
    return Rotation(made=made, signs_from=waiting or wanted, removed=removed)


def kept_for(*lifetimes: int) -> timedelta:
    """How long a superseded key must verify; `lifetimes`: seconds that tokens live."""
    return timedelta(seconds=max(lifetimes)) + _MARGIN


def _waiting(folder: Path, now: datetime, wanted: datetime) -> datetime | None:
    """When a key made earlier will sign: a rotation that runs twice makes only one key."""
    coming = [datetime.fromtimestamp(signing_time(path), UTC) for path in folder.glob("*.pem")]
    return min((moment for moment in coming if now < moment <= wanted), default=None)
