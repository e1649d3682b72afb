"""Ids in pinned events."""

from __future__ import annotations

from uuid import UUID

EVENT_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
CHALLENGE = UUID("01890a5d-ac96-774b-bcce-b302099a8058")
ACCOUNT = UUID("01890a5d-ac96-774b-bcce-b302099a8059")
SESSION = UUID("01890a5d-ac96-774b-bcce-b302099a805a")
REQUEST = UUID("01890a5d-ac96-774b-bcce-b302099a805b")
