"""`make faults`: the random run on the command line, with a line for each fault and the figures at its end."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
from pathlib import Path

from tests.faults.run.random_run import random_run
from tests.faults.run.world import own_servers
from tests.servers.namespaces import unavailable


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.run", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="of an earlier run, to see its faults again")
    parser.add_argument("--seconds", type=float, default=600.0, help="how long faults are injected")
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=1, help="of the broker")
    given = parser.parse_args()
    if given.nodes > 1 and (reason := unavailable()):
        parser.error(f"a cluster's nodes need machines of their own: {reason}")
    seed = given.seed if given.seed is not None else secrets.randbelow(1_000_000)
    print(f"seed {seed}: make faults SEED={seed} SECONDS={given.seconds:.0f} NODES={given.nodes}", flush=True)
    with own_servers(given.nodes) as servers, tempfile.TemporaryDirectory(prefix="login2fa-faults-") as folder:
        run = random_run(
            servers, Path(folder), seed=seed, seconds=given.seconds, say=lambda line: print(line, flush=True)
        )
        result = asyncio.run(run)
    print(f"\n{result.text}")
    for breach in result.wrong[:50]:
        print(f"WRONG: {breach}", file=sys.stderr)
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
