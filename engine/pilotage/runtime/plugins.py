"""Finds the plugins, asks each what it brings, and leaves out the broken ones by name.

The one place that imports plugin packages. Hooks are called one plugin at a time, so that a plugin that raises, or
returns what it should not, takes nothing but itself away.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum
from importlib import import_module
from importlib.metadata import EntryPoint
from importlib.metadata import entry_points as installed_entry_points
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pluggy

from pilotage.adapter import AdapterFactory
from pilotage.hookspecs import INTERFACE, INTERFACE_NAME, SUPPORTED_INTERFACES, Hooks
from pilotage.model.entities import CallSpec, Function, Kind, PointSpec
from pilotage.model.values import Base
from pilotage.runtime.plugin_lock import Lock, LockUnreadableError, read_lock
from pilotage.runtime.plugin_source import declared_interface

GROUP: Final = "pilotage"
_PREFIX: Final = "pilotage_"


class PluginState(Enum):
    """What became of a plugin."""

    LOADED = "loaded"
    DISABLED = "disabled"
    BROKEN = "broken"
    REFUSED = "refused"  # not approved, or built for another interface; it was not even imported
    ISOLATED = "isolated"  # not imported here: it runs in processes of its own


@dataclass(frozen=True, slots=True)
class PluginReport:
    """One plugin and what became of it.

    Attributes:
        name: The name of its entry point; of a plugin that was given directly, its package or class.
        version: Of the distribution that brings it, empty when there is none.
        why: What is wrong with one that was left out.
        brings: How many of each it brings: `{"kinds": 3, "functions": 1}`.
        interface: The interface that it was built for; a plugin that says none was built for the first.
    """

    name: str
    version: str
    state: PluginState
    why: str = ""
    brings: Mapping[str, int] = field(default_factory=dict)
    interface: str = INTERFACE


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything that the loaded plugins bring, by name; it does not change."""

    kinds: Mapping[str, Kind]
    functions: Mapping[str, Function]
    calls: Mapping[str, CallSpec]
    packs: Mapping[str, tuple[Path, ...]]
    adapters: Mapping[str, AdapterFactory]
    plugins: tuple[PluginReport, ...]
    origins: Mapping[str, str]
    """The plugin that brings a kind, function, call or adapter: `{"kind lamp": "lighting"}`."""
    warnings: tuple[str, ...] = ()
    """What else is not as it was approved: what Python runs at its start."""

    @property
    def broken(self) -> tuple[PluginReport, ...]:
        """The plugins that were left out because something is wrong with them, or because they are not approved."""
        left_out = (PluginState.BROKEN, PluginState.REFUSED)
        return tuple(report for report in self.plugins if report.state in left_out)

    def rule_files(self, packs: Iterable[str]) -> tuple[Path, ...]:
        """Return the files of these rule packs; a name that brings none adds nothing."""
        return tuple(path for name in packs for path in self.packs.get(name, ()))


Outside = Mapping[str, tuple[PluginReport, Sequence[tuple[str, AdapterFactory]]]]
"""Plugins that are not imported here: what is said of each, and what opens its adapters elsewhere, by their names."""


def load_plugins(
    extra: Sequence[object] = (),
    *,
    entry_points: bool = True,
    disable: Iterable[str] = (),
    lock: Path | None = None,
    outside: Outside = MappingProxyType({}),
) -> Catalogue:
    """Return what the installed plugins bring, and those given directly; never raises for a plugin's mistake.

    Of two plugins that declare the same name the first keeps it and the second is left out as a whole: the given ones
    come last, the installed ones in order of name.

    Args:
        extra: Modules or objects with hooks, for tests and embedding.
        entry_points: False leaves the installed plugins alone.
        disable: Names of installed plugins that are not even imported.
        lock: File with the installed plugins that may be loaded (`plugins.lock`); without it all may. When it cannot
            be read, none may.
        outside: Installed plugins that are imported in processes of their own.
    """
    loader = _Loader()
    off = frozenset(disable)
    if entry_points:
        installed = installed_plugins()
        approval = Approval(lock, installed)
        loader.warnings.extend(approval.drift)
        for entry in installed:
            if entry.name in outside:
                loader.leave_outside(*outside[entry.name])
            else:
                off_here = entry.name in off
                loader.load_entry(entry, disabled=off_here, refusal=approval.refusal(entry))
    for plugin in extra:
        loader.load(_name_of(plugin), "", lambda plugin=plugin: plugin)  # type: ignore[misc]
    return loader.catalogue()


def import_ahead(factories: Iterable[AdapterFactory]) -> None:
    """Import the `connection` modules of adapters, where they are: in a thread, so that opening them does not hold the loop.

    A protocol library takes from 80 ms to a second. What fails here fails again, and is named, when the connection is opened.
    """
    for package in {type(factory).__module__.rpartition(".")[0] for factory in factories} - {""}:
        with suppress(Exception):
            if find_spec(f"{package}.connection") is not None:
                import_module(f"{package}.connection")


def installed_plugins() -> list[EntryPoint]:
    """Return the entry points of all installed plugins, in order of name; nothing is imported."""
    return sorted(installed_entry_points(group=GROUP), key=lambda entry: entry.name)


class Approval:
    """What a lock says of the installed plugins; without a lock nothing."""

    def __init__(self, file: Path | None, installed: Sequence[EntryPoint]) -> None:
        self._installed = installed
        self._lock: Lock | None = None
        self._why = ""
        self._known: dict[str, str] = {}
        self.drift: list[str] = []
        if file is None:
            return
        try:
            self._lock = read_lock(file)
        except LockUnreadableError as error:
            self._why = str(error)
            return
        self._lock.guard(installed)
        self.drift = [
            f"at the start of Python: {said}; see `pilotage plugins verify`"
            for said in self._lock.drift()
        ]

    def refusal(self, entry: EntryPoint) -> str:
        """Return why a plugin must not be imported, empty when it may."""
        if self._lock is None:
            return self._why
        name = entry.dist.name if entry.dist is not None else entry.name
        if name not in self._known:
            self._known[name] = self._lock.refusal(entry, self._installed)
        return self._known[name]


def load_one(name: str, lock: Path | None = None) -> Catalogue:
    """Return what one installed plugin brings, and import no other; never raises for its mistake."""
    loader, installed = _Loader(), installed_plugins()
    approval = Approval(lock, installed)
    found = [entry for entry in installed if entry.name == name]
    if found:
        loader.load_entry(found[0], disabled=False, refusal=approval.refusal(found[0]))
    else:
        loader.refuse(name, "", "no plugin of that name is installed")
    return loader.catalogue()


class _PluginError(Exception):
    """What is wrong with one plugin, as its report says it."""


class _RefusedError(_PluginError):
    """Why one plugin is not loaded although nothing is wrong with it in itself."""


@dataclass(slots=True)
class _Contribution:
    kinds: list[Kind] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)
    calls: list[CallSpec] = field(default_factory=list)
    rules: list[Path] = field(default_factory=list)
    adapters: list[AdapterFactory] = field(default_factory=list)

    def named(self) -> list[tuple[str, str, Any]]:
        """Return everything that has a name of its own: (what, name, thing)."""
        return [
            *(("kind", kind.name, kind) for kind in self.kinds),
            *(("function", function.name, function) for function in self.functions),
            *(("call", call.name, call) for call in self.calls),
            *(("adapter", factory.name, factory) for factory in self.adapters),
        ]

    def brings(self) -> dict[str, int]:
        """Return how many of each there are, without those that there are none of."""
        counts = {
            "kinds": len(self.kinds),
            "functions": len(self.functions),
            "calls": len(self.calls),
            "rule files": len(self.rules),
            "adapters": len(self.adapters),
        }
        return {what: count for what, count in counts.items() if count}


class _Loader:
    """Collects contributions; nothing of a plugin is kept before all of it was found good."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager("pilotage")
        self._manager.add_hookspecs(Hooks)
        self._reports: list[PluginReport] = []
        self._things: dict[str, dict[str, Any]] = {
            "kind": {}, "function": {}, "call": {}, "adapter": {}
        }  # fmt: skip
        self._packs: dict[str, tuple[Path, ...]] = {}
        self._origins: dict[str, str] = {}
        self.warnings: list[str] = []

    def load_entry(self, entry: EntryPoint, *, disabled: bool, refusal: str = "") -> None:
        """Load an installed plugin, or only note that it is switched off or must not be loaded."""
        version = entry.dist.version if entry.dist is not None else ""
        interface = declared_interface(entry) or INTERFACE
        why = refusal or _interface_refusal(interface)
        state = PluginState.DISABLED if disabled else PluginState.REFUSED
        if disabled or why:
            text = "" if disabled else why
            self._reports.append(
                PluginReport(entry.name, version, state, text, interface=interface)
            )
        else:
            self.load(entry.name, version, entry.load)

    def leave_outside(
        self, report: PluginReport, adapters: Iterable[tuple[str, AdapterFactory]]
    ) -> None:
        """Keep what opens the adapters of a plugin that is not imported here."""
        self._reports.append(report)
        for name, factory in adapters:
            self._things["adapter"][name] = factory
            self._origins[f"adapter {name}"] = report.name

    def refuse(
        self, name: str, version: str, why: str, state: PluginState = PluginState.BROKEN
    ) -> None:
        """Report that a plugin cannot be used."""
        self._reports.append(PluginReport(name, version, state, why))

    def load(self, name: str, version: str, import_it: Callable[[], object]) -> None:
        """Load one plugin and report what became of it."""
        try:
            if any(report.name == name for report in self._reports):
                raise _PluginError(f'another plugin is already called "{name}"; rename one of them')
            plugin = _guarded(import_it, "cannot be imported")
            interface = _interface_of(plugin)
            found = self._ask(name, plugin)
            self._keep(name, found)
        except _PluginError as error:
            refused = isinstance(error, _RefusedError)
            state = PluginState.REFUSED if refused else PluginState.BROKEN
            self.refuse(name, version, str(error), state)
        else:
            brings = found.brings()
            report = PluginReport(name, version, PluginState.LOADED, "", brings, interface)
            self._reports.append(report)

    def catalogue(self) -> Catalogue:
        """Return everything that was kept."""
        return Catalogue(
            kinds=MappingProxyType(self._things["kind"]),
            functions=MappingProxyType(self._things["function"]),
            calls=MappingProxyType(self._things["call"]),
            packs=MappingProxyType(self._packs),
            adapters=MappingProxyType(self._things["adapter"]),
            plugins=tuple(self._reports),
            origins=MappingProxyType(self._origins),
            warnings=tuple(self.warnings),
        )

    def _ask(self, name: str, plugin: object) -> _Contribution:
        _refuse_unmarked(plugin)
        try:
            self._manager.register(plugin, name)
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            if self._manager.has_plugin(name):
                self._manager.unregister(name=name)
            raise _PluginError(_hook_mistake(error)) from error
        found = _Contribution()
        for hook, (attribute, check) in _HOOKS.items():
            for implementation in getattr(self._manager.hook, hook).get_hookimpls():
                if implementation.plugin_name == name:
                    answer = _guarded(implementation.function, f"{hook} raised")
                    getattr(found, attribute).extend(_checked(hook, answer, check))
        return found

    def _keep(self, name: str, found: _Contribution) -> None:
        own: set[str] = set()
        for what, thing, _ in found.named():
            key = f"{what} {thing}"
            if key in own:
                raise _PluginError(f'declares the {what} "{thing}" twice')
            if key in self._origins:
                raise _PluginError(
                    f'declares the {what} "{thing}", and so does the plugin "{self._origins[key]}", which keeps it; '
                    f"rename one of the two, or disable one of the plugins"
                )
            own.add(key)
        for what, thing, value in found.named():
            self._things[what][thing] = value
            self._origins[f"{what} {thing}"] = name
        if found.rules:
            self._packs[name] = tuple(found.rules)


# ── what a plugin may get wrong ──────────────────────────────────────────────────────────────


def _interface_of(plugin: object) -> str:
    """Return the interface that a plugin was built for.

    Raises:
        _PluginError: This engine does not offer it, or the plugin does not say it as a text.
    """
    declared = getattr(plugin, INTERFACE_NAME, INTERFACE)
    if not isinstance(declared, str):
        raise _PluginError(
            f'{INTERFACE_NAME} is {_article(declared)}; write {INTERFACE_NAME} = "{INTERFACE}"'
        )
    if why := _interface_refusal(declared):
        raise _RefusedError(why)
    return declared


def _interface_refusal(declared: str) -> str:
    """Return why a plugin of an interface is not loaded, empty when it is."""
    if declared in SUPPORTED_INTERFACES:
        return ""
    offered = " and ".join(SUPPORTED_INTERFACES)
    newer = declared.isdigit() and int(declared) > int(INTERFACE)
    mend = "install a newer pilotage" if newer else "install a newer version of the plugin"
    return f"was built for interface {declared} of pilotage, this engine offers {offered}; {mend}"


def _guarded(call: Callable[[], Any], what: str) -> Any:
    try:
        return call()
    except (Exception, SystemExit) as error:  # a plugin may raise anything; only itself is left out
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise _PluginError(f"{what}: {text}{_where(error)}") from error


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    frames = inspect.getinnerframes(trace, context=0) if trace is not None else []
    own = Path(__file__).name
    last = next((f for f in reversed(frames) if Path(f.filename).name != own), None)
    if last is None or last.filename.startswith("<") or "importlib" in last.filename:
        return ""
    place = Path(last.filename)
    return f" ({'/'.join(place.parts[-2:])}:{last.lineno})"


def _name_of(plugin: object) -> str:
    name = getattr(plugin, "__name__", "") or type(plugin).__name__
    return name.removesuffix(".plugin").rpartition(".")[2].removeprefix(_PREFIX)


def _refuse_unmarked(plugin: object) -> None:
    for hook in _HOOKS:
        function = getattr(plugin, hook, None)
        if function is not None and not hasattr(function, "pilotage_impl"):
            raise _PluginError(
                f"{hook} is not marked; write @hookimpl above it (from pilotage.hookspecs)"
            )


def _hook_mistake(error: Exception) -> str:
    text = str(error).replace("\n", " ")
    if text.startswith("unknown hook"):
        written = text.split("'")[1]
        nearest = get_close_matches(written, list(_HOOKS), n=1, cutoff=0.4)
        hint = f'did you mean "{nearest[0]}"?' if nearest else f"the hooks are: {', '.join(_HOOKS)}"
        return f'there is no hook "{written}"; {hint}'
    if "Argument(s)" in text:
        return (
            f"a hook asks for arguments that it does not get: {text.split('hookimpl')[0].strip()}"
        )
    return text


def _checked(hook: str, answer: Any, check: Callable[[Any], str]) -> list[Any]:
    if inspect.iscoroutine(answer):
        answer.close()
        raise _PluginError(f"{hook} is an async function; hooks are plain functions")
    if not isinstance(answer, (list, tuple)):
        raise _PluginError(f"{hook} returns {_article(answer)}, not a list")
    for number, item in enumerate(answer):
        wrong = _guarded(lambda item=item: check(item), f"item {number} of {hook} is broken")  # type: ignore[misc]
        if wrong:
            raise _PluginError(f"item {number} of {hook} is {wrong}")
    return list(answer)


def _article(thing: Any) -> str:
    name = "None" if thing is None else type(thing).__name__
    return name if thing is None else f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _check_kind(kind: Any) -> str:
    if not isinstance(kind, Kind):
        return f"{_article(kind)}, not a Kind"
    names = [point.name for point in kind.points]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        return f'the kind "{kind.name}", which has the point "{twice}" twice'
    both = next((name for name in names if name in kind.relations), None)
    if both is not None:
        return f'the kind "{kind.name}", in which "{both}" is a point and a relation'
    for point in kind.points:
        wrong = _check_point(kind, point)
        if wrong:
            return f'the kind "{kind.name}", whose point "{point.name}" {wrong}'
    return ""


def _check_point(kind: Kind, point: PointSpec) -> str:
    if point.low is not None and point.high is not None and point.low > point.high:
        return f"has a range from {point.low:g} to {point.high:g}"
    for what, value in (("default", point.default), ("value on loss", point.value_on_loss)):
        if value is not None and not _fits(point, value):
            return f"has a {what} ({value!r}) that it cannot hold"
    if point.group is not None and point.group.relation not in kind.relations:
        return f'stands for the relation "{point.group.relation}", which the kind does not have'
    return ""


def _fits(point: PointSpec, value: Any) -> bool:
    match point.type.base:
        case Base.NUMBER:
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                return False
            low = value if point.low is None else point.low
            high = value if point.high is None else point.high
            return bool(low <= value <= high)
        case Base.BOOLEAN:
            return isinstance(value, bool)
        case Base.ENUM:
            return value in point.type.members
        case _:
            return True


def _check_function(function: Any) -> str:
    if not isinstance(function, Function):
        return f"{_article(function)}, not a Function"
    return (
        "" if callable(function.call) else f'the function "{function.name}", which cannot be called'
    )


def _check_call(call: Any) -> str:
    if not isinstance(call, CallSpec):
        return f"{_article(call)}, not a CallSpec"
    return "" if call.statuses else f'the call "{call.name}", which has no statuses'


def _check_rules(path: Any) -> str:
    if not isinstance(path, Path):
        return f"{_article(path)}, not a Path"
    return "" if path.is_file() else f"no file: {path.name}"


def _check_adapter(factory: Any) -> str:
    missing = [name for name in ("name", "check", "open") if not hasattr(factory, name)]
    return f"no AdapterFactory: it has no {', '.join(missing)}" if missing else ""


_HOOKS: Final[Mapping[str, tuple[str, Callable[[Any], str]]]] = MappingProxyType(
    {
        "pilotage_kinds": ("kinds", _check_kind),
        "pilotage_functions": ("functions", _check_function),
        "pilotage_calls": ("calls", _check_call),
        "pilotage_rules": ("rules", _check_rules),
        "pilotage_adapters": ("adapters", _check_adapter),
    }
)
