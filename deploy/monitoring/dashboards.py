"""Grafana dashboards, as JSON beside this file: `python -m deploy.monitoring.dashboards` writes them anew.

`grafana-foundation-sdk` is a package of the developers only.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import common, prometheus, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef

FOLDER: Final = Path(__file__).parent / "grafana" / "dashboards"
SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")

# Units of Grafana
PER_SECOND: Final = "reqps"
SECONDS: Final = "s"
SHARE: Final = "percentunit"
BYTES: Final = "bytes"
COUNT: Final = "short"

HEIGHT: Final = 8
WIDTH: Final = 12  # of 24


@dataclass(frozen=True)
class Panel:
    """`queries`: expressions by their legend. None may give nothing on a healthy stack: a rate of nothing is 0."""

    title: str
    unit: str
    queries: dict[str, str]
    about: str = ""


def rate(metric: str, by: str, where: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{where}}}[5m]))"


def slowest(metric: str, share: float, by: str = "", where: str = "") -> str:
    """The time within which this share was done."""
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', f'le, {by}' if by else 'le', where)})"


LOGIN: Final = 'route=~"/api/v1/auth/(token|verify-(otp|totp|recovery|passkey))"'
ANSWERS: Final = "login2fa_http_request_seconds"

LOGINS: Final = [
    Panel("Logins", PER_SECOND, {"{{outcome}}": rate("login2fa_acts_total", "outcome", 'act="login"')},
          "Refused: a wrong password. Throttled: too many of them."),
    Panel("Logins that were refused", PER_SECOND,
          {"{{reason}}": rate("login2fa_acts_total", "reason", 'act="login", outcome!="ok"')}),
    Panel("Time of a right login", SECONDS,
          {f"{share:.0%} {{{{route}}}}": slowest(ANSWERS, share, "route", f'status="200", {LOGIN}')
           for share in (0.5, 0.95)},
          "Status 200 alone: a wrong password is answered late on purpose."),
    Panel("Errors", SHARE,
          {"share of answers": f'(sum(rate({ANSWERS}_count{{status=~"5.."}}[5m])) or vector(0))'
                               f" / sum(rate({ANSWERS}_count[5m]))"}),
    Panel("Second factors", PER_SECOND,
          {"{{act}} {{outcome}}": rate(
              "login2fa_acts_total", "act, outcome",
              'act=~"code_sent|code_verified|passkey_verified|recovery_code_used"')}),
    Panel("Answers", PER_SECOND, {"{{service}} {{status}}": rate(f"{ANSWERS}_count", "service, status")}),
    Panel("Sessions", PER_SECOND,
          {"{{act}} {{outcome}}": rate("login2fa_acts_total", "act, outcome",
                                       'act=~"refresh|refresh_reused|session_ended"')}),
    Panel("Accounts", PER_SECOND,
          {"{{act}} {{outcome}}": rate("login2fa_acts_total", "act, outcome",
                                       'act=~"registration|password_changed|password_reset|account_deleted"')}),
]  # fmt: skip

CODES: Final = [
    Panel("From the request of a code to the mail server", SECONDS,
          {f"{share:.0%}": slowest("login2fa_delivery_seconds", share) for share in (0.5, 0.95)},
          "A code lives four minutes."),
    Panel("Login codes", PER_SECOND, {"{{outcome}}": rate("login2fa_deliveries_total", "outcome")}),
    Panel("Something is wrong (1)", COUNT, {
        "logins with a code are refused": "max(login2fa_otp_pressure)",
        "the mail server refuses our credentials": "max(login2fa_deliveries_paused)",
        "the mail server is out of reach": "1 - min(login2fa_mail_server_reached)",
    }),
    Panel("Time of a mail", SECONDS,
          {"95% {{relay}}": slowest("login2fa_smtp_seconds", 0.95, "relay")}),
    Panel("Mails by their outcome", PER_SECOND,
          {"{{relay}} {{outcome}}": rate("login2fa_smtp_seconds_count", "relay, outcome")}),
    Panel("Other mails", PER_SECOND, {
        "account codes: {{outcome}}": rate("login2fa_account_codes_total", "outcome"),
        "notices: {{outcome}}": rate("login2fa_notices_total", "outcome"),
    }),
    Panel("What auth knows of notifiers", SECONDS, {
        "no word of one for": "max(login2fa_notifier_silence_seconds)",
        "a code reaches one after": "max(login2fa_delivery_lag_seconds)",
    }),
    Panel("Reports of deliveries", PER_SECOND, {"{{result}}": rate("login2fa_delivery_reports_total", "result")}),
]  # fmt: skip

READY: Final = "rabbitmq_detailed_queue_messages_ready"
WORK: Final = r'queue!~".*[.](dead|retry[.].*)"'

EVENTS: Final = [
    Panel("Oldest event that is not published", SECONDS,
          {"{{service}}": "max by (service) (login2fa_outbox_oldest_seconds)"},
          "Stands still while the database is away: see the last look."),
    Panel("Since the last look into the outbox", SECONDS,
          {"{{service}}": "time() - max by (service) (login2fa_outbox_last_round_timestamp_seconds)"}),
    Panel("Events that wait in the outbox", COUNT, {"{{service}}": "max by (service) (login2fa_outbox_rows)"}),
    Panel("Events published", PER_SECOND, {
        "{{service}}": rate("login2fa_outbox_published_total", "service"),
        "{{service}}, not confirmed": rate("login2fa_outbox_failed_total", "service"),
    }),
    Panel("Auth is behind users by", SECONDS, {"read model": "max(login2fa_read_model_lag_seconds)"}),
    Panel("Messages that wait", COUNT, {"{{queue}}": f"sum by (queue) ({READY}{{{WORK}}})"}),
    Panel("Messages that wait for another try", COUNT,
          {"{{queue}}": rf'sum by (queue) ({READY}{{queue=~".*[.]retry[.].*"}})'}),
    Panel("Dead letters", COUNT, {"{{queue}}": rf'sum by (queue) ({READY}{{queue=~".*[.]dead"}})'}),
    Panel("Consumers", COUNT, {
        "{{queue}}, by the broker": f"sum by (queue) (rabbitmq_detailed_queue_consumers{{{WORK}}})",
        "{{queue}}, by themselves": "sum by (queue) (login2fa_consumer_live)",
    }),
    Panel("Time to handle a message", SECONDS,
          {"95% {{queue}}": slowest("login2fa_consumer_handle_seconds", 0.95, "queue")}),
    Panel("Messages by what became of them", PER_SECOND,
          {"{{queue}} {{outcome}}": rate("login2fa_consumer_handle_seconds_count", "queue, outcome")}),
    Panel("Messages given up", PER_SECOND, {
        "{{queue}}": rate("login2fa_given_up_total", "queue"),
        "forged: {{queue}}": f'{rate("login2fa_events_refused_total", "queue")} or vector(0)',
    }),
]  # fmt: skip

SATURATION: Final = [
    Panel("Passwords that wait for a thread", COUNT, {"{{service}}": "sum by (service) (login2fa_hash_waiting)"}),
    Panel("Passwords refused, too many were waiting", PER_SECOND,
          {"{{service}}": rate("login2fa_hash_refused_total", "service")}),
    Panel("Time to hash a password", SECONDS,
          {"95% {{service}} {{algorithm}}": slowest("login2fa_hash_seconds", 0.95, "service, algorithm")}),
    Panel("Wait for a connection to the database", SECONDS,
          {"95% {{service}}": slowest("login2fa_database_wait_seconds", 0.95, "service")}),
    Panel("Connections to the database in use", COUNT, {"{{service}}": "sum by (service) (login2fa_database_in_use)"}),
    Panel("Requests refused, too many from one address", PER_SECOND,
          {"{{service}}": rate("login2fa_floods_refused_total", "service")}),
    Panel("Processors in use", COUNT,
          {"{{service}} {{instance}}": rate("process_cpu_seconds_total", "service, instance", 'job="login2fa"')}),
    Panel("Memory", BYTES, {"{{service}} {{instance}}": 'process_resident_memory_bytes{job="login2fa"}'}),
    Panel("Open files and connections", COUNT, {"{{service}} {{instance}}": 'process_open_fds{job="login2fa"}'}),
    Panel("Processes by their version", COUNT,
          {"{{service}} {{version}}": "sum by (service, version) (login2fa_build_info)"}),
    Panel("Age of the key that signs", SECONDS, {"key": "max(login2fa_signing_key_age_seconds)"}),
]  # fmt: skip

DASHBOARDS: Final = {"logins": LOGINS, "codes": CODES, "events": EVENTS, "saturation": SATURATION}


def _panel(panel: Panel) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.about)
        .unit(panel.unit)
        .min(0)
        .height(HEIGHT)
        .span(WIDTH)
        .datasource(SOURCE)
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    for number, (legend, expression) in enumerate(panel.queries.items()):
        made.with_target(prometheus.Dataquery().ref_id(chr(ord("A") + number)).expr(expression).legend_format(legend))
    return made


def dashboard(name: str) -> str:
    """Its JSON."""
    made = (
        Dashboard(f"Login2FA: {name.capitalize()}")
        .uid(f"login2fa-{name}")
        .tags(["login2fa"])
        .readonly()
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for panel in DASHBOARDS[name]:
        made.with_panel(_panel(panel))
    return str(JSONEncoder(sort_keys=True, indent=2).encode(made.build())) + "\n"


def main() -> None:
    for name in DASHBOARDS:
        path = FOLDER / f"{name}.json"
        path.write_text(dashboard(name))
        sys.stdout.write(f"written: {path}\n")


if __name__ == "__main__":
    main()
