"""For each alert a case in which it fires and one in which it does not, as a table.

A case that fires lies between the threshold and ten times the threshold, and of several conditions joined by `or` it
fulfils one: so each number of a rule has a case that depends on it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Series = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Case:
    """`series` in promtool's notation, a value each `step`; rules are evaluated `every` so often. `fires`: the service
    of which the alert speaks at `at`.
    """

    alert: str
    when: str
    series: Series = field(repr=False)
    at: str
    fires: str | None = None
    severity: str = "page"
    step: str = "1m"
    every: str = "1m"


def always(value: float, steps: int = 900) -> str:
    return f"{value}+0x{steps}"


def _build_info(*services: str) -> Series:
    return {f'login2fa_build_info{{service="{each}", version="1.0.0"}}': always(1) for each in services}


def _up(service: str, values: str, job: str = "login2fa") -> Series:
    return {f'up{{job="{job}", service="{service}", instance="{service}:9000"}}': values}


_ALL = _build_info("auth", "users", "notifier")


def _logins(bad: str, of: str, before: tuple[float, int], last: tuple[float, int], rate: float) -> Series:
    """A share of `rate` logins a second is `bad`: first one share for so many steps of five minutes, then another."""
    values = f"{rate * before[0]}+0x{before[1]} {rate * last[0]}+0x{last[1]}"
    return {f"login2fa:{bad}:rate5m": values, f"login2fa:{of}:rate5m": always(rate)}


_ERRORS = ("login_errors", "login_attempts")
_SLOW = ("login_slow", "login_answers")
_REFUSED = "login2fa:passwords_refused:rate5m"
_OLDEST = 'login2fa_outbox_oldest_seconds{service="auth"}'
_LAST_ROUND = 'login2fa_outbox_last_round_timestamp_seconds{service="auth"}'
_CONSUMERS = 'rabbitmq_detailed_queue_consumers{vhost="/", queue="notifier.otp"}'
_DEAD = 'rabbitmq_detailed_queue_messages_ready{vhost="/", queue="notifier.otp.dead"}'
_HASHES = 'login2fa_hash_refused_total{service="auth"}'


def _codes(slow: float) -> Series:
    """This many of a hundred codes a minute take between 60 and 120 seconds, and the others less than one."""
    counts = {"1.0": 100 - slow, "30.0": 100 - slow, "60.0": 100 - slow, "120.0": 100, "+Inf": 100}
    return {f'login2fa_delivery_seconds_bucket{{le="{le}"}}': f"0+{count}x30" for le, count in counts.items()}


_TICKET = {"severity": "ticket"}
_LOGINS = {"step": "5m", "every": "1h"}
_PASSWORDS = {"step": "5m", "every": "5m"}
_HOUR, _DAY = 12, 288  # steps of five minutes

CASES = [
    Case(alert="Down", when="one does not answer", series=_ALL | _up("auth", always(0)), at="4m", fires="auth"),
    Case(alert="Down", when="the broker does not", series=_ALL | _up("rabbitmq", always(0), "rabbitmq"), at="4m",
         fires="rabbitmq"),
    *(Case(alert="Down", when=f"{gone} is unknown", at="4m", fires=gone,
           series=_build_info(*({"auth", "users", "notifier"} - {gone})))
      for gone in ("auth", "users", "notifier")),
    Case(alert="Down", when="all answer", series=_ALL | _up("auth", always(1)), at="9m"),
    Case(alert="Down", when="one was restarted", series=_ALL | _up("auth", "1 0 1+0x9"), at="4m"),

    # 8 % for a quarter of an hour: 2 % of one hour, and a third of a percent of six
    Case(alert="LoginErrors", when="many for a short time", **_LOGINS, at="6h", fires="auth",
         series=_logins(*_ERRORS, (0, 69), (0.08, 9), rate=0.9)),
    Case(alert="LoginErrors", when="some for hours", **_LOGINS, at="8h", fires="auth",
         series=_logins(*_ERRORS, (0.01, 50), (0.01, 60), rate=0.2)),
    Case(alert="LoginErrors", when="one in a quiet hour", **_LOGINS, at="6h",
         series=_logins(*_ERRORS, (0, 70), (0.3, 9), rate=0.005)),
    Case(alert="LoginErrors", when="as many as allowed", **_LOGINS, at="8h",
         series=_logins(*_ERRORS, (0.001, 50), (0.001, 60), rate=5)),
    Case(alert="LoginErrors", when="a few for days", **_LOGINS, **_TICKET, at="3d", fires="auth",
         series=_logins(*_ERRORS, (0.003, _DAY), (0.003, 3 * _DAY), rate=0.064)),
    Case(alert="LoginErrors", when="almost as many as allowed", **_LOGINS, **_TICKET, at="3d",
         series=_logins(*_ERRORS, (0.0009, _DAY), (0.0009, 3 * _DAY), rate=5)),
    Case(alert="LoginErrors", when="a few of hardly any", **_LOGINS, **_TICKET, at="3d",
         series=_logins(*_ERRORS, (0.003, _DAY), (0.003, 3 * _DAY), rate=0.01)),

    Case(alert="LoginSlow", when="many for a short time", **_LOGINS, **_TICKET, at="3d", fires="auth",
         series=_logins(*_SLOW, (0, 3 * _DAY - 4), (0.6, 9), rate=0.08)),
    Case(alert="LoginSlow", when="some for hours", **_LOGINS, **_TICKET, at="3d", fires="auth",
         series=_logins(*_SLOW, (0, 3 * _DAY - 6 * _HOUR), (0.08, 100), rate=0.03)),
    Case(alert="LoginSlow", when="a few for days", **_LOGINS, **_TICKET, at="3d", fires="auth",
         series=_logins(*_SLOW, (0.03, _DAY), (0.03, 3 * _DAY), rate=0.006)),
    Case(alert="LoginSlow", when="almost as many as allowed", **_LOGINS, **_TICKET, at="3d",
         series=_logins(*_SLOW, (0.009, _DAY), (0.009, 3 * _DAY), rate=5)),
    Case(alert="LoginSlow", when="one in a quiet hour", **_LOGINS, **_TICKET, at="3d",
         series=_logins(*_SLOW, (0, 3 * _DAY - 4), (0.6, 9), rate=0.001)),

    Case(alert="PasswordGuessing", when="twenty times yesterday's", **_PASSWORDS, **_TICKET, at="26h", fires="auth",
         series={_REFUSED: f"0.2+0x{_DAY + _HOUR} 4+0x20"}),
    Case(alert="PasswordGuessing", when="none yesterday", **_PASSWORDS, **_TICKET, at="2h", fires="auth",
         series={_REFUSED: "2+0x30"}),
    Case(alert="PasswordGuessing", when="every day's", **_PASSWORDS, **_TICKET, at="26h", series={_REFUSED: always(4)}),
    Case(alert="PasswordGuessing", when="hardly any", **_PASSWORDS, **_TICKET, at="2h", series={_REFUSED: always(0.9)}),

    Case(alert="KeyOld", when="200 days", series={"login2fa_signing_key_age_seconds": always(200 * 86400)}, at="1m",
         fires="auth", **_TICKET),
    Case(alert="KeyOld", when="170 days", series={"login2fa_signing_key_age_seconds": always(170 * 86400)}, at="1m",
         **_TICKET),

    Case(alert="CodesSlow", when="one in ten", series=_codes(10), at="16m", fires="notifier"),
    Case(alert="CodesSlow", when="one in fifty", series=_codes(2), at="16m"),
    Case(alert="Pressure", when="on", series={"login2fa_otp_pressure": always(1)}, at="3m", fires="auth"),
    Case(alert="Pressure", when="for a moment", series={"login2fa_otp_pressure": "1 0+0x9"}, at="3m"),
    Case(alert="Paused", when="on", series={"login2fa_deliveries_paused": always(1)}, at="3m", fires="notifier"),
    Case(alert="Paused", when="off", series={"login2fa_deliveries_paused": always(0)}, at="3m"),

    Case(alert="OutboxStuck", when="an old event", series={_OLDEST: always(45), _LAST_ROUND: "0+60x9"}, at="4m",
         fires="auth"),
    Case(alert="OutboxStuck", when="nobody looks", series={_OLDEST: always(0), _LAST_ROUND: always(0)}, at="5m",
         fires="auth"),
    Case(alert="OutboxStuck", when="events go out", series={_OLDEST: always(20), _LAST_ROUND: "0+60x9"}, at="9m"),

    Case(alert="NoConsumer", when="nobody", series={_CONSUMERS: always(0)}, at="3m", fires="notifier"),
    Case(alert="NoConsumer", when="one of two nodes knows", at="3m",
         series={f'{_CONSUMERS[:-1]}, instance="{node}"}}': always(node) for node in (0, 1)}),
    Case(alert="NoConsumer", when="queues that have none", at="3m",
         series={_CONSUMERS.replace("otp", other): always(0) for other in ("otp.dead", "otp.retry.1s")}),
    Case(alert="DeadLetters", when="three", series={_DEAD: always(3)}, at="7m", fires="notifier", **_TICKET),
    Case(alert="DeadLetters", when="none", series={_DEAD: always(0), _DEAD.replace(".dead", ""): always(3)}, at="7m",
         **_TICKET),
    Case(alert="ReadModelLag", when="a minute", series={"login2fa_read_model_lag_seconds": always(60)}, at="7m",
         fires="auth"),
    Case(alert="ReadModelLag", when="a moment", series={"login2fa_read_model_lag_seconds": always(5)}, at="7m"),
    Case(alert="HashSaturated", when="some", series={_HASHES: "0+60x20"}, at="12m", fires="auth", **_TICKET),
    Case(alert="HashSaturated", when="none", series={_HASHES: always(60)}, at="12m", **_TICKET),
]  # fmt: skip


def _requests(status: int, values: str, route: str = "/api/v1/auth/token") -> Series:
    return {f'login2fa_http_request_seconds_count{{route="{route}", status="{status}"}}': values}


def _within_a_second(values: str) -> Series:
    return {'login2fa_http_request_seconds_bucket{route="/api/v1/auth/token", status="200", le="1.0"}': values}


def _refused(reason: str, values: str) -> Series:
    return {f'login2fa_acts_total{{act="login", outcome="refused", reason="{reason}"}}': values}


# From the metrics of our processes, by way of the recorded series.
WHOLE = [
    Case(alert="LoginErrors", when="two in a hundred fail", at="1h", fires="auth",
         series=_requests(200, "0+98x60") | _requests(503, "0+2x60")),
    Case(alert="LoginErrors", when="one 503 in a quiet hour", at="1h",
         series=_requests(200, "0+0x30 0+1x30") | _requests(503, "0+0x58 1+0x9")),
    Case(alert="LoginErrors", when="other routes fail, and passwords are wrong", at="1h",
         series=_requests(200, "0+98x60") | _requests(503, "0+2x60", "/api/v1/auth/verify-token")
         | _requests(401, "0+90x60")),
    Case(alert="LoginSlow", when="a fifth takes long", at="1h", fires="auth", **_TICKET,
         series=_requests(200, "0+10x60") | _within_a_second("0+8x60")),
    Case(alert="LoginSlow", when="all are quick", at="1h", **_TICKET,
         series=_requests(200, "0+10x60") | _requests(401, "0+10x60") | _within_a_second("0+10x60")),
    Case(alert="PasswordGuessing", when="wrong passwords", at="1h", fires="auth", **_TICKET,
         series=_refused("wrong_credentials", "0+50x60") | _refused("too_many_passwords", "0+50x60")),
    Case(alert="PasswordGuessing", when="codes that are not delivered", at="1h", **_TICKET,
         series=_refused("codes_not_delivered", "0+100x60")),
]  # fmt: skip
