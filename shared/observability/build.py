"""Tells Prometheus which services a process runs, and in which version."""

from prometheus_client import Gauge

from shared.version import VERSION

BUILD = Gauge("login2fa_build_info", "Always 1: which service runs, in which version.", ["service", "version"])


def announce(*services: str) -> None:
    for service in services:
        BUILD.labels(service, VERSION).set(1)
