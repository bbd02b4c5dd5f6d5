"""What the engine stands on: disk, files, memory and plugins, for the page that says whether it is well."""

from __future__ import annotations

import msgspec

from pilotage.api.question import Question

__all__ = ["CertificateShown", "GetVitals", "PluginShown", "Vitals"]


class PluginShown(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin and what became of it: loaded, disabled, broken, refused or isolated; `why` says what is wrong."""

    name: str
    version: str = ""
    state: str = ""
    why: str = ""


class CertificateShown(msgspec.Struct, frozen=True, kw_only=True):
    """The name of a certificate's file that the settings name, and until when it holds, seconds since 1970."""

    file: str
    ends: float


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes, ages in seconds; None is what is not there, or cannot be known on this machine.

    `wall` is the time of the system's clock, seconds since 1970, `oldest_decision` the time of the oldest one that is kept.
    """

    wall: float
    disk_free: int
    disk_total: int
    journal_bytes: int
    audit_bytes: int
    memory_bytes: int | None = None
    oldest_decision: float | None = None
    snapshot_age_s: float | None = None
    backup_age_s: float | None = None
    plugins: list[PluginShown] = []
    certificates: list[CertificateShown] = []


class GetVitals(Question[Vitals], tag="vitals", frozen=True):
    """What does the engine stand on?"""


Questions = GetVitals
