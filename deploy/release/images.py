"""The two images, in the engine of this machine, and the bill of materials of the one that has our packages."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

from deploy.release.source import Source, run

NAMES = ("login2fa", "login2fa-gateway")


def docker_answers() -> bool:
    try:
        command = ["docker", "version", "--format", "{{.Server.Version}}"]  # fails without a server
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def build(source: Source, out: Path) -> dict[str, str]:
    """By name and tag, the digest of the image. Raises `ReleaseFailed`."""
    created = datetime.fromtimestamp(int(source.epoch), UTC).isoformat()
    labels = {"REVISION": source.commit, "CREATED": created, "LOGIN2FA_TAG": source.version}
    run("docker", "compose", "build", cwd=source.folder, environment=labels)
    bill = run(*("docker", "run", "--rm", "--network=none", "--entrypoint=cat"), *_inside(source))
    (out / f"login2fa-{source.version}-image.cdx.json").write_text(f"{bill}\n")
    tags = [f"{name}:{source.version}" for name in NAMES]
    return {tag: run("docker", "image", "inspect", "--format", "{{.Id}}", tag) for tag in tags}


def _inside(source: Source) -> tuple[str, str]:
    image = f"{NAMES[0]}:{source.version}"
    label = '{{index .Config.Labels "login2fa.sbom"}}'
    return image, run("docker", "image", "inspect", "--format", label, image)
