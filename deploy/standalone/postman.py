"""`make postman`: newman runs the Postman collection on a throw-away stack and reads the codes over HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from deploy.standalone.otp_inbox import OtpInbox
from deploy.standalone.throwaway import PROJECT, StackFailed, throwaway_stack
from deploy.standalone.transcript import on_terminal

COLLECTION = PROJECT / "docs" / "Login2FA.postman_collection.json"
ENVIRONMENT = PROJECT / "docs" / "Login2FA.postman_environment.json"
NEWMAN = PROJECT / "node_modules" / ".bin" / "newman"
INTERRUPTED = 130
# Seconds. The collection waits for these cooldowns, so they are short here.
SETTINGS = {"OTP_RESEND_COOLDOWN": "2", "MAILED_CODE_COOLDOWN": "2"}


def main() -> int:
    transcript = on_terminal(sys.stdout)
    if not NEWMAN.exists():
        transcript.failed("newman is not installed here: make postman installs it.")
        return 1
    try:
        with throwaway_stack(demo_accounts=True, say=transcript.say, settings=SETTINGS) as stack:
            with serving_codes(OtpInbox(stack.otp_file)) as inbox_url:
                status = _newman(stack.base_url, inbox_url)
            if status:
                transcript.say(stack.tail())
    except StackFailed as failure:
        transcript.failed(str(failure))
        return 1
    except KeyboardInterrupt:
        transcript.failed("Interrupted.")
        return INTERRUPTED
    return status


@contextmanager
def serving_codes(inbox: OtpInbox) -> Iterator[str]:
    """Serves `GET /code?email=`, for account codes with `&purpose=`, on a free loopback port: newman reads no files."""

    class Codes(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(asked.query).items()}
            email, purpose = query.get("email", ""), query.get("purpose", "")
            code = inbox.next_code(email, purpose) if asked.path == "/code" and email else None
            body = (code or "no code").encode()
            self.send_response(200 if code else 404)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """No log: the terminal shows newman's report."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Codes) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _newman(base_url: str, inbox_url: str) -> int:
    variables = {"base_url": base_url, "inbox_url": inbox_url}
    options = [option for name, value in variables.items() for option in ("--env-var", f"{name}={value}")]
    # newman would use a proxy even for loopback addresses.
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    command = [str(NEWMAN), "run", str(COLLECTION), "--environment", str(ENVIRONMENT), *options]
    return subprocess.run([*command, "--timeout-request", "15000"], env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
