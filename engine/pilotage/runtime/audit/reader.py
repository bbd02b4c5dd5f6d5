"""Finds rows of an audit, with what they tell of people, while an engine writes it and while none does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pilotage.runtime.audit.entries import FIELDS, from_json
from pilotage.runtime.audit.store import reading

PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows are wanted; what is empty does not choose.

    Attributes:
        entity: An entity (`seg-1`) with all its points, or a point, plan or alarm itself.
        rule: A rule, or `plan:NAME`.
        since, until: Seconds since 1970; from `since` on, before `until`.
        last: Only so many, the newest; the oldest when `after` is given and `before` is not.
        kinds: Several kinds at once.
        post: The post at which somebody acted.
        before, after: Numbers of rows: only rows before, or after, that one.
    """

    partition: str = ""
    person: str = ""
    entity: str = ""
    rule: str = ""
    kind: str = ""
    action: str = ""
    since: float | None = None
    until: float | None = None
    last: int | None = None
    kinds: tuple[str, ...] = ()
    post: str = ""
    before: int = 0
    after: int = 0


@dataclass(frozen=True, slots=True)
class Shown:
    """A row as people and programs read it; `people` is empty where nothing was told or it was erased."""

    partition: str
    number: int
    time: float
    kind: str
    action: str
    subject: str
    rule: str
    identity: str
    decision: int
    origin: str
    value: Any
    detail: dict[str, Any]
    people: dict[str, str]
    erased: tuple[str, ...]

    def as_record(self) -> dict[str, Any]:
        """Return the row as plain JSON types."""
        return {name: getattr(self, name) for name in self.__slots__}


class AuditReader:
    """Reads the file; each question opens it for itself."""

    def __init__(self, path: Path) -> None:
        """Name the file.

        Raises:
            LogUnusableError: There is no audit, or it is of a newer version.
        """
        self._path = path
        reading(path).close()

    def rows(self, wanted: Wanted | None = None) -> Iterator[Shown]:
        """Yield the rows that are wanted, oldest first."""
        ask = wanted or Wanted()
        where, values = _where(ask)
        connection = reading(self._path)
        try:
            for page in _pages(connection, where, values, ask.last, ask.after > 0 == ask.before):
                people = _people(connection, page)
                for row in page:
                    yield _shown(row, people.get((row[0], row[1]), {}))
        finally:
            connection.close()


_ASK: Final = (
    "SELECT partition, number, time, kind, action, subject, rule, identity, decision, origin, value, detail, private"
    " FROM entries e"
)


def _where(wanted: Wanted) -> tuple[str, list[Any]]:
    clauses: list[str] = []
    values: list[Any] = []

    def only(clause: str, *given: Any) -> None:
        clauses.append(clause)
        values.extend(given)

    for column in ("partition", "kind", "action", "rule"):
        if getattr(wanted, column):
            only(f"{column} = ?", getattr(wanted, column))
    if wanted.entity:
        only(
            "(subject = ? OR (subject >= ? AND subject < ?))",
            *(wanted.entity, f"{wanted.entity}.", f"{wanted.entity}/"),
        )
    if wanted.person:
        only(
            "EXISTS (SELECT 1 FROM persons p WHERE p.partition = e.partition AND p.number = e.number"
            " AND p.value = ? COLLATE NOCASE AND p.field IN ('person', 'account', 'about'))",
            wanted.person,
        )
    if wanted.kinds:
        only(f"kind IN ({', '.join('?' * len(wanted.kinds))})", *wanted.kinds)
    if wanted.post:
        only(
            "(CASE detail WHEN '' THEN '' ELSE json_extract(detail, '$.post') END = ?"
            " OR EXISTS (SELECT 1 FROM persons p WHERE p.partition = e.partition AND p.number = e.number"
            " AND p.field = 'post' AND p.value = ?))",
            *(wanted.post, wanted.post),
        )
    if wanted.before:
        only("number < ?", wanted.before)
    if wanted.after:
        only("number > ?", wanted.after)
    if wanted.since is not None:
        only("time >= ?", wanted.since)
    if wanted.until is not None:
        only("time < ?", wanted.until)
    return (" AND ".join(clauses) or "1"), values


def _pages(
    connection: Any, where: str, values: list[Any], last: int | None, oldest: bool
) -> Iterator[list[tuple[Any, ...]]]:
    if oldest and last is not None:
        yield connection.execute(
            f"{_ASK} WHERE {where} ORDER BY partition, number LIMIT ?", (*values, last)
        ).fetchall()
        return
    if last is not None:
        rows = connection.execute(
            f"{_ASK} WHERE {where} ORDER BY time DESC, partition DESC, number DESC LIMIT ?",
            (*values, last),
        ).fetchall()
        rows.reverse()
        yield rows
        return
    cursor = connection.execute(f"{_ASK} WHERE {where} ORDER BY partition, number", values)
    while page := cursor.fetchmany(PAGE):
        yield page


def _people(connection: Any, page: list[tuple[Any, ...]]) -> dict[tuple[str, int], dict[str, str]]:
    found: dict[tuple[str, int], dict[str, str]] = {}
    for row in page:
        if row[12]:
            found[row[0], row[1]] = dict(
                connection.execute(
                    "SELECT field, value FROM persons WHERE partition = ? AND number = ?",
                    (row[0], row[1]),
                ).fetchall()
            )
    return found


def _shown(row: tuple[Any, ...], people: dict[str, str]) -> Shown:
    told = from_json(row[12]) or {}
    parts: Any = (
        *row[:10],
        from_json(row[10]),
        from_json(row[11]) or {},
        {name: people[name] for name in FIELDS if name in people},
        tuple(name for name in FIELDS if name in told and name not in people),
    )
    return Shown(*parts)
