"""The logs beside the audit and the history: one that grew while somebody read is cut back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pilotage.runtime.audit.store import _open as open_audit
from pilotage.runtime.history.file import open_history
from pilotage.runtime.journal import sqlite
from pilotage.runtime.journal.schema import SMALL_WAL_LIMIT


@pytest.mark.parametrize("opened", [open_audit, open_history])
def test_cut_back(opened: Callable[[Path], Any], tmp_path: Path) -> None:
    """A backup or a verification holds the log while it reads; the room that it took meanwhile is given back."""
    file, log = tmp_path / "some.db", tmp_path / "some.db-wal"
    with closing(opened(file)) as writer, closing(sqlite.connect(str(file))) as reader:
        writer.execute("CREATE TABLE some(x)")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM some").fetchone()
        for _ in range(12):
            writer.execute("INSERT INTO some VALUES (zeroblob(1000000))")
        grown = log.stat().st_size
        reader.execute("COMMIT")
        for _ in range(3):
            writer.execute("INSERT INTO some VALUES (zeroblob(1000000))")
        assert grown > 2 * SMALL_WAL_LIMIT
        assert log.stat().st_size <= SMALL_WAL_LIMIT
