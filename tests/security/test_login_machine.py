"""Logins in any order, with any of the tokens and codes that there are: each answer is the one that the model gives.

The services are composed as in production, on the real Postgres, and asked by HTTP. `MODEL_SEED` draws other walks.
"""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest
from sqlalchemy import ColumnElement

from services.auth.accounts.read_model import may_log_in
from services.auth.factors import challenge_statements, open_challenges
from services.auth.tables import challenges, identities
from tests.composed import Keys, keys
from tests.model.walks import found, holds
from tests.security.login_model import SETTINGS
from tests.security.login_walk import LoginWalk
from tests.security.login_world import world
from tests.servers.databases import Databases

__all__ = ("keys",)

STEPS = 30


def test_every_answer_is_that_of_the_model(databases: Databases, keys: Keys, tmp_path: Path) -> None:
    with world(databases, keys, tmp_path, **SETTINGS) as LoginWalk.world:
        holds(LoginWalk, walks=20, steps=STEPS)


@pytest.mark.long
def test_every_answer_is_that_of_the_model_on_many_walks(databases: Databases, keys: Keys, tmp_path: Path) -> None:
    with world(databases, keys, tmp_path, **SETTINGS) as LoginWalk.world:
        holds(LoginWalk, walks=200, steps=STEPS)


@pytest.mark.long
@pytest.mark.parametrize("limit", ["otp_attempts", "otp_resends"])
def test_the_same_walks_find_a_limit_that_is_off_by_one(
    databases: Databases, keys: Keys, tmp_path: Path, limit: str
) -> None:
    with world(databases, keys, tmp_path, **SETTINGS | {limit: SETTINGS[limit] + 1}) as LoginWalk.world:
        assert found(LoginWalk, walks=600, steps=STEPS) is not None


def _of_its_account_for_ever() -> ColumnElement[bool]:
    return (identities.c.id == challenges.c.account_id) & may_log_in()


def test_the_same_walks_find_a_code_that_outlives_a_change_of_the_password(
    databases: Databases, keys: Keys, tmp_path: Path
) -> None:
    with (
        patch.object(challenge_statements, "of_its_account", _of_its_account_for_ever),
        patch.object(open_challenges, "of_its_account", _of_its_account_for_ever),
        world(databases, keys, tmp_path, **SETTINGS) as LoginWalk.world,
    ):
        assert found(LoginWalk, walks=100, steps=STEPS) is not None
