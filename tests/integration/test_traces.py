"""One trace from the request over the outbox, the broker and the notifier to the mail server, and back to auth."""

from __future__ import annotations

from tests.integration.codes_path import PATIENCE, CodesPath, keys, path, silence
from tests.polling import eventually
from tests.servers.collector import Seen, collecting, tracing_to

__all__ = ("keys", "path", "silence")

LOGIN = "POST /api/v1/auth/token"


def one(spans: list[Seen], name: str, **attributes: object) -> Seen:
    (found,) = (each for each in spans if each.name == name and each.attributes.items() >= attributes.items())
    return found


def routed(key: str) -> dict[str, object]:
    return {"messaging.rabbitmq.destination.routing_key": key}


async def test_a_login_is_one_trace_through_the_retry_of_its_mail(path: CodesPath) -> None:
    path.mails.refuse("450 4.2.1 Busy", times=1)
    await path.start_notifier()
    account = await path.account()

    with collecting() as collector:
        async with tracing_to(collector.url):
            answer = await path.auth.log_in(account.username)
            await path.mails.wait_for(account.email, timeout=PATIENCE)
            await eventually(lambda: _delivered(path, answer.json()["temporary_token"]), PATIENCE)
            await path.stop_notifier()
            await path.auth.log_in("nobody")  # another trace
        trace = one(collector.spans, LOGIN, **{"http.response.status_code": 200}).trace
        spans = [each for each in collector.spans if each.trace == trace]

    login = one(spans, LOGIN)
    assert (login.kind, login.parent, login.attributes["http.route"]) == ("SERVER", "", "/api/v1/auth/token")
    hashed = one(spans, "argon2id")
    assert (hashed.kind, hashed.parent) == ("INTERNAL", login.id)
    assert float(hashed.attributes["login2fa.queue_seconds"]) >= 0
    sent = one(spans, "send auth.events", **routed("auth.otp_requested.v1"))
    assert (sent.kind, sent.parent) == ("PRODUCER", login.id)
    attempts = [one(spans, "process notifier.otp", **{"login2fa.attempt": attempt}) for attempt in (1, 2)]
    assert {(each.kind, each.parent) for each in attempts} == {("CONSUMER", login.id)}
    assert [each.attributes["login2fa.outcome"] for each in attempts] == ["retry", "done"]
    mails = [next(each for each in spans if each.name == "smtp send" and each.parent == of.id) for of in attempts]
    assert {(each.kind, each.attributes["server.port"]) for each in mails} == {("CLIENT", path.mails.port)}
    assert [(each.attributes["smtp.response.code"], each.failed) for each in mails] == [(450, True), (250, False)]
    reports = [each for each in spans if each.name == "send notifier.events"]
    assert {each.parent for each in reports} == {each.id for each in attempts}
    assert {each.parent for each in spans if each.name == "process auth.otp_outcomes"} == {each.id for each in attempts}


async def _delivered(path: CodesPath, temporary: str) -> bool:
    return await path.status(temporary) == "delivered"
