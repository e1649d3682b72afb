"""The ten lines of the README do what they say, as they stand there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from deploy.standalone.throwaway import throwaway_stack

README = Path(__file__).parents[2] / "README.md"

ONCE_MORE = """
curl -s -o /dev/null -w '%{http_code}' -X POST $API/auth/verify-token \\
    -H "authorization: Bearer $(echo "$PAIR" | field access_token)"
"""


def test_the_curl_lines_of_the_readme_register_log_in_and_log_out() -> None:
    found = re.search(r"<!-- curl -->\n```sh\n(.*?)```\n<!-- /curl -->", README.read_text(), re.DOTALL)
    assert found is not None
    with throwaway_stack(demo_accounts=False, say=print) as stack:
        lines = found[1].replace("http://127.0.0.1:8201", stack.base_url)
        lines = lines.replace(".local/otp-logs.txt", str(stack.otp_file)) + ONCE_MORE
        command = ["bash", "-euo", "pipefail", "-c", lines]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert '"full_name":"Ann Lee"' in done.stdout
    assert '{"message":true}' in done.stdout
    assert done.stdout.endswith("401"), "after the logout"
