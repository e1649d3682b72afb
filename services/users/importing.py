"""Takes accounts over from another system, one JSON object a line (docs/import.md)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, Final

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StrictBool, StrictStr, ValidationError
from sqlalchemy import ARRAY, Row, Text, any_, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users import accounts
from services.users.accounts import valid_email
from services.users.audit import creations
from services.users.problems import EmailNotValid, LastAdministrator, UserAlreadyExists, UsernameNotOwn
from services.users.schemas import Email, Groups, PersonName, Username
from services.users.tables import accounts as table
from services.users.tables import outbox
from services.users.usernames import refuse_foreign
from services.users.writes import operating
from shared.database.pool import Database
from shared.messaging.outbox import add
from shared.names import canonical
from shared.passwords.foreign import is_own, kind_of, read, refuse_unusable
from shared.sealing import Sealer

BATCH: Final = 500

# Nothing matches it: the owner asks for a new password as if this one were forgotten.
NO_PASSWORD: Final = "!"  # noqa: S105 - the absence of one

# What an upsert leaves alone: an owner may have logged in since, or have chosen another password.
_OF_NEW_ACCOUNTS: Final = frozenset({"password_hash", "email_verified", "created_at"})


def _usable(password_hash: str) -> str:
    refuse_unusable(password_hash)
    return password_hash


class ImportedAccount(BaseModel):
    """A line. The operator answers for it: no password rule is asked, and no mail is sent."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    email: Email
    username: Username | None = None
    name: PersonName
    lastname: PersonName
    password_hash: Annotated[StrictStr, Field(max_length=1024), AfterValidator(_usable)] | None = None
    is_2fa: StrictBool = False
    is_admin: StrictBool = False
    is_active: StrictBool = True
    groups: Groups = []
    email_verified: StrictBool = False
    created_at: AwareDatetime | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """`line` counts from 1. `said` holds no value of a secret field."""

    line: int
    said: str


@dataclass(slots=True)
class Result:
    made: int = 0
    changed: int = 0
    there: int = 0  # already, and left alone
    refused: list[Refused] = field(default_factory=list)  # of the latest batch
    refusals: int = 0
    read: int = 0  # bytes
    slowest: float = 0.0  # seconds of a comparison with one of the hashes, on this machine


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    size: int
    account: ImportedAccount | None
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """`upsert`: an account that is there takes the other fields of its line. `dry_run`: nothing is written."""

    database: Database
    sealer: Sealer
    reserved_domains: bool
    upsert: bool = False
    dry_run: bool = False
    _measured: set[str] = field(default_factory=set, init=False)

    async def run(self, lines: Iterable[bytes]) -> AsyncIterator[Result]:
        """Yields the result so far after each batch, which is one transaction: run it again after a crash."""
        result = Result()
        parsed = (self._read(number, line) for number, line in enumerate(lines, 1))
        while batch := list(islice(parsed, BATCH)):
            result.refused = []
            await self._take(batch, result)
            result.slowest = max(result.slowest, self._slowest(batch))
            result.refusals += len(result.refused)
            result.read += sum(line.size for line in batch)
            yield result

    def _read(self, number: int, line: bytes) -> Line:
        if not line.strip():
            return Line(number, len(line), None)
        try:
            given = ImportedAccount.model_validate(json.loads(line))
            email = valid_email(given.email, reserved=self.reserved_domains)
            refuse_foreign(given.username or email, email=email)
        except ValidationError as error:
            return Line(number, len(line), None, _first(error))
        except EmailNotValid:
            return Line(number, len(line), None, "email: is no address that mail can be sent to")
        except UsernameNotOwn:
            return Line(number, len(line), None, "username: looks like an address, and is not that of the account")
        except (ValueError, RecursionError):
            return Line(number, len(line), None, "is no JSON object in UTF-8")
        return Line(number, len(line), given.model_copy(update={"email": email, "username": given.username or email}))

    def _slowest(self, batch: Sequence[Line]) -> float:
        """Of those that are of a kind and cost not seen before."""
        kinds = {
            kind_of(line.account.password_hash): line.account.password_hash
            for line in batch
            if line.account and line.account.password_hash and not is_own(line.account.password_hash)
        }
        new = {kind: stored for kind, stored in kinds.items() if kind not in self._measured}
        self._measured.update(new)
        return max((read(stored).seconds() for stored in new.values()), default=0.0)

    async def _take(self, batch: Sequence[Line], result: Result) -> None:
        result.refused += [Refused(line.number, line.said) for line in batch if line.said]
        wanted = list(self._once(batch, result))
        async with self.database.transaction() as connection:
            there = await _existing(connection, wanted)
            new = [account for line, account in wanted if not _taken(account, there)]
            made = await self._make(connection, new)
        result.made += len(new) if self.dry_run else len(made)
        known = {row.email_key: row for row in there}
        for line, account in wanted:
            row = known.get(canonical(account.email))
            if row is not None and row.username_key == canonical(str(account.username)):
                await self._again(line, account, row, result)
            elif _taken(account, there):
                result.refused.append(Refused(line.number, "another account has this email or username"))
        # Somebody registered meanwhile; the next run says which.
        result.there += 0 if self.dry_run else len(new) - len(made)

    def _once(self, batch: Sequence[Line], result: Result) -> Iterator[tuple[Line, ImportedAccount]]:
        """A file may name somebody twice."""
        seen: set[tuple[str, str]] = set()
        for line in batch:
            if line.account is None:
                continue
            keys = {("email", canonical(line.account.email)), ("username", canonical(str(line.account.username)))}
            if keys & seen:
                result.refused.append(Refused(line.number, "a line before has the same email or username"))
            else:
                yield line, line.account
            seen |= keys

    async def _make(self, connection: AsyncConnection, new: Sequence[ImportedAccount]) -> Sequence[Row[Any]]:
        if not new or self.dry_run:
            return []
        values = [_values(account) for account in new]
        rows = await accounts.create_several(connection, self.sealer, values)
        await add(connection, outbox, *creations(rows))
        return rows

    async def _again(self, line: Line, account: ImportedAccount, row: Row[Any], result: Result) -> None:
        given = account.model_dump(exclude_unset=True, exclude=set(_OF_NEW_ACCOUNTS)) if self.upsert else {}
        changes = {name: value for name, value in given.items() if getattr(row, name) != value}
        if not changes:
            result.there += 1
            return
        if not self.dry_run:
            try:
                async with operating(self.database, self.sealer, row.id, also_unproved=False) as write:
                    await write.change(changes)
            except (LastAdministrator, UserAlreadyExists) as problem:
                result.refused.append(Refused(line.number, problem.detail))
                return
        result.changed += 1


async def _existing(connection: AsyncConnection, wanted: Sequence[tuple[Line, ImportedAccount]]) -> Sequence[Row[Any]]:
    emails, usernames = (
        literal([canonical(str(getattr(account, name))) for _, account in wanted], ARRAY(Text))
        for name in ("email", "username")
    )
    # Arrays: as lists of parameters, each number of them would be a statement of its own.
    query = select(table).where(or_(table.c.email_key == any_(emails), table.c.username_key == any_(usernames)))
    return (await connection.execute(query)).all()


def _taken(account: ImportedAccount, there: Sequence[Row[Any]]) -> bool:
    keys = canonical(account.email), canonical(str(account.username))
    return any(row.email_key == keys[0] or row.username_key == keys[1] for row in there)


def _values(account: ImportedAccount) -> dict[str, Any]:
    now = datetime.now(UTC)
    values = account.model_dump(exclude={"email_verified", "created_at"})
    return values | {
        "password_hash": account.password_hash or NO_PASSWORD,
        "email_verified_at": now if account.email_verified else None,
        "created_at": account.created_at or now,
    }


def _first(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_context=False, include_url=False)[0]
    where = ".".join(map(str, first["loc"])) or "the line"
    return f"{where}: {first['msg'].removeprefix('Value error, ')}"


def exported(row: Row[Any], *, with_hashes: bool) -> str:
    """A line that `Import` reads, but for an account without a password."""
    line = {
        **{name: getattr(row, name) for name in ("email", "username", "name", "lastname", "is_2fa", "is_admin")},
        "is_active": row.is_active,
        "groups": list(row.groups),
        "email_verified": row.email_verified_at is not None,
        "created_at": row.created_at.isoformat(),
    }
    if with_hashes and row.password_hash != NO_PASSWORD:
        line["password_hash"] = row.password_hash
    return json.dumps(line, ensure_ascii=False)
