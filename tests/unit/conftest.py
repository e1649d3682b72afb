"""Unit tests need no server, no network and no clock."""

from __future__ import annotations

import hypothesis

# How long an example takes depends on the machine, and is no requirement.
hypothesis.settings.register_profile("login2fa", deadline=None, print_blob=True)
hypothesis.settings.load_profile("login2fa")
