"""Each alert leads to a section that says what to do, and each section is of an alert."""

from __future__ import annotations

import re

from tests.monitoring import promtool

RUNBOOK = promtool.FOLDER.parents[1] / "docs" / "runbook.md"
PARTS = ("**What you see.**", "**Why.**", "**What to do.**", "**When it is over.**")


def sections() -> dict[str, str]:
    _, *rest = re.split(r"^## (\w+)$", RUNBOOK.read_text(), flags=re.MULTILINE)
    return dict(zip(rest[::2], rest[1::2], strict=True))


def test_each_alert_has_its_section_and_each_section_its_alert() -> None:
    assert set(sections()) == {rule["alert"] for rule in promtool.alerts()}


def test_each_section_says_what_is_seen_why_what_to_do_and_when_it_is_over() -> None:
    assert [f"{name}: {part}" for name, text in sections().items() for part in PARTS if part not in text] == []


def test_each_alert_says_what_it_is_and_leads_to_its_section() -> None:
    for rule in promtool.alerts():
        said = rule["annotations"]
        assert said["summary"]
        assert said["description"].endswith(".")
        assert said["runbook_url"].endswith(f"/docs/runbook.md#{rule['alert'].lower()}")
        assert rule["labels"]["severity"] in ("page", "ticket")
