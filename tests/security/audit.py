"""`make audit`: do the locks say what pyproject.toml asks for and PyPI has, and is a known vulnerability in them?

Where PyPI can not be reached nothing was found out: that is said, and is a failure with REQUIRE_AUDIT=1.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[2]
LOCKS = ("runtime", "standalone", "otel", "dev", "audit", "bench")
# bench.txt holds all of runtime.txt, standalone.txt, otel.txt and dev.txt.
AUDITED = ("bench", "audit")
ENVIRONMENT = Path(sys.executable).parents[1]

_PIN = re.compile(r"^([a-z0-9-]+)==(\S+)([^\\\n]*)", re.MULTILINE)
_HASH = re.compile(r" \\\n    --hash=(sha256:[0-9a-f]{64})")


class NotFoundOut(Exception):
    """PyPI does not answer, or not what is needed."""


def pins(lock: str) -> dict[str, set[str]]:
    """By `name==version` with its marker, the hashes."""
    starts = [*_PIN.finditer(lock)]
    ends = [*(match.start() for match in starts[1:]), len(lock)]
    return {
        match[0].strip(): set(_HASH.findall(lock[match.start() : end])) for match, end in zip(starts, ends, strict=True)
    }


def without_hashes(lock: str) -> str:
    """Its versions: a compiler that is given hashes takes them over without asking."""
    return _HASH.sub("", lock)


def untrue(name: str, locked: str, compiled: str) -> Iterator[str]:
    """What of a lock is not what was compiled just now. That PyPI has more files by now is no fault."""
    have, want = pins(locked), pins(compiled)
    for pin in sorted(have.keys() ^ want.keys()):
        yield f"requirements/{name}.txt: {pin} is {'not wanted' if pin in have else 'missing'}: make lock"
    for pin in sorted(have.keys() & want.keys()):
        for unknown in sorted(have[pin] - want[pin]):
            yield f"requirements/{name}.txt: {pin} has a hash that PyPI does not know, {unknown}"


def untrue_locks() -> list[str]:
    """Raises NotFoundOut."""
    with tempfile.TemporaryDirectory(prefix="login2fa-locks-") as folder:
        there = Path(folder)
        (there / "requirements").mkdir()
        for each in ("Makefile", "pyproject.toml", "README.md"):
            shutil.copy(PROJECT / each, there)
        for name in LOCKS:
            lock = PROJECT / "requirements" / f"{name}.txt"
            (there / lock.relative_to(PROJECT)).write_text(without_hashes(lock.read_text()))
        # As installed here, whatever the dates of the copies say.
        command = ["make", "--directory", folder, "--assume-old", f"{ENVIRONMENT}/.dev", "lock"]
        done = subprocess.run([*command, f"VENV={ENVIRONMENT}"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotFoundOut(done.stderr)
        compiled = {name: (there / "requirements" / f"{name}.txt").read_text() for name in LOCKS}
    return [
        line
        for name in LOCKS
        for line in untrue(name, (PROJECT / "requirements" / f"{name}.txt").read_text(), compiled[name])
    ]


def vulnerabilities(report: str) -> tuple[list[str], int]:
    """Of a report of pip-audit: a line for each, and how many packages were looked up. Raises NotFoundOut."""
    try:
        packages = json.loads(report)["dependencies"]
    except ValueError:
        raise NotFoundOut(report) from None
    found = []
    for package in packages:
        if "skip_reason" in package:
            raise NotFoundOut(package["skip_reason"])
        for each in package["vulns"]:
            mended = ", ".join(each["fix_versions"]) or "nothing yet"
            found.append(f"{package['name']} {package['version']}: {each['id']}, mended in {mended}")
    return found, len(packages)


def known_vulnerabilities() -> tuple[list[str], int]:
    """Raises NotFoundOut."""
    found, looked_up = [], 0
    for name in AUDITED:
        command = [
            sys.executable,
            "-m",
            "pip_audit",
            "--disable-pip",
            "--progress-spinner=off",
            "--format=json",
            "--requirement",
        ]
        lock = PROJECT / "requirements" / f"{name}.txt"
        done = subprocess.run([*command, str(lock)], capture_output=True, text=True, check=False)
        if not done.stdout:  # it prints its report, or an error and none
            raise NotFoundOut(done.stderr)
        lines, packages = vulnerabilities(done.stdout)
        found += lines
        looked_up += packages
    return found, looked_up


def locks_hold() -> bool:
    wrong = untrue_locks()
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"The locks are {'NOT ' if wrong else ''}what pyproject.toml asks for and PyPI has.")
    return not wrong


def nothing_is_known() -> bool:
    found, looked_up = known_vulnerabilities()
    for line in found:
        print(line, file=sys.stderr)
    print(f"{len(found)} known vulnerabilities in {looked_up} packages.")
    return not found


def main() -> int:
    holds = []
    for check, what in (
        (locks_hold, "The locks were not checked"),
        (nothing_is_known, "No vulnerability was looked up"),
    ):
        try:
            holds.append(check())
        except NotFoundOut as error:
            print(f"{what}, PyPI's data could not be had: {(str(error).strip().splitlines() or ['-'])[-1]}")
            holds.append(os.environ.get("REQUIRE_AUDIT") != "1")
    return 0 if all(holds) else 1


if __name__ == "__main__":
    sys.exit(main())
