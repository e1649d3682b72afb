"""`python -m tests.bench.agree one.json two.json`: which ratios of two runs differ by more than TOLERATED?"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TOLERATED = 0.15

_Name = tuple[str, str]


def disagreements(one: dict[str, Any], two: dict[str, Any]) -> list[str]:
    """A line for each ratio that moved too far, and for each row that only one of them has."""
    ratios, others = _ratios(one), _ratios(two)
    lines = [f"{' / '.join(name)}: in one run only" for name in sorted(ratios.keys() ^ others.keys())]
    for name in ratios.keys() & others.keys():
        smaller, larger = sorted((ratios[name], others[name]))
        if larger > smaller * (1 + TOLERATED):
            lines.append(f"{' / '.join(name)}: {ratios[name]:.3g} and {others[name]:.3g}")
    return sorted(lines)


def _ratios(measured: dict[str, Any]) -> dict[_Name, float]:
    return {(each["row"], each["what"]): _ratio(each) for each in measured["results"]}


def _ratio(result: dict[str, Any]) -> float:
    """Of what is bounded by a difference too: a difference near zero moves by far more than what it is of."""
    if result["beyond"]:
        return float(result["ours"]["median"] / result["limit"]["median"])
    return float(result["ratio"]["median"])


def main() -> int:
    one, two = (json.loads(Path(path).read_text()) for path in sys.argv[1:])
    lines = disagreements(one, two)
    print("\n".join(lines) or f"No ratio differs by more than {TOLERATED:.0%}.")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
