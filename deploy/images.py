"""Third-party images, listed in images.env. `make pin-images` writes the digest of each tag wherever it is named."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

PROJECT = Path(__file__).parents[1]
FILE = Path(__file__).with_name("images.env")
NAMED_IN = ("deploy/images.env", "deploy/Dockerfile", "docker-compose.yaml")

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def images(file: Path = FILE) -> dict[str, str]:
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def pin(project: Path, digest_of: Callable[[str], str]) -> None:
    """Adds or replaces the digest after each tag. Raises ValueError."""
    pinned = {}
    for named in images(project / NAMED_IN[0]).values():
        tag = named.partition("@")[0]
        digest = digest_of(tag)
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"{tag}: the registry names no digest, but {digest!r}")
        pinned[named] = f"{tag}@{digest}"
    for name in NAMED_IN:
        path = project / name
        text = path.read_text()
        for named, to in pinned.items():
            text = re.sub(rf"(?<=[ =]){re.escape(named)}(?=\s)", to, text)
        path.write_text(text)


def _asked(tag: str) -> str:
    command = ["docker", "buildx", "imagetools", "inspect", "--format", "{{.Manifest.Digest}}", tag]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell, tags of ours
    if done.returncode:
        raise ValueError(f"{tag}: no digest to be had: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


if __name__ == "__main__":
    try:
        pin(PROJECT, _asked)
    except (ValueError, OSError) as error:
        sys.exit(f"Nothing was pinned. {error}")
    sys.stdout.write("\n".join(images().values()) + "\n")
