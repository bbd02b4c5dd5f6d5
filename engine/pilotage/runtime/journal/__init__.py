"""The journal of one machine: inputs, decisions and rule switches in one SQLite file, durable before anything is sent.

`schema` opens the file and brings it to this version, `writer` is the one thread that writes, `reader` asks questions
beside it.
"""

from pilotage.runtime.journal.reader import JournalReader
from pilotage.runtime.journal.schema import SCHEMA_VERSION, check_sqlite, connect, sqlite
from pilotage.runtime.journal.writer import SqliteJournal

__all__ = ["SCHEMA_VERSION", "JournalReader", "SqliteJournal", "check_sqlite", "connect", "sqlite"]
