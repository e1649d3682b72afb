"""`python -m tests.bench.publish`: the figures and pictures of the last `make bench` into docs/performance.md."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from tests.bench import report
from tests.bench.loading import PROJECT

DOCUMENT = PROJECT / "docs" / "performance.md"
PICTURES = DOCUMENT.with_suffix("")
_FIGURES = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- /figures -->)", re.DOTALL)


def filled(document: str, measured: dict[str, Any], pictures: list[str]) -> str:
    """`document` with what was measured between its two marks."""
    versions, machine = measured["versions"], measured["machine"]
    hashing = "Argon2id {memory_kib} KiB, {passes} passes, {lanes} lane".format(**measured["hash"])
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    run = f"Commit `{measured['commit'][:12]}`, {measured['seconds']:.0f} s"
    rounds = f"medians of at least {measured['rounds']} rounds"
    parts = [
        f"{run}, {rounds}; {hashing}; {machine['processors']} processors ({machine['model']}).",
        report.markdown(measured["results"]),
        *(f"{row} was not measured: {reason.splitlines()[0]}" for row, reason in measured["failed"].items()),
        *(f"![{Path(name).stem}]({PICTURES.name}/{name})" for name in pictures),
        f"Versions: {named}.",
    ]
    text = "\n\n".join(parts)
    return _FIGURES.sub(lambda _: f"\n{text}\n\n", document)


def main() -> None:
    kept = Path(os.environ.get("STATE_DIR", ".local")).absolute() / "bench"
    PICTURES.mkdir(exist_ok=True)
    pictures = [path.name for path in sorted(kept.glob("*.png"))]
    for name in pictures:
        shutil.copy(kept / name, PICTURES / name)
    measured = json.loads((kept / "bench.json").read_text())
    DOCUMENT.write_text(filled(DOCUMENT.read_text(), measured, pictures))
    print(f"written: {DOCUMENT.relative_to(PROJECT)}, and {len(pictures)} pictures")


if __name__ == "__main__":
    main()
