"""The doctor finds each fault by its name, and nothing else; a healthy stack is well."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import get_args
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner, Result

from services.cli import app
from services.configuration import SETTINGS
from services.doctor.database import database
from services.doctor.findings import Name
from tests.good_settings import CANARY
from tests.integration.doctor.faults import FAULTS
from tests.integration.doctor.healthy_stack import SMTP_PASSWORD, HealthyStack, Patient, healthy_stack
from tests.servers.broker_users import load_broker_users
from tests.servers.databases import PASSWORDS, copied
from tests.servers.ports import free_ports
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import RabbitMQ, own_vhost

# Found by tests of their own, here and in test_mail.py; "fingerprints" are never an ill.
ELSEWHERE = {"clock", "fingerprints", "mail"}


@pytest.fixture(scope="module")
async def stack(
    postgres: Postgres, database_template: str, rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[HealthyStack]:
    folder = tmp_path_factory.mktemp("doctor")
    async with (
        copied(postgres, database_template) as databases,
        own_vhost(rabbitmq) as amqp_url,
        healthy_stack(databases, amqp_url, folder) as stack,
    ):
        yield stack


@pytest.fixture
def patient(stack: HealthyStack, monkeypatch: pytest.MonkeyPatch) -> Patient:
    return Patient.of(stack, monkeypatch)


async def doctor(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, ["doctor", *arguments])


async def test_a_healthy_stack_is_well_and_no_secret_is_shown(patient: Patient) -> None:
    patient.environment.setenv("OPERATOR_RABBITMQ_URL", patient.stack.amqp_url)

    answer = await doctor("--json")

    told = json.loads(answer.stdout)
    assert (answer.exit_code, told["status"]) == (0, "ok"), answer.output
    assert {each["service"] for each in told["findings"]} == {*SETTINGS, "operator"}
    assert not [each for each in (CANARY, SMTP_PASSWORD, *PASSWORDS.values()) if each in answer.output]


def test_the_faults_are_of_every_name() -> None:
    assert {fault.name for fault in FAULTS.values()} | ELSEWHERE == set(get_args(Name))


@pytest.mark.parametrize("planted", FAULTS)
async def test_a_planted_fault_is_found_by_its_name_and_nothing_else_is(patient: Patient, planted: str) -> None:
    fault = FAULTS[planted]
    async with fault.plant(patient) as named:
        found = await patient.ills(fault.service)

    assert [(each.name, each.level) for each in found] == [(fault.name, fault.level)], found
    assert named in f"{found[0].where} {found[0].said}"
    assert found[0].advice


async def test_clocks_that_differ_are_found(patient: Patient) -> None:
    url = patient.stack.databases.auth_url

    for offset, level in ((-60, "warn"), (-1, "ok"), (60, "warn")):
        found = await database("auth", url, clock=lambda offset=offset: time.time() + offset)  # type: ignore[misc]  # a default of a lambda
        assert [each.level for each in found if each.name == "clock"] == [level]


async def test_the_exit_code_is_that_of_the_worst(patient: Patient) -> None:
    patient.environment.setenv("ISSUER", f"{patient.stack.issuer}/elsewhere")
    assert (await doctor("auth")).exit_code == 1

    patient.environment.setenv("AUTH_DATABASE_URL", "postgresql://auth:wrong@127.0.0.1:1/login2fa")
    answer = await doctor("auth")
    assert answer.exit_code == 2
    assert "See docs/doctor.md#database" in answer.stdout


async def test_the_servers_words_are_told_where_the_mail_server_refuses(patient: Patient) -> None:
    patient.environment.setenv("SMTP_PASSWORD", "wrong")
    (found,) = await patient.ills("notifier")
    assert found.said.startswith('AUTH: the mail server says "535 5.7.8')


async def test_a_node_that_is_down_is_a_warning_while_another_answers(patient: Patient) -> None:
    here, nowhere = (
        patient.stack.amqp_url,
        f"amqp://127.0.0.1:{free_ports(1)[0]}{urlsplit(patient.stack.amqp_url).path}",
    )
    patient.environment.delenv("RABBITMQ_URL")
    for urls, levels in ((f"{here},{nowhere}", ["warn"]), (nowhere, ["fail"]), (f"{here},{here}", [])):
        patient.environment.setenv("RABBITMQ_URLS", urls)
        found = await patient.ills("users")
        assert [(each.name, each.level) for each in found] == [("broker", level) for level in levels]
        assert all(each.where.startswith("RABBITMQ_URLS, number ") for each in found)


async def test_a_user_of_the_broker_who_may_declare_nothing_may_be_examined(
    patient: Patient, rabbitmq: RabbitMQ
) -> None:
    if rabbitmq.ctl is None:
        pytest.skip("the broker is not ours, so it gets no users")
    urls = load_broker_users(rabbitmq.ctl, patient.stack.amqp_url)
    for process in ("auth", "users", "notifier"):
        patient.environment.setenv("RABBITMQ_URL", urls[process])
        assert await patient.ills(process) == []
