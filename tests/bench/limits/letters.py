"""What the bare chains carry: as large as an event and as a mail of ours, and made beforehand."""

from __future__ import annotations

_EVENT = 580  # bytes of an `OtpRequested` in JSON
_MAIL = 1344  # bytes of the mail with a code

SENDER = "login@localhost.localdomain"


def body(recipient: str) -> str:
    text = f'{{"email":"{recipient}","sealed_code":"'
    return f'{text}{"x" * (_EVENT - len(text) - 2)}"}}'


def recipient_of(body: bytes) -> str:
    return body.split(b'"', 4)[3].decode()


def mail(recipient: str) -> bytes:
    head = f"From: {SENDER}\r\nTo: {recipient}\r\nSubject: Your login code\r\n\r\n".encode()
    lines = (b"x" * 70 + b"\r\n") * (_MAIL // 72)
    return head + lines[len(head) :]
