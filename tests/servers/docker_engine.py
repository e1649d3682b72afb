"""Whether a Docker engine answers here, and has or can pull an image.

Asked with deadlines, so that a sick engine or an unreachable registry costs seconds, not the test run.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import threading
import warnings

import docker  # type: ignore[import-untyped] # it carries no types
from docker.errors import DockerException, ImageNotFound  # type: ignore[import-untyped] # the same
from requests.exceptions import RequestException
from testcontainers.core.config import testcontainers_config

ANSWER_SECONDS = 3
PULL_SECONDS = 180


@functools.cache
def engine_answers() -> bool:
    with warnings.catch_warnings():
        # A client that finds no engine leaves its socket to the garbage collector: that warning fails a test.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            with contextlib.closing(docker.from_env(timeout=ANSWER_SECONDS)) as client:
                return bool(client.ping())
        except (DockerException, RequestException, OSError):
            return False
        finally:
            gc.collect()


def image_available(image: str) -> bool:
    """Whether the engine has `image`, or can pull it within PULL_SECONDS.

    Testcontainers starts a second one beside it, unless it is told not to, which removes what killed tests left.
    """
    needed = [image] if testcontainers_config.ryuk_disabled else [image, testcontainers_config.ryuk_image]
    return engine_answers() and all(_present(name) or _pulled(name) for name in needed)


def _present(image: str) -> bool:
    try:
        with contextlib.closing(docker.from_env(timeout=ANSWER_SECONDS)) as client:
            client.images.get(image)
    except ImageNotFound:
        return False
    return True


def _pulled(image: str) -> bool:
    # A daemon thread: the client's own time-out restarts with every chunk of a pull that drips.
    thread = threading.Thread(target=_pull, args=(image,), daemon=True)
    thread.start()
    thread.join(PULL_SECONDS)
    return not thread.is_alive() and _present(image)


def _pull(image: str) -> None:
    # Refused, or no registry to be reached: `_present` says no, and another kind of server is used.
    with (
        contextlib.suppress(DockerException, RequestException, OSError),
        contextlib.closing(docker.from_env(timeout=PULL_SECONDS)) as client,
    ):
        client.images.pull(image)
