"""Which services an environment is for, and what is examined of each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from services.auth.settings import AuthSettings
from services.configuration import SETTINGS
from services.doctor.answers import api
from services.doctor.broker import broker, of_a_cluster
from services.doctor.database import database
from services.doctor.examination import Check, examine
from services.doctor.findings import Finding, fail, ok
from services.doctor.keys import fingerprints, issuer, public_keys, signing
from services.doctor.mail_server import mail_server
from services.doctor.secret_files import secret_files
from services.notifier.settings import NotifierSettings
from services.portal.settings import PortalSettings
from services.users.settings import UsersSettings
from shared.configuration.settings import ProcessSettings, SettingsInvalid, load

OPERATOR: Final = "OPERATOR_RABBITMQ_URL"

# The portal requires no variable; this one leads it to the API.
_OF_PORTAL: Final = {"AUTH_URL"}


def services_here() -> list[str]:
    """Those whose required variables are all set; else the one that lacks the fewest. Empty if nothing is set."""
    share = {service: _share(_required(service)) for service in SETTINGS}
    if complete := [service for service, part in share.items() if part == 1]:
        return complete
    nearest = max(share, key=lambda service: share[service])
    return [nearest] if share[nearest] else []


def _required(service: str) -> set[str]:
    fields = SETTINGS[service].model_fields.items()
    return {name.upper() for name, field in fields if field.is_required()} or _OF_PORTAL


def _share(variables: set[str]) -> float:
    return sum(1 for each in variables if os.environ.get(each) or os.environ.get(f"{each}_FILE")) / len(variables)


async def examine_service(service: str) -> list[Finding]:
    where = f"the environment of {service}"
    try:
        settings = load(SETTINGS[service])
    except SettingsInvalid as error:
        advice = f"Correct it; then run this again, for nothing else of {service} was examined"
        return [fail("settings", where, str(error), advice)]
    return [ok("settings", where, f"{service} starts with them"), *of_a_cluster(await examine(_checks(settings)))]


async def examine_as_operator(url: str) -> list[Finding]:
    return await examine([Check("broker", OPERATOR, partial(broker, OPERATOR, url, None))])


def _checks(settings: Any) -> Sequence[Check]:
    checks = [Check("secret-file", "<NAME>_FILE", partial(secret_files, settings))]
    match settings:
        case AuthSettings():
            url = settings.auth_database_url.get_secret_value()
            checks += [
                Check("database", "AUTH_DATABASE_URL", partial(database, "auth", url)),
                *_broker(settings, "auth"),
                Check("signing-keys", "JWT_KEYS_DIR", partial(signing, settings)),
                Check("issuer", "ISSUER", partial(issuer, settings)),
            ]
        case UsersSettings():
            url = settings.users_database_url.get_secret_value()
            checks += [
                Check("database", "USERS_DATABASE_URL", partial(database, "users", url)),
                *_broker(settings, "users"),
                Check("public-keys", "AUTH_JWKS_URL", partial(public_keys, "AUTH_JWKS_URL", settings.auth_jwks_url)),
            ]
        case NotifierSettings():
            checks += [
                *_broker(settings, "notifier"),
                Check("mail-server", "SMTP_HOST", partial(mail_server, settings)),
            ]
        case PortalSettings():
            checks += [
                Check("api", "AUTH_URL", partial(api, "AUTH_URL", settings.auth_url)),
                Check("api", "USERS_URL", partial(api, "USERS_URL", settings.users_url)),
            ]
    return [*checks, Check("fingerprints", "the keys", partial(fingerprints, settings))]


def _broker(settings: ProcessSettings, process: str) -> list[Check]:
    if settings.rabbitmq_url is not None:
        url = settings.rabbitmq_url.get_secret_value()
        return [Check("broker", "RABBITMQ_URL", partial(broker, "RABBITMQ_URL", url, process))]
    variable = "RABBITMQ_URLS"
    return [
        Check("broker", f"{variable}, number {number}", partial(broker, variable, url, process, f", number {number}"))
        for number, url in enumerate(settings.broker_urls, 1)
    ]
