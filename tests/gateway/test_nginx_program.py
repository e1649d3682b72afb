"""Without nginx these tests say what to install; where all must run they do not pass by being skipped."""

from __future__ import annotations

import pytest

from tests.servers import nginx


@pytest.fixture(autouse=True)
def _nginx_can_not_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_arguments, **_options: None)


def test_a_machine_without_nginx_skips_them_and_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install nginx"):
        nginx.nginx_program()


def test_where_ci_is_set_a_missing_nginx_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install nginx"):
        nginx.nginx_program()
