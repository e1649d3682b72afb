"""Wheels and sdists. The same commit gives the same bytes, whoever builds it and when."""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
from pathlib import Path

from deploy.release.source import Source, run

# Each is a distribution of its own; `clients/python` is there since there are clients.
_FOLDERS = (".", "testkit", "clients/python")
# What is installed with our wheel, without an extra and with each: as it was locked and tested.
_LOCKS = {"": "runtime", "-standalone": "standalone", "-otel": "otel"}


def build(source: Source, out: Path) -> None:
    """Raises `ReleaseFailed`."""
    constraints = source.folder.parent / "build.txt"
    constraints.write_text(f"{source.build_backend}\n")
    for folder in _FOLDERS:
        if (source.folder / folder / "pyproject.toml").is_file():
            command = (Path(sys.executable).with_name("uv"), "build", "--out-dir", out, "--no-create-gitignore")
            pinned = ("--build-constraints", constraints, "--require-hashes")
            run(*command, *pinned, cwd=source.folder / folder, environment={"SOURCE_DATE_EPOCH": source.epoch})
    for sdist in out.glob("*.tar.gz"):
        sdist.write_bytes(_undated(sdist.read_bytes(), int(source.epoch)))


def write_bills_of_materials(source: Source, out: Path) -> None:
    """Raises `ReleaseFailed`."""
    for extra, lock in _LOCKS.items():
        run(
            *(sys.executable, "-m", "cyclonedx_py", "requirements", "--output-reproducible"),
            *("--pyproject", "pyproject.toml", "-o", out / f"login2fa-{source.version}{extra}.cdx.json"),
            f"requirements/{lock}.txt",
            cwd=source.folder,
        )


def _undated(sdist: bytes, epoch: int) -> bytes:
    """The archive without its builder's name and clock, which setuptools leaves in it."""
    tar = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(sdist)) as old,
        tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member) if member.isreg() else None)
    return gzip.compress(tar.getvalue(), mtime=epoch)
