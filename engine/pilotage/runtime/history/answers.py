"""What `pilotage.api` says of the history, read from its file; called in a thread."""

from __future__ import annotations

from typing import Any, Final

from pilotage import api
from pilotage.api import ApiError
from pilotage.runtime.history.file import PointRow, bytes_on_disk
from pilotage.runtime.history.reader import HistoryReader, HistoryValue, UnknownPointError
from pilotage.runtime.history.rollups import LEVELS, Bucket

MOST_VALUES: Final = 20_000
MOST_SPAN_S: Final = 400 * 86_400.0


def history_of(reader: HistoryReader, ask: api.HistoryOf, now: float) -> api.PointHistory:
    """Return values or roll-ups of a point.

    Raises:
        ApiError: The point was never recorded, or the question makes no sense.
    """
    until = now if ask.until is None else ask.until
    since = until - 86_400.0 if ask.since is None else ask.since
    if not since < until:
        raise ApiError("bad-question", "since is not before until", "exchange the two")
    if ask.every and ask.every not in LEVELS:
        raise ApiError(
            "bad-question",
            f'there are no roll-ups of "{ask.every}"',
            f"ask for {', '.join(LEVELS)}",
        )
    if not ask.every and until - since > MOST_SPAN_S:
        raise ApiError(
            "bad-question", "samples of more than 400 days at once", 'ask for roll-ups: every "1d"'
        )
    try:
        point = reader.point(ask.point)
        if ask.every:
            buckets = reader.rollups(ask.point, since, until, ask.every)[:MOST_VALUES]
            return api.PointHistory(
                **_head(point, since, until), rollups=[_bucket(b) for b in buckets]
            )
        most = max(2, min(ask.most, MOST_VALUES))
        values = reader.values(ask.point, since, until, most)
    except UnknownPointError as error:
        raise ApiError(
            "never-recorded",
            str(error),
            "`pilotage history status` says what is recorded; history.points in config.yaml decides",
        ) from error
    return api.PointHistory(**_head(point, since, until), values=[_value(v) for v in values])


def value_at(reader: HistoryReader, ask: api.ValueAt) -> api.PastValue:
    """Return the value that held at a time.

    Raises:
        ApiError: The point was never recorded.
    """
    try:
        found = reader.value_at(ask.point, ask.time)
    except UnknownPointError as error:
        raise ApiError("never-recorded", str(error), "see `pilotage history status`") from error
    return api.PastValue(time=ask.time) if found is None else _value(found)


def history_status(reader: HistoryReader, live: dict[str, Any] | None) -> api.HistoryStatus:
    """Return what is in the file and how much room it takes; `live` is the recorder's own."""
    with reader.connected() as connection:
        (blocks, samples) = connection.execute(
            "SELECT count(*), coalesce(sum(count), 0) FROM blocks"
        ).fetchone()
        (segments,) = connection.execute("SELECT count(*) FROM segments").fetchone()
        (rolls,) = connection.execute("SELECT count(*) FROM rolls").fetchone()
        (oldest,) = connection.execute("SELECT min(hour) * 3600.0 FROM blocks").fetchone()
        groups = connection.execute(
            "SELECT p.kind, substr(p.id, instr(p.id, '.') + 1), l.class, p.policy, l.keep_s, p.purpose, p.basis, count(*)"
            " FROM points p JOIN limits l ON l.number = p.keep GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2"
        ).fetchall()
        proofs = connection.execute(
            "SELECT what, class, limit_s, older, oldest, max(time) FROM proofs WHERE what <> 'erased'"
            " GROUP BY what, class, limit_s ORDER BY class, what"
        ).fetchall()
        gaps = connection.execute(
            "SELECT since, until, why FROM gaps ORDER BY since DESC LIMIT 10"
        ).fetchall()
    return api.HistoryStatus(
        file=str(reader.path),
        bytes=bytes_on_disk(reader.path),
        blocks=blocks,
        samples=samples,
        segments=segments,
        rollups=rolls,
        oldest=oldest,
        written=reader.alive(),
        readings=(live or {}).get("readings"),
        recorded=(live or {}).get("samples"),
        groups=[api.RecordedGroup(*row) for row in groups],
        proofs=[api.RetentionProof(*row) for row in proofs],
        gaps=[api.HistoryGap(*row) for row in gaps],
    )


def _head(point: PointRow, since: float, until: float) -> dict[str, Any]:
    return {
        "point": point.id,
        "type": point.base,
        "unit": point.unit,
        "privacy": point.privacy,
        "policy": point.policy,
        "since": since,
        "until": until,
    }


def _value(value: HistoryValue) -> api.PastValue:
    return api.PastValue(
        time=value.time, value=value.value, quality=value.quality.value, still=value.is_still
    )


def _bucket(bucket: Bucket) -> api.Rollup:
    return api.Rollup(
        start=bucket.start,
        width_s=bucket.width_s,
        known=round(bucket.known, 6),
        count=bucket.count,
        mean=bucket.mean,
        low=bucket.low,
        high=bucket.high,
        shares={word: round(s / bucket.width_s, 6) for word, s in bucket.spent.items()},
    )
