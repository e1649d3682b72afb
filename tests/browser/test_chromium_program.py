"""Without Chromium these tests say what to install; where all must run they do not pass by being skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers import apt, chromium

REQUIRING = ("CI", "REQUIRE_BROWSER")


@pytest.fixture(autouse=True)
def _none_can_be_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.which", lambda *_arguments, **_options: None)
    monkeypatch.setattr(chromium, "UNPACKED", tmp_path / "chromium")


def test_a_machine_without_chromium_skips_them_and_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in REQUIRING:
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"):
        chromium.chromium()


@pytest.mark.parametrize("variable", REQUIRING)
def test_where_ci_or_require_browser_is_set_a_missing_chromium_is_a_failure(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
        chromium.chromium()


def test_where_apt_may_not_install_its_packages_are_unpacked_beside_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unpack(package: str, folder: Path) -> bool:
        for file in ("usr/lib/x86_64-linux-gnu/nss/libsoftokn3.so", f"usr/lib/{package}/{package}"):
            (folder / file).parent.mkdir(parents=True)
            (folder / file).touch()
        return True

    monkeypatch.setattr(apt, "unpack", unpack)
    for _ in range(2):
        found = chromium.chromium()
        assert found.program == chromium.UNPACKED / "usr/lib/chromium/chromium"
        assert found.environment["LD_LIBRARY_PATH"] == str(chromium.UNPACKED / "usr/lib/x86_64-linux-gnu/nss")
        monkeypatch.setattr(apt, "unpack", lambda *_: pytest.fail("it is unpacked already"))
