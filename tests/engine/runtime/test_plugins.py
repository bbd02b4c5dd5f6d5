"""Loading plugins: what each brings, and the broken ones by name."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from pilotage.hookspecs import hookimpl
from pilotage.model.entities import CallSpec, Function, Group, Kind, OnLoss, PointSpec
from pilotage.model.values import BOOLEAN, NUMBER, enum, number
from pilotage.runtime.plugins import (
    Catalogue,
    PluginReport,
    PluginState,
    import_ahead,
    load_plugins,
)

LAMP = Kind("lamp", "Lamp", (PointSpec("level", number("%"), low=0.0, high=100.0, default=50.0),))


def plugin(name: str, **hooks: Callable[..., Any]) -> types.ModuleType:
    """Return a module with hooks, as a vendor's package would hold them."""
    module = types.ModuleType(f"pilotage_{name}.plugin")
    for hook, function in hooks.items():
        setattr(module, hook, hookimpl(function))
    return module


def load(*plugins: object) -> Catalogue:
    return load_plugins(plugins, entry_points=False)


def why(*plugins: object) -> str:
    (report,) = load(*plugins).broken
    return report.why


class TestLoading:
    def test_what_a_plugin_brings(self, tmp_path: Path) -> None:
        """Kinds, functions, calls, rules and adapters arrive by name."""
        pack = tmp_path / "lighting.yaml"
        pack.write_text("version: 1\n")
        brightness = Function("brightness", (), NUMBER, lambda: 1.0)

        class Adapter:
            name = "lora"

            def check(self) -> None: ...

            def open(self) -> None: ...

        adapter: Any = Adapter()
        catalogue = load(
            plugin(
                "light",
                pilotage_kinds=lambda: [LAMP],
                pilotage_functions=lambda: [brightness],
                pilotage_calls=lambda: [CallSpec("light.flash")],
                pilotage_rules=lambda: [pack],
                pilotage_adapters=lambda: [adapter],
            )
        )

        assert catalogue.kinds == {"lamp": LAMP}
        assert catalogue.functions == {"brightness": brightness}
        assert list(catalogue.calls) == ["light.flash"]
        assert catalogue.adapters == {"lora": adapter}
        assert catalogue.packs == {"light": (pack,)}
        assert catalogue.rule_files(["light", "other"]) == (pack,)
        assert catalogue.origins["kind lamp"] == "light"
        (report,) = catalogue.plugins
        assert report.state is PluginState.LOADED
        assert report.brings == {
            "kinds": 1, "functions": 1, "calls": 1, "rule files": 1, "adapters": 1
        }  # fmt: skip

    def test_the_catalogue_does_not_change(self) -> None:
        """Nobody adds a kind behind the checker's back."""
        catalogue = load(plugin("light", pilotage_kinds=lambda: [LAMP]))

        with pytest.raises(TypeError):
            catalogue.kinds["other"] = LAMP  # type: ignore[index]

    def test_the_installed_ones_are_found(self) -> None:
        """Every entry point of the group is loaded, and none of ours is broken."""
        catalogue = load_plugins()

        names = {entry.name for entry in entry_points(group="pilotage")}
        assert {report.name for report in catalogue.plugins} == names >= {"lighting", "mqtt"}
        assert catalogue.broken == ()
        assert {"lamp", "lighting_segment", "signal_junction"} <= catalogue.kinds.keys()

    def test_a_disabled_one_is_not_imported(self) -> None:
        """It is listed, and brings nothing."""
        for name in [name for name in sys.modules if name.startswith("pilotage_parking")]:
            del sys.modules[name]

        catalogue = load_plugins(disable=["parking"])

        report = next(report for report in catalogue.plugins if report.name == "parking")
        assert report.state is PluginState.DISABLED
        assert "car_park" not in catalogue.kinds
        assert "pilotage_parking.plugin" not in sys.modules


class TestBrokenPlugins:
    def test_the_others_go_on(self) -> None:
        """A plugin that raises takes nothing but itself away."""

        def raises() -> list[Kind]:
            raise RuntimeError("no licence")

        catalogue = load(
            plugin("bad", pilotage_kinds=raises), plugin("good", pilotage_kinds=lambda: [LAMP])
        )

        assert [report.state for report in catalogue.plugins] == [
            PluginState.BROKEN,
            PluginState.LOADED,
        ]
        assert catalogue.broken[0].name == "bad"
        assert catalogue.broken[0].why.startswith("pilotage_kinds raised: RuntimeError: no licence")
        assert "test_plugins.py:" in catalogue.broken[0].why
        assert list(catalogue.kinds) == ["lamp"]

    def test_nothing_of_a_broken_one_is_kept(self) -> None:
        """Its kinds do not stay when its functions fail."""

        def raises() -> list[Function]:
            raise SystemExit(3)

        catalogue = load(plugin("bad", pilotage_kinds=lambda: [LAMP], pilotage_functions=raises))

        assert catalogue.broken[0].why.startswith("pilotage_functions raised: SystemExit: 3")
        assert catalogue.kinds == {}

    def test_two_with_one_kind(self) -> None:
        """The first keeps it, the second is left out, and both are named."""
        first = plugin("first", pilotage_kinds=lambda: [LAMP])
        second = plugin("second", pilotage_kinds=lambda: [LAMP])

        catalogue = load(first, second)

        assert catalogue.origins == {"kind lamp": "first"}
        assert catalogue.broken[0].name == "second"
        assert 'declares the kind "lamp", and so does the plugin "first"' in catalogue.broken[0].why

    def test_two_with_one_name(self) -> None:
        """The second of two plugins of one name is left out."""
        assert 'already called "light"' in why(plugin("light"), plugin("light"))

    def test_one_kind_twice(self) -> None:
        """A plugin may contradict itself, too."""
        assert why(plugin("p", pilotage_kinds=lambda: [LAMP, LAMP])) == (
            'declares the kind "lamp" twice'
        )

    def test_an_unknown_hook(self) -> None:
        """A misspelt hook would never be called; the nearest one is proposed."""
        assert why(plugin("p", pilotage_kind=lambda: [])) == (
            'there is no hook "pilotage_kind"; did you mean "pilotage_kinds"?'
        )

    def test_an_unmarked_hook(self) -> None:
        """Without its mark a hook is silently ignored; that is told."""
        module = types.ModuleType("pilotage_p.plugin")
        module.pilotage_kinds = lambda: []  # type: ignore[attr-defined]

        assert why(module) == (
            "pilotage_kinds is not marked; write @hookimpl above it (from pilotage.hookspecs)"
        )

    def test_a_hook_that_asks_for_too_much(self) -> None:
        """Arguments that no hook gets are a mistake of the plugin."""
        assert "arguments that it does not get" in why(plugin("p", pilotage_kinds=lambda city: []))

    def test_an_async_hook(self) -> None:
        """Hooks are plain functions; a coroutine that nobody awaits is refused without a warning."""

        async def kinds() -> list[Kind]:
            return [LAMP]

        assert why(plugin("p", pilotage_kinds=kinds)) == (
            "pilotage_kinds is an async function; hooks are plain functions"
        )

    def test_a_name_that_cannot_be_asked_for(self) -> None:
        """An adapter whose properties raise is named like any other broken item."""

        class Adapter:
            @property
            def name(self) -> str:
                raise ValueError("not yet")

        assert "pilotage_adapters is broken: ValueError: not yet" in why(
            plugin("p", pilotage_adapters=lambda: [Adapter()])
        )

    @pytest.mark.parametrize(
        ("hook", "answer", "text"),
        [
            ("pilotage_kinds", None, "pilotage_kinds returns None, not a list"),
            ("pilotage_kinds", {"lamp": LAMP}, "pilotage_kinds returns a dict, not a list"),
            ("pilotage_kinds", ["lamp"], "item 0 of pilotage_kinds is a str, not a Kind"),
            ("pilotage_functions", [len], "item 0 of pilotage_functions is a builtin_function_or_method, not a Function"),
            ("pilotage_functions", [Function("f", (), NUMBER, None)], 'item 0 of pilotage_functions is the function "f", which cannot be called'),  # type: ignore[arg-type]
            ("pilotage_calls", ["x"], "item 0 of pilotage_calls is a str, not a CallSpec"),
            ("pilotage_calls", [CallSpec("c", statuses=())], 'item 0 of pilotage_calls is the call "c", which has no statuses'),
            ("pilotage_rules", ["x.yaml"], "item 0 of pilotage_rules is a str, not a Path"),
            ("pilotage_rules", [Path("/nowhere/x.yaml")], "item 0 of pilotage_rules is no file: x.yaml"),
            ("pilotage_adapters", [object()], "item 0 of pilotage_adapters is no AdapterFactory: it has no name, check, open"),
        ],
    )  # fmt: skip
    def test_a_wrong_answer(self, hook: str, answer: object, text: str) -> None:
        """What a hook returns is looked at before anybody relies on it."""
        assert why(plugin("p", **{hook: lambda: answer})) == text

    @pytest.mark.parametrize(
        ("kind", "text"),
        [
            (Kind("k", "", (PointSpec("a", BOOLEAN), PointSpec("a", BOOLEAN))), 'which has the point "a" twice'),
            (Kind("k", "", (PointSpec("a", BOOLEAN),), {"a": "lamp"}), 'in which "a" is a point and a relation'),
            (Kind("k", "", (PointSpec("a", NUMBER, low=3.0, high=1.0),)), 'whose point "a" has a range from 3 to 1'),
            (Kind("k", "", (PointSpec("a", NUMBER, high=1.0, default=2.0),)), 'whose point "a" has a default (2.0) that it cannot hold'),
            (Kind("k", "", (PointSpec("a", enum("x"), on_loss=OnLoss("y")),)), "whose point \"a\" has a value on loss ('y') that it cannot hold"),
            (Kind("k", "", (PointSpec("a", BOOLEAN, default=1.0),)), 'whose point "a" has a default (1.0) that it cannot hold'),
            (Kind("k", "", (PointSpec("a", NUMBER, group=Group("lamps", "a")),)), 'whose point "a" stands for the relation "lamps", which the kind does not have'),
        ],
    )  # fmt: skip
    def test_a_kind_that_contradicts_itself(self, kind: Kind, text: str) -> None:
        """A vendor hears of it at start-up, not when a rule fails at night."""
        assert why(plugin("p", pilotage_kinds=lambda: [kind])) == (
            f'item 0 of pilotage_kinds is the kind "k", {text}'
        )


@pytest.fixture
def vendor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], PluginReport]]:
    """Install a distribution with one entry point and return what became of it."""

    def install(source: str) -> PluginReport:
        (tmp_path / "acme_plugin.py").write_text(source)
        info = tmp_path / "acme-2.1.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 2.1\n")
        (info / "entry_points.txt").write_text("[pilotage]\nacme = acme_plugin\n")
        monkeypatch.syspath_prepend(tmp_path)
        return next(report for report in load_plugins().plugins if report.name == "acme")

    yield install
    sys.modules.pop("acme_plugin", None)


class TestVendors:
    def test_is_found_by_its_entry_point(self, vendor: Callable[[str], PluginReport]) -> None:
        """An installed distribution is enough, and its version is shown."""
        report = vendor("")

        assert (report.state, report.version) == (PluginState.LOADED, "2.1")

    @pytest.mark.parametrize(
        ("source", "why"),
        [
            ("import no_such_library", "cannot be imported: ModuleNotFoundError: No module named 'no_such_library'"),
            ("def f(:", "cannot be imported: SyntaxError"),
            ("raise SystemExit", "cannot be imported: SystemExit"),
        ],
    )  # fmt: skip
    def test_that_cannot_be_imported_is_named(
        self, vendor: Callable[[str], PluginReport], source: str, why: str
    ) -> None:
        """The report says why, and the city starts without it."""
        report = vendor(source)

        assert report.state is PluginState.BROKEN
        assert report.why.startswith(why)


class TestImportAhead:
    def test_the_module_with_the_network(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What an adapter needs to connect can be imported before, elsewhere; one that fails fails later, by name."""
        package = tmp_path / "pilotage_slow"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "plugin.py").write_text("class Factory: pass\n")
        (package / "connection.py").write_text("raise ValueError('no licence')\n")
        monkeypatch.syspath_prepend(tmp_path)
        from pilotage_slow.plugin import Factory  # type: ignore[import-not-found]

        import_ahead([Factory()])
        assert "pilotage_slow.connection" not in sys.modules
        (package / "connection.py").write_text("import threading\n")
        import_ahead([Factory()])
        assert "pilotage_slow.connection" in sys.modules
