"""What is wrong with the engine, and its mend, in the reader's language.

A finding's sentence is English, with paths and the system's own errors in it, as it stands in the log. Here each code has a title and a
mend; the sentence stays beside them, since it has the details.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pilotage_web.texts import Words, mark


@dataclass(frozen=True, slots=True)
class Said:
    """A finding as a page shows it; `detail` is the engine's own sentence where `title` is not that."""

    title: str
    mend: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Kind:
    """Findings that are said alike.

    Attributes:
        code: Of the finding; `*` stands for the name of what it is about.
        title: What is wrong; `%(name)s` is that name.
        mend: What to do.
        sign: Stands in the engine's sentence, where a code has several.
    """

    code: str
    title: str
    mend: str
    sign: str = ""


_ROOM: Final = mark("Free space on the disk, or give the file back its rights.")
_DISK: Final = mark("Look after the disk.")
_RESTART: Final = mark("Restart the engine when the moment is quiet.")
_NOTHING: Final = mark("Nothing is to be done.")
_TALK: Final = mark("See that the other side runs and can be reached; it is tried again by itself.")

KINDS: Final = (
    # the record
    _Kind("journal.disk", mark("The journal cannot be written: orders of people and new rules are refused."), _ROOM),
    _Kind("journal.ballast", mark("The disk of the journal is full, or nearly."), mark("Free space on the disk; the engine holds some back again by itself.")),
    _Kind("journal.wal", mark("A program that reads the journal keeps it from being emptied."), mark("End the program that has the file open beside the engine.")),
    _Kind("journal.gone", mark("The journal's file was moved, replaced or deleted: what is written now is lost."), mark("Stop the engine, put the file back with its -wal beside it, and start again.")),
    _Kind("journal.size", mark("The journal has reached its largest size: the oldest decisions go first."), mark("Raise storage.journal.most, or keep less.")),
    _Kind("journal.sqlite", mark("The machine's SQLite is not one to trust a journal to."), mark("Install a newer one, then restart the engine.")),
    _Kind("journal.fenced", mark("Another engine writes to this journal: this one sends nothing any more."), mark("Stop this engine, and start one only.")),
    _Kind("journal.input", mark("Inputs could not be recorded: a replay will differ."), mark("Report this with the engine's log.")),
    _Kind("snapshot.failed", mark("The state of the engine could not be kept: a restart takes longer."), mark("See that the disk has room and that the engine may write there.")),
    _Kind("snapshot.damaged.*", mark("A kept state of the engine is damaged, and was passed over."), _DISK),
    _Kind("recovery.anew", mark("The engine began anew: overrides, plans, alarms and stories of before are not known."), mark("Order again what stood by hand, or put a backup back (`pilotage restore`).")),
    _Kind("recovery.carried", mark("The engine was made anew: values, overrides, plans and alarms go on, stories that were under way have ended."), _NOTHING),
    _Kind("recovery.differs", mark("Decisions that were run again came out otherwise than they were recorded."), mark("Keep a copy of the storage folder (`pilotage backup`) and report it.")),
    # audit and history
    _Kind("audit.disk", mark("The audit cannot be written: decisions wait in the journal, sign-ins and changes of rules are held back."), _ROOM),
    _Kind("audit.chain", mark("The chain of the audit is broken."), mark("Run `pilotage audit verify`, keep a copy of the file, and find out who changed it.")),
    _Kind("audit.anchor", mark("An anchor of the audit cannot be written."), mark("See that the disk has room and that the engine may write there.")),
    _Kind("audit.anchor_folder", mark("The copies of the audit's anchors hold other ones: one of the two was changed."), mark("Run `pilotage audit verify`, keep a copy of the file, and find out who changed it."), "holds other anchors"),
    _Kind("audit.anchor_folder", mark("The anchors of the audit cannot be copied to their second folder."), mark("Mount the folder, or give the engine's user the right to write there.")),
    _Kind("audit.process", mark("The process that writes the audit ends again and again, or cannot open its file."), mark("See the engine's log for what it said last; restart the engine when it stays so, and report it."), "does not go on"),
    _Kind("audit.process", mark("The process that writes the audit has ended, and is started again; nothing is missing."), mark("See the engine's log for what it said last; restart the engine when it stays so, and report it.")),
    _Kind("history.disk", mark("The history cannot be written: values are kept in memory for a while, then dropped."), _ROOM),
    _Kind("history.fault", mark("The history failed on something, and goes on without it."), mark("Report this with the engine's log.")),
    _Kind("history.damaged", mark("A part of the history cannot be read, and is left out."), _DISK),
    _Kind("history.retention", mark("Values are kept longer than they may be."), mark("See the engine's log for trouble with the history's file.")),
    _Kind("history.unusable", mark("No history is recorded: its file cannot be used."), mark("Mend the file as it is said here, then restart the engine.")),
    # the engine itself
    _Kind("engine.memory", mark("The engine uses more memory than it should."), mark("See what grows among the figures below; raise engine.memory when the city has grown.")),
    _Kind("engine.files", mark("The engine has opened nearly all the files and connections that it may."), mark("Look for a connection whose failures grow, or raise LimitNOFILE of its unit.")),
    _Kind("engine.degraded", mark("The engine failed on something: some inputs may have had no effect."), mark("Report this with the engine's log, and restart the engine when it is quiet.")),
    _Kind("engine.was_stuck", mark("The engine stood still, and was started again."), mark("Report it; a plugin that holds the engine can run in a process of its own (isolate: true).")),
    _Kind("thread.*", mark("The part that writes the %(name)s has died: what it should write is missing from now on."), _RESTART),
    _Kind("clock.ahead", mark("The system's clock went back; the engine goes on counting, and is ahead."), mark("Restart the engine when the system's time is right and the moment is quiet.")),
    _Kind("clock.behind", mark("The system's time is before the last record of the engine: it was wrong then, or it is wrong now."), mark("Set the system's clock, then restart the engine.")),
    _Kind("clock.unkept", mark("No time server keeps the system's time: schedules and records are as right as it is."), mark("Start a time service (systemd-timesyncd or chrony), and see that it reaches a server.")),
    # rules and settings
    _Kind("promise.*", mark("The rule %(name)s answers more slowly than it promises."), mark("Look at what keeps the engine or its disk busy, or promise less.")),
    _Kind("reload.refused", mark("New rules were refused; those from before go on."), mark("Run `pilotage check`, mend what it shows, then `pilotage reload`.")),
    _Kind("reload.inventory", mark("The inventory has changed; the engine keeps the one that it was started with."), _RESTART),
    _Kind("metrics.closed", mark("Nobody can read the metrics."), mark("See metrics.listen and its certificate, then restart the engine.")),
    _Kind("traces.missing", mark("Nothing is traced: a library is missing."), mark("Install pilotage[otel], or delete traces.endpoint; then restart the engine.")),
    _Kind("web.down", mark("The pages ended by themselves, and are started again."), mark("See the engine's log for what they said.")),
    # what is connected
    _Kind("connection.*.targets", mark("A device of the connection %(name)s is bound by another one, too, which commands it."), mark("Bind it in one of them only, in config.yaml.")),
    _Kind("connection.*", mark("The connection %(name)s is down."), _TALK, " is down: "),
    _Kind("connection.*", mark("The connection %(name)s is out of service: its points are unknown."), mark("See the log, mend or exchange the plugin, then `pilotage reload` tries it again."), " is disabled: "),
    _Kind("connection.*", mark("The connection %(name)s cannot hear some of its points."), mark("See the devices behind it; they come back by themselves."), " cannot hear some "),
    _Kind("connection.*", mark("The connection %(name)s was not opened."), mark("See its settings in config.yaml, then `pilotage reload`.")),
    _Kind("flood.*", mark("The connection %(name)s is flooded: of each point the newest value is kept."), mark("Look after the device, or raise max_readings of the connection.")),
    _Kind("plugin.*", mark("The plugin %(name)s was left out."), mark("See `pilotage plugins`, then restart the engine.")),
    _Kind("startup.*", mark("Something that nobody approved ran when the engine started."), mark("See `pilotage plugins verify`.")),
)  # fmt: skip


def finding_in_words(words: Words, code: str, text: str, mend: str) -> Said:
    """Return a finding as a page shows it: in English what the engine says, else the words here with that beside them."""
    if words.language == "en":
        return Said(text, mend)
    for kind in KINDS:
        name = _name_in(kind.code, code)
        if name is not None and kind.sign in text:
            title = words.say(kind.title, name=name) if name else words.say(kind.title)
            return Said(title, words.say(kind.mend), text)
    return Said(text, mend)


def _name_in(pattern: str, code: str) -> str | None:
    """Return the name that a code has where its pattern has `*`, nothing for a pattern without one, None when it is another code."""
    before, star, after = pattern.partition("*")
    if not star:
        return "" if code == pattern else None
    is_it = code.startswith(before) and code.endswith(after) and len(code) > len(before + after)
    return code[len(before) : len(code) - len(after)] if is_it else None
