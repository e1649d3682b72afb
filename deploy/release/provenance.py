"""Provenance: which commit, locks and base images a release was made of. In-toto Statement v1, SLSA Provenance v1.

It is not signed: whoever releases signs it. It has no date, so that the same release has the same provenance.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.images import images
from deploy.release.source import Source

_BUILD_TYPE = "urn:login2fa:make-release:v1"


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def statement(source: Source, subjects: Mapping[str, str]) -> str:
    """`subjects`: SHA-256 by name. RELEASE_BUILDER and RELEASE_SOURCE: URIs of who built it, and of the repository."""
    repository = os.environ.get("RELEASE_SOURCE", "urn:login2fa:source")
    definition = {
        "buildType": _BUILD_TYPE,
        "externalParameters": {"command": "make release", "source": repository, "version": source.version},
        "internalParameters": {"SOURCE_DATE_EPOCH": source.epoch, "buildBackend": source.build_backend},
        "resolvedDependencies": [
            {"uri": f"git+{repository}", "digest": {"gitCommit": source.commit}},
            *(_file(source, path) for path in sorted((source.folder / "requirements").glob("*.txt"))),
            *(_image(named) for named in images(source.folder / "deploy" / "images.env").values()),
        ],
    }
    details = {"builder": {"id": os.environ.get("RELEASE_BUILDER", "urn:login2fa:a-persons-machine")}}
    return json.dumps(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": name, "digest": {"sha256": subjects[name]}} for name in sorted(subjects)],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {"buildDefinition": definition, "runDetails": details},
        },
        indent=1,
    )


def _file(source: Source, path: Path) -> dict[str, Any]:
    return {"uri": str(path.relative_to(source.folder)), "digest": {"sha256": sha256(path)}}


def _image(named: str) -> dict[str, Any]:
    """`make pin-images` writes the digest."""
    tag, _, digest = named.partition("@sha256:")
    return {"uri": f"docker://{tag}", **({"digest": {"sha256": digest}} if digest else {})}
