"""The version of this code; pyproject.toml says the same (tests/unit/test_metrics.py)."""

from typing import Final

VERSION: Final = "1.0.0"
