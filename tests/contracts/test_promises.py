"""The HTTP API and the settings of 1.0.0 stay as they are (docs/upgrade.md); what comes to them is free.

`promised.json` is written for each minor release: WRITE_PROMISES=1 adds what is new, where nothing is broken.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest

from deploy.gateway import docs
from services.configuration import SETTINGS
from tests.contracts import promises
from tests.contracts.promises import CHANGELOG, PROMISED, Json, api, broken, check, says_breaking

BREAKING = "# Changelog\n\n## Unreleased\n\n- **Breaking**: `lastname` is gone.\n\n## 1.0.0\n\n- The first.\n"
QUIET = "# Changelog\n\n## Unreleased\n\n- Quicker.\n\n## 1.0.0\n\n- **Breaking**: of old.\n"


@pytest.fixture(scope="module")
def document() -> Json:
    return docs.document()


def settings() -> dict[str, list[str]]:
    return {service: sorted(name.upper() for name in kind.model_fields) for service, kind in SETTINGS.items()}


@pytest.fixture(scope="module")
def promised(document: Json) -> Json:
    if os.environ.get("WRITE_PROMISES"):
        kept: Json = json.loads(PROMISED.read_text()) if PROMISED.exists() else {"api": {}, "settings": {}}
        assert check(kept["api"], api(document), CHANGELOG.read_text()) == []
        now = {"api": api(document), "settings": settings()}
        PROMISED.write_text(json.dumps(now, indent=0, sort_keys=True) + "\n")
    loaded: Json = json.loads(PROMISED.read_text())
    return loaded


def test_the_api_keeps_what_it_has_promised(promised: Json, document: Json) -> None:
    assert len(promised["api"]) > 500
    assert check(promised["api"], api(document), CHANGELOG.read_text()) == []


def test_no_setting_disappears(promised: Json) -> None:
    now = settings()
    assert {service: set(names) - set(now.get(service, [])) for service, names in promised["settings"].items()} == {
        service: set() for service in promised["settings"]
    }


def _no_route(document: Json) -> None:
    del document["paths"]["/api/v1/users/me"]


def _no_field(document: Json) -> None:
    fields = document["components"]["schemas"]["AccountOut"]
    del fields["properties"]["lastname"]
    fields["required"].remove("lastname")


def _absent_at_times(document: Json) -> None:
    document["components"]["schemas"]["TokenPairOut"]["required"].remove("expires_in")


def _another_type(document: Json) -> None:
    document["components"]["schemas"]["TokenPairOut"]["properties"]["expires_in"]["type"] = "string"


def _new_input(document: Json) -> None:
    schema = document["components"]["schemas"]["OtpIn"]
    schema["properties"]["device"] = {"type": "string"}
    schema["required"].append("device")


def _no_value(document: Json) -> None:
    document["components"]["schemas"]["ChallengeOut"]["properties"]["status"]["enum"].remove("failed")


def _no_form(document: Json) -> None:
    del document["paths"]["/api/v1/auth/token"]["post"]["requestBody"]["x-also-as"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_no_route, "GET /api/v1/users/me is gone"),
        (_no_field, "GET /api/v1/users/me answers 200 .lastname is gone"),
        (_absent_at_times, "POST /api/v1/auth/token answers 200 .expires_in may be absent now"),
        (_another_type, "POST /api/v1/auth/refresh-token answers 200 .expires_in was integer"),
        (_new_input, "POST /api/v1/auth/verify-otp takes application/json .device is required now"),
        (_no_value, 'GET /api/v1/auth/challenge answers 200 .status = "failed" is gone'),
        (_no_form, "POST /api/v1/auth/token takes application/x-www-form-urlencoded .password is gone"),
    ],
)
def test_a_breaking_change_fails_until_the_changelog_says_so(
    change: Callable[[Json], None], says: str, promised: Json, document: Json
) -> None:
    planted = deepcopy(document)
    change(planted)
    breaks = check(promised["api"], api(planted), QUIET)
    assert [each for each in breaks if each.startswith(says)], breaks
    assert check(promised["api"], api(planted), BREAKING) == []


def test_make_check_fails_on_a_breaking_change_and_names_it(
    document: Json, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = deepcopy(document)
    _no_field(planted)
    monkeypatch.setattr(docs, "document", lambda: planted)
    monkeypatch.setattr(promises, "CHANGELOG", tmp_path / "CHANGELOG.md")
    promises.CHANGELOG.write_text(QUIET)
    assert promises.main() == 1
    assert "answers 200 .lastname is gone" in capsys.readouterr().err
    promises.CHANGELOG.write_text(BREAKING)
    assert promises.main() == 0


def test_what_comes_to_the_api_breaks_nothing() -> None:
    was = {"POST /a": "operation", "POST /a takes .name": "string, required"}
    new = {"POST /a takes .new": "string", "GET /b": "operation", "GET /b query q": "string, required"}
    assert broken(was, was | new | {"POST /a takes .name": "null|string"}) == []


def test_only_what_is_not_released_yet_may_say_breaking() -> None:
    assert says_breaking(BREAKING)
    assert not says_breaking(QUIET)
