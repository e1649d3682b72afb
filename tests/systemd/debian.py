"""A bare Debian with systemd, as a container: nothing of it is shared with this machine but the kernel."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.polling import wait_until
from tests.servers.docker_cli import docker

PROJECT = Path(__file__).parents[2]
IMAGE = "debian:trixie-slim"
LINES_SECONDS = 900.0
BOOT_SECONDS = 60.0

# No more than an ordinary Debian brings. In a container with control groups of version 1 systemd wants to be told.
_DOCKERFILE = f"""
FROM {IMAGE}
RUN apt-get update -qq
RUN apt-get install -y -qq --no-install-recommends systemd systemd-sysv dbus ca-certificates > /dev/null
STOPSIGNAL SIGRTMIN+3
CMD ["sh", "-c", "mount --make-rshared / && exec /sbin/init \\
    systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"]
"""
# A systemd that sandboxes its units needs these.
_CAPABILITIES = """
    AUDIT_WRITE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK KILL MKNOD NET_ADMIN NET_BIND_SERVICE NET_RAW
    SETFCAP SETGID SETPCAP SETUID SYS_ADMIN SYS_CHROOT SYS_NICE SYS_PTRACE
"""


class Debian:
    def __init__(self, container: str) -> None:
        self._container = container

    def run(self, lines: str, *, seconds: float = LINES_SECONDS) -> str:
        """Run them as root in the checkout, as a person types them: returns what they print. Fails where one fails."""
        command = ["docker", "exec", "--env", "DEBIAN_FRONTEND=noninteractive", "--workdir", "/root/login2fa"]
        done = subprocess.run(
            [*command, self._container, "bash", "-euo", "pipefail", "-c", lines],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout


@contextmanager
def debian() -> Iterator[Debian]:
    """Booted, with this checkout in /root/login2fa; removed at the end."""
    name = _built()
    rights = [part for each in _CAPABILITIES.split() for part in ("--cap-add", each)]
    confined = ("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined")
    places = ("--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--tmpfs", "/run")
    container = docker("run", "--detach", *rights, *confined, *places, name).strip()
    try:
        wait_until(lambda: _booted(container), BOOT_SECONDS)
        _give_checkout(container)
        yield Debian(container)
    finally:
        docker("rm", "--force", "--volumes", container)


def _built() -> str:
    command = ["docker", "build", "--quiet", "-"]
    done = subprocess.run(
        command, input=_DOCKERFILE, capture_output=True, text=True, timeout=LINES_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _booted(container: str) -> bool:
    done = subprocess.run(
        ["docker", "exec", container, "systemctl", "is-system-running"], capture_output=True, timeout=30, check=False
    )
    return done.stdout.strip() in {b"running", b"degraded"}


def _give_checkout(container: str) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=PROJECT,
        capture_output=True,
        check=True,
        timeout=30,
    )
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for file in filter(None, listed.stdout.decode().split("\0")):
            if (PROJECT / file).is_symlink() or (PROJECT / file).exists():
                tar.add(PROJECT / file, f"login2fa/{file}", recursive=False)
    subprocess.run(
        ["docker", "cp", "--quiet", "-", f"{container}:/root"], input=archive.getvalue(), check=True, timeout=60
    )
