"""The next signing key, made so that nobody meets a token whose key they have not got; and the end of old ones.

A public key is known everywhere only when the replicas have read their folders again, when every copy of the JWKS that
a cache may keep is too old to be given, and when the users service has asked again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.auth.tokens.keys import generate, retire, signing_time

# Of clocks that differ, and of somebody who comes back from a pause in the very last second.
_MARGIN = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """`made` is None when the next key was there already."""

    made: Path | None
    signs_from: datetime
    removed: list[Path]


def rotate(folder: Path, *, lead: int, keep: timedelta) -> Rotation:
    """Raises OSError. `keep` is how long a superseded key still verifies."""
    now = datetime.now(UTC)
    # A file's name has whole seconds: rounded down, the key would sign before its lead is over.
    wanted = datetime.fromtimestamp(math.ceil(now.timestamp() + lead), UTC)
    waiting = _waiting(folder, now, wanted)
    made = None if waiting else generate(folder, signs_from=wanted)
    removed = retire(folder, superseded_before=now - keep)
    return Rotation(made=made, signs_from=waiting or wanted, removed=removed)


def kept_for(*lifetimes: int) -> timedelta:
    """How long a superseded key has to verify, when tokens live for so many seconds."""
    return timedelta(seconds=max(lifetimes)) + _MARGIN


def _waiting(folder: Path, now: datetime, wanted: datetime) -> datetime | None:
    """When a key signs that was made before: run twice, by cron or by hand, a rotation makes one key and not two."""
    coming = [datetime.fromtimestamp(signing_time(path), UTC) for path in folder.glob("*.pem")]
    return min((moment for moment in coming if now < moment <= wanted), default=None)
