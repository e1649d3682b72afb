"""`make demo`: runs the demo on a throw-away stack; exits with 0 if every step passed."""

from __future__ import annotations

import sys

from deploy.standalone.otp_inbox import OtpInbox
from deploy.standalone.steps import StepFailed
from deploy.standalone.throwaway import StackFailed, throwaway_stack
from deploy.standalone.transcript import Transcript, on_terminal
from deploy.standalone.walk import walk

INTERRUPTED = 130  # as in shells: 128 + SIGINT


def main() -> int:
    transcript = on_terminal(sys.stdout)
    try:
        with throwaway_stack(demo_accounts=False, say=transcript.say) as stack:
            status = show(stack.base_url, OtpInbox(stack.otp_file), transcript)
            if status:
                transcript.say(transcript.hide(stack.tail()))
    except StackFailed as failure:
        transcript.failed(str(failure))
        return 1
    except KeyboardInterrupt:
        transcript.failed("Interrupted.")
        return INTERRUPTED
    return status


def show(base_url: str, inbox: OtpInbox, transcript: Transcript) -> int:
    try:
        walk(base_url, inbox, transcript)
    except StepFailed as failure:
        transcript.failed(str(failure))
        return 1
    transcript.passed("Every step went as it should.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
