"""docs/audit.md names every act, every reason and every field of the audit trail, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from shared.audit_acts import SERVICES
from shared.audit_words import Act, ActOutcome, Reason
from shared.messaging.audit_events import Audited

PAGE = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()


def part(name: str) -> str:
    return PAGE.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0]


def rows(name: str) -> list[list[str]]:
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in part(name).strip().splitlines()[2:]]


def test_the_table_has_a_row_for_each_act() -> None:
    assert [row[0] for row in rows("acts")] == list(get_args(Act))


def test_the_outcomes_of_each_act_are_words_of_the_trail() -> None:
    assert all(set(row[2].split(", ")) <= set(get_args(ActOutcome)) for row in rows("acts"))
    assert {row[1] for row in rows("acts")} == {"auth", "users"}


def test_each_act_has_the_outcomes_that_are_counted() -> None:
    shown = [(service, act, outcomes.split(", ")) for act, service, outcomes, _ in rows("acts")]
    counted = [(service, act, list(outcomes)) for service, acts in SERVICES.items() for act, outcomes in acts.items()]
    assert sorted(shown) == sorted(counted)


def test_every_reason_is_listed() -> None:
    assert re.findall(r"`(\w+)`", part("reasons")) == list(get_args(Reason))


def test_every_field_is_explained() -> None:
    assert {row[0] for row in rows("fields")} == set(Audited.model_fields)
