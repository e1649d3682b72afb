"""/docs, /openapi.json and /asyncapi.json as files: deploy.gateway.docs and the gateway's locations for them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from deploy.gateway import docs
from tests.asking import problem
from tests.gateway.conftest import Start
from tests.gateway.gateway import Gateway


def test_the_document_covers_both_services(gateway: Gateway) -> None:
    answer = gateway.http.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert {"/api/v1/auth/token", "/api/v1/users/registration", "/.well-known/jwks.json"} <= set(answer.json()["paths"])


def references(page: str) -> list[str]:
    return re.findall(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)""", page)


def test_the_page_loads_everything_from_here(gateway: Gateway) -> None:
    page = gateway.http.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert len(references(page.text)) == 3
    for reference in references(page.text):
        answer = gateway.http.get(httpx.URL("/docs").join(reference))
        assert answer.status_code == 200, reference
        assert answer.content


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/asyncapi.json"])
def test_neither_names_another_host(gateway: Gateway, path: str) -> None:
    assert re.findall(r"(?:https?:)?//[^\s'\"]+", gateway.http.get(path).text) == []


def test_the_page_allows_no_script_but_its_own(gateway: Gateway) -> None:
    page = gateway.http.get("/docs")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page.text)
    (script,) = re.findall(r"<script>(.+?)</script>", page.text, re.DOTALL)
    allowed = re.findall(r"script-src ([^;]+)", policy)[0].split()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert allowed == ["'self'", f"'sha256-{digest}'"]
    assert "default-src 'none'" in policy
    assert page.headers["content-security-policy"] == "frame-ancestors 'none'"


def test_the_page_with_a_slash_leads_to_the_page(gateway: Gateway) -> None:
    answer = gateway.http.get("/docs/")
    assert (answer.status_code, answer.headers["location"]) == (308, "/docs")


@pytest.mark.parametrize("name", ["swagger-ui.css", "swagger-ui-bundle.js"])
def test_large_files_travel_compressed_to_whoever_takes_that(gateway: Gateway, name: str) -> None:
    path = f"/docs/assets/{name}"
    plain = gateway.http.get(path, headers={"Accept-Encoding": "identity"})
    packed = gateway.http.get(path, headers={"Accept-Encoding": "gzip"})
    assert plain.content == packed.content
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert 2 * int(packed.headers["content-length"]) < int(plain.headers["content-length"])
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/asyncapi.json", "/docs/assets/swagger-ui.css"])
def test_what_a_client_has_is_not_sent_again(gateway: Gateway, path: str) -> None:
    first = gateway.http.get(path)
    again = gateway.http.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["cache-control"] == ("public, max-age=3600" if "assets" in path else "no-cache")
    assert first.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/asyncapi.json", "/docs/assets/swagger-ui.css"])
def test_they_can_only_be_read(gateway: Gateway, path: str) -> None:
    answer = gateway.http.post(path)
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD"


def files_below(folder: Path) -> dict[str, tuple[bytes, float]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime) for path in files}


def test_to_write_them_twice_gives_the_same_files_so_that_every_gateway_has_the_same_etags(
    static: Path, tmp_path: Path
) -> None:
    docs.write(tmp_path)
    assert len(files_below(tmp_path)) == 7
    assert files_below(tmp_path) == files_below(static)


def test_another_document_of_the_same_size_has_another_etag(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setattr(docs, "VERSION", "0.1.0")
    static = tmp_path_factory.mktemp("static")
    docs.write(static)
    gateway = start(static=static)
    first = gateway.http.get("/openapi.json")
    monkeypatch.setattr(docs, "VERSION", "0.1.1")
    docs.write(static)
    second = gateway.http.get("/openapi.json", headers={"If-None-Match": first.headers["etag"]})
    assert len(first.content) == len(second.content)
    assert second.json()["info"]["version"] == "0.1.1"


def written_by(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.gateway.docs", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_writes_them_without_any_setting(tmp_path: Path) -> None:
    done = written_by(str(tmp_path / "out"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads((tmp_path / "out" / "openapi.json").read_text())["info"]["title"] == "Login2FA"


def test_the_command_says_what_is_wrong_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for arguments in ([], [str(tmp_path / "file" / "below")]):
        done = written_by(*arguments)
        assert done.returncode != 0
        assert len(done.stderr.splitlines()) == 1
