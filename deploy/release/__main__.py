"""`make release`: wheels, sdists, images, bills of materials, provenance and checksums. It uploads nothing."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from deploy.images import images as base_images
from deploy.release import images, packages
from deploy.release.provenance import sha256, statement
from deploy.release.source import PROJECT, ReleaseFailed, Source, exported, run

SUMS = "SHA256SUMS"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make release", description=__doc__)
    parser.add_argument("--out", type=Path, default=PROJECT / "dist", help="made anew each time")
    parser.add_argument("--no-images", action="store_true", help="as where no Docker engine answers")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="login2fa-release-") as folder:
        try:
            source = exported(Path(folder))
            made = _release(source, _emptied(options.out), with_images=not options.no_images)
        except (ReleaseFailed, OSError) as error:
            sys.exit(f"Not released. {error}")
        _tell(source, options.out, made)


def _release(source: Source, out: Path, *, with_images: bool) -> dict[str, str]:
    """The digests of the images that were made."""
    print(f"Releasing {source.version} of commit {source.commit}", flush=True)
    if run("git", "status", "--porcelain"):
        print("Changes that are not committed are left out.", flush=True)
    print("Building wheels and sdists ...", flush=True)
    packages.build(source, out)
    packages.write_bills_of_materials(source, out)
    _write_provenance(source, out, "packages", {path.name: sha256(path) for path in out.iterdir()})
    made = {}
    if with_images and images.docker_answers():
        print("Building images ...", flush=True)
        made = images.build(source, out)
        _write_provenance(source, out, "images", {tag: digest.partition(":")[2] for tag, digest in made.items()})
    sums = [f"{sha256(path)}  {path.name}\n" for path in sorted(out.iterdir())]
    (out / SUMS).write_text("".join(sums))
    return made


def _write_provenance(source: Source, out: Path, kind: str, subjects: dict[str, str]) -> None:
    text = statement(source, subjects)
    (out / f"login2fa-{source.version}-{kind}.provenance.json").write_text(f"{text}\n")


def _emptied(out: Path) -> Path:
    """Only a folder that an earlier release has made: a wrong `--out` must cost nobody anything."""
    if out.exists():
        if any(out.iterdir()) and not (out / SUMS).is_file():
            raise ReleaseFailed(f"{out} has other things in it: empty it, or name another folder with OUT")
        shutil.rmtree(out)
    out.mkdir(parents=True)
    return out


def _tell(source: Source, out: Path, made: dict[str, str]) -> None:
    print("\n".join(["", f"In {out}:", *(f"  {path.name}" for path in sorted(out.iterdir()))]))
    if made:
        print("\n".join(["In this machine's Docker engine:", *(f"  {tag}  {digest}" for tag, digest in made.items())]))
    else:
        print("No images: no Docker engine was asked, or none answers here. Their provenance is missing, too.")
    if any("@" not in named for named in base_images(source.folder / "deploy" / "images.env").values()):
        print("Base images have no digest. So that images can be repeated: `make pin-images`, commit, release again.")
    packed = f"{out}/*.whl {out}/*.tar.gz"
    lines = [
        "",
        "Nothing was uploaded. Somebody with credentials does this (docs/release.md):",
        f"  git tag -s v{source.version} {source.commit} && git push origin v{source.version}",
        f"  gpg --armor --detach-sign {out / SUMS}",
        f"  .venv/bin/uv publish {packed}",
    ]
    lines += [f"  docker tag {tag} REGISTRY/{tag} && docker push REGISTRY/{tag}" for tag in made]
    print("\n".join([*lines, f"  and attaches the other files of {out} to the release"]))


if __name__ == "__main__":
    main()
