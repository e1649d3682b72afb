"""A page as a browser without scripts sees it: its title, texts, links, and forms with their fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Self

_WITHOUT_VALUE = {"submit", "button", "image", "reset"}
_BOXES = {"checkbox", "radio"}
_WITHIN_A_LINE = {"strong", "em", "code", "span", "small"}


@dataclass(slots=True)
class Form:
    """`fields`: as they are sent when the person changes nothing; `buttons`: the same, of the last with each name, for
    one is sent if it was pressed. `names`: of all fields and buttons. `attributes`: of the element.
    """

    action: str
    attributes: dict[str, str]
    fields: dict[str, str] = field(default_factory=dict)
    buttons: dict[str, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Document:
    """`texts`: by role, `alert` and `status`. `refreshes`: the content of `<meta http-equiv="refresh">`, or ""."""

    title: str = ""
    text: str = ""
    refreshes: str = ""
    texts: dict[str, str] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)
    forms: list[Form] = field(default_factory=list)

    @classmethod
    def of(cls, html: str) -> Self:
        document = cls()
        reader = _Reader(document)
        reader.feed(html)
        reader.close()
        document.text = " ".join(document.text.split())
        return document


class _Reader(HTMLParser):
    def __init__(self, document: Document) -> None:
        super().__init__()
        self._document = document
        self._form: Form | None = None
        self._open: list[tuple[str, str]] = []  # elements whose text is of interest, with its purpose
        self._choice: str | None = None  # name of the select or textarea that is open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._apart(tag)
        if tag == "form":
            self._form = Form(given.get("action", ""), given)
            self._document.forms.append(self._form)
        elif tag == "a" and "href" in given:
            self._document.links.append(given["href"])
        elif tag == "meta" and given.get("http-equiv") == "refresh":
            self._document.refreshes = given["content"]
        elif self._form is not None:
            self._field(self._form, tag, given)
        if tag == "title" or given.get("role") in ("alert", "status"):
            self._open.append((tag, given.get("role", "title")))

    def _field(self, form: Form, tag: str, given: dict[str, str]) -> None:
        name = given.get("name", "")
        if tag == "option" and self._choice is not None:
            if "selected" in given or self._choice not in form.fields:
                form.fields[self._choice] = given.get("value", "")
        elif name and tag in ("input", "button", "select", "textarea"):
            form.names.add(name)
            kind = given.get("type", "text")
            if tag in ("select", "textarea"):
                self._choice = name
            if tag == "button":
                form.buttons[name] = given.get("value", "")
            elif tag == "textarea":
                form.fields[name] = ""
            elif tag == "input" and kind not in _WITHOUT_VALUE and (kind not in _BOXES or "checked" in given):
                form.fields[name] = given.get("value", "on" if kind in _BOXES else "")

    def handle_endtag(self, tag: str) -> None:
        self._apart(tag)
        if tag == "form":
            self._form = None
        elif tag in ("select", "textarea"):
            self._choice = None
        if self._open and self._open[-1][0] == tag:
            self._open.pop()

    def _apart(self, tag: str) -> None:
        if tag not in _WITHIN_A_LINE:
            self._document.text += " "

    def handle_data(self, data: str) -> None:
        if self._open:
            purpose = self._open[-1][1]
            if purpose == "title":
                self._document.title += data
                return
            self._document.texts[purpose] = f"{self._document.texts.get(purpose, '')}{data}"
        self._document.text += data
