"""What `check`, `test`, `fmt` and `schema` share: which rule files are meant, which site they belong to, and all of it read.

Files that are named stand in the focus. When they belong to a site, its other rules are read with them, so that
`plan("snow")` of the file beside is known.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pilotage.core.schedule import SiteTime
    from pilotage.language.program import Program
    from pilotage.model.diagnostics import Finding
    from pilotage.model.entities import EntitySpec
    from pilotage.runtime.config import Settings
    from pilotage.runtime.plugins import Catalogue

CONFIG_NAME: Final = "config.yaml"


class UsageError(Exception):
    """What was typed means nothing: exit 2."""

    def __init__(self, text: str, mend: str = "") -> None:
        super().__init__(text)
        self.mend = mend


@dataclass(slots=True)
class RuleSet:
    """Rules as they were found and read.

    Attributes:
        texts: Text by file name, as names are shown.
        focus: The files that were asked for.
        files: Where each of them is.
        settings: Of the site, None without one.
        entities: Of the site's inventory, None when there is no site or its inventory has mistakes.
        findings: Everything about settings, inventory and rules, in order.
        sources: The text of every file that a finding may name.
    """

    texts: dict[str, str]
    focus: tuple[str, ...]
    files: dict[str, Path]
    program: Program
    catalogue: Catalogue
    site: SiteTime
    settings: Settings | None = None
    entities: tuple[EntitySpec, ...] | None = None
    findings: list[Finding] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def has_errors(self) -> bool:
        """True when the rules must not be loaded."""
        return any(finding.is_error for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which files were meant.

    Attributes:
        config: The site's configuration, None without one.
        named: The rule files that were named, in order; empty for all of the site's.
    """

    config: Path | None
    named: tuple[Path, ...] = ()


def add_paths(parser: argparse.ArgumentParser, what: str = "rule files and folders") -> None:
    """Add the paths and `--config`."""
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="PATH",
        help=f"{what} (default: the rules of the configuration)",
    )
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        metavar="FILE",
        help="the site's configuration (default: the config.yaml beside or above the paths)",
    )


def select(paths: Sequence[Path], config: Path | None) -> Selection:
    """Return which files are meant.

    Raises:
        UsageError: There is no such file, or nothing was named and there is no configuration.
    """
    for path in (*paths, *([config] if config is not None else [])):
        if not path.exists():
            raise UsageError(f"there is no file {path}", "look at the spelling of the path")
    if config is not None and config.is_dir():
        config = config / CONFIG_NAME
    named: list[Path] = []
    for path in paths:
        site = _site_of(path)
        if site is not None:
            config = config or site
        else:
            named.extend(_rule_files(path))
    if config is None:
        config = _config_near(paths[0] if paths else Path(CONFIG_NAME))
    if config is None and not paths:
        raise UsageError(
            f"there is no {CONFIG_NAME} here, and no rule file was named",
            "name files or folders, or the configuration with --config",
        )
    return Selection(config, tuple(dict.fromkeys(named)))


def read_rule_set(selection: Selection) -> RuleSet:
    """Return the rules that were meant, with every finding; never raises for what a file says.

    Raises:
        RuleError: The configuration itself cannot be read.
    """
    from pilotage.core.schedule import SiteTime
    from pilotage.language.rules import load_rules, readable
    from pilotage.runtime.isolation.factory import load_catalogue
    from pilotage.runtime.plugins import load_plugins
    from pilotage.runtime.rule_folders import read_files, rule_files

    settings, findings, sources = _settings(selection.config)
    catalogue = load_plugins() if settings is None else load_catalogue(settings)
    files = _all_files(selection, settings, catalogue)
    contents, unread = read_files(files)
    unread = [*(f for path in _folders(selection, settings) for f in rule_files(path)[1]), *unread]
    program, found = load_rules(contents, catalogue.kinds, catalogue.functions, catalogue.calls)
    texts = {name: readable(content) for name, content in contents.items()}
    focus = _focus(selection, files, settings)
    rules = RuleSet(texts, focus, files, program, catalogue, SiteTime(), settings)
    if settings is not None:
        rules.site = site_time(settings)
        findings += _site_findings(rules, settings, sources, whole=not selection.named)
    rules.findings = [*findings, *unread, *(f for f in found if f.at.file in focus or f.is_error)]
    rules.sources = {**sources, **texts}
    return rules


def own_files(selection: Selection) -> dict[str, Path]:
    """Return the files that were named, or all of the site's own, by their shown names.

    Raises:
        RuleError: The configuration cannot be read.
    """
    if selection.named:
        return _by_name(selection.named)
    settings, _, _ = _settings(selection.config)
    return {} if settings is None else _by_name(_own(settings))


def site_time(settings: Settings) -> SiteTime:
    """Return where and when the site is."""
    from pilotage.core.schedule import SiteTime

    site = settings.site
    known: dict[str, Any] = {"time_zone": site.time_zone}
    if site.country:
        known |= {"country": site.country, "subdivision": site.subdivision or None}
    if site.position is not None:
        known["position"] = site.position
    return SiteTime(**known)


def shown(path: Path) -> str:
    """Return a path as it is shown: from here when it lies below, else as it was written."""
    try:
        place = path.resolve() if path.exists() else path.parent.resolve() / path.name
        return str(place.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


# ── which files ──────────────────────────────────────────────────────────────────────────────


def _site_of(path: Path) -> Path | None:
    """Return the configuration that a path is, or the one of the city's folder that it is."""
    if path.is_file():
        return path if path.name == CONFIG_NAME else None
    return path / CONFIG_NAME if (path / CONFIG_NAME).is_file() else None


def _config_near(path: Path) -> Path | None:
    """Return the configuration beside or above a path, not above the folder where we stand."""
    here = Path.cwd()
    start = path.absolute() if path.is_dir() else path.absolute().parent
    folders = [start, *start.parents]
    last = folders.index(here) + 1 if here in folders else 2
    found = (folder / CONFIG_NAME for folder in folders[:last])
    config = next((each for each in found if each.is_file()), None)
    return None if config is None else Path(shown(config))


def _rule_files(path: Path) -> list[Path]:
    from pilotage.runtime.rule_folders import rule_files

    return rule_files(path)[0]


def _folders(selection: Selection, settings: Settings | None) -> Sequence[Path]:
    """Return the folders that were asked for: none when files were named."""
    return () if selection.named or settings is None else settings.rules


def _all_files(
    selection: Selection, settings: Settings | None, catalogue: Catalogue
) -> dict[str, Path]:
    """Return the files to read together by their shown names: those named, and the site's when they are among them."""
    own: list[Path] = []
    packs: list[Path] = []
    if settings is not None:
        own = _own(settings)
        packs = list(catalogue.rule_files(settings.pack_names(catalogue.packs)))
    named = {path.resolve() for path in selection.named}
    belongs = not named or any(path.resolve() in named for path in (*own, *packs))
    wanted = [*own, *packs, *selection.named] if belongs else [*selection.named, *packs]
    return _by_name(wanted)


def _own(settings: Settings) -> list[Path]:
    return [file for path in settings.rules for file in _rule_files(path)]


def _focus(
    selection: Selection, files: dict[str, Path], settings: Settings | None
) -> tuple[str, ...]:
    """Return the files that were asked for: those named, else the site's own, without the ready packs."""
    asked = selection.named or (_own(settings) if settings is not None else ())
    places = {path.resolve() for path in asked}
    return tuple(name for name, path in files.items() if path.resolve() in places)


def _by_name(paths: Iterable[Path]) -> dict[str, Path]:
    found: dict[Path, Path] = {}
    for path in paths:
        found.setdefault(path.resolve(), path)
    return {shown(path): path for path in found.values()}


# ── the site ─────────────────────────────────────────────────────────────────────────────────


def _settings(config: Path | None) -> tuple[Settings | None, list[Finding], dict[str, str]]:
    if config is None:
        return None, [], {}
    from pilotage.model.diagnostics import RuleError
    from pilotage.runtime.config import read_settings

    read = read_settings(config, os.environ, secrets=False)
    if read.settings is None:
        raise RuleError(read.findings, read.sources)
    return read.settings, read.findings, dict(read.sources)


def _site_findings(
    rules: RuleSet, settings: Settings, sources: dict[str, str], *, whole: bool
) -> list[Finding]:
    """Return what is wrong with names, connections and inventory; warnings only when the whole site was asked for."""
    from pilotage.runtime.config import check_connections, check_names
    from pilotage.runtime.history.settings import check_history
    from pilotage.runtime.inventory import read_inventory
    from pilotage.runtime.post_settings import check_areas
    from pilotage.runtime.workshop import PlannedSite

    catalogue = rules.catalogue
    inventory = read_inventory(settings.inventory, settings.folder, catalogue.kinds)
    sources.update(inventory.sources)
    plugins = (report.name for report in catalogue.plugins)
    found = [*check_names(settings, plugins, catalogue.packs), *inventory.findings]
    if not inventory.has_errors:
        rules.entities = inventory.entities
        found += check_history(settings.history, catalogue.kinds, inventory.entities)
        found += check_areas(settings.posts, inventory.entities)
        view = PlannedSite(settings, catalogue, inventory.entities)
        found += check_connections(settings, catalogue.adapters, view)
    return sorted((f for f in found if whole or f.is_error), key=lambda f: f.at)
