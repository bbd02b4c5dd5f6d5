"""The lock of approved plugins, and the interface that a plugin was built for: what is refused is not imported."""

from __future__ import annotations

import json
import os
import py_compile
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pilotage.cli import main
from pilotage.runtime.plugin_lock import (
    LockUnreadableError,
    differences,
    lock_text,
    make_lock,
    read_lock,
)
from pilotage.runtime.plugins import PluginReport, PluginState, installed_plugins, load_plugins

PLUGIN = """\
from pathlib import Path
from acme_bins import words
Path(__file__).with_name("imported").touch()
PILOTAGE_INTERFACE = "1"
"""


class Vendor:
    """A distribution with one plugin, as pip leaves it behind; its module leaves a mark when it is imported."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = folder / "acme_bins"
        self.info = folder / "acme_bins-2.1.dist-info"
        self.lock = folder.parent / "plugins.lock"
        self.package.mkdir(parents=True)
        self.info.mkdir()
        (self.package / "__init__.py").touch()
        (self.package / "words.py").write_text("WORDS = 1\n")
        (self.package / "table.csv").write_text("a,b\n")
        (self.package / "plugin.py").write_text(PLUGIN)
        self.version("2.1")
        (self.info / "entry_points.txt").write_text("[pilotage]\nbins = acme_bins.plugin\n")
        files = [*self.package.iterdir(), *self.info.iterdir()]
        record = [f"{file.relative_to(folder).as_posix()},," for file in files]
        (self.info / "RECORD").write_text("\n".join([*record, f"{self.info.name}/RECORD,,"]))

    def version(self, version: str) -> None:
        (self.info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: acme-bins\nVersion: {version}\n"
        )

    def approve(self) -> None:
        self.lock.write_text(lock_text(make_lock(installed_plugins(), "A. Durand")))

    def report(self) -> PluginReport:
        return next(r for r in load_plugins(lock=self.lock).plugins if r.name == "bins")

    @property
    def was_imported(self) -> bool:
        return (self.package / "imported").exists()


@pytest.fixture
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    made = Vendor(tmp_path / "site")
    monkeypatch.syspath_prepend(made.folder)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    yield made
    for name in [name for name in sys.modules if name.startswith("acme_bins")]:
        del sys.modules[name]


class TestLock:
    def test_what_was_approved_is_loaded(self, vendor: Vendor) -> None:
        """Nothing has changed, and the plugins that come with pilotage are approved in the same file."""
        vendor.approve()

        catalogue = load_plugins(lock=vendor.lock)

        assert catalogue.broken == ()
        assert vendor.was_imported
        assert "lamp" in catalogue.kinds

    def test_is_written_without_importing(self, vendor: Vendor) -> None:
        """Approving runs none of the code that is approved."""
        vendor.approve()

        assert not vendor.was_imported
        pinned = read_lock(vendor.lock).pinned["acme-bins"]
        assert (pinned.version, pinned.approver) == ("2.1", "A. Durand")
        assert {"acme_bins/plugin.py", "acme_bins/table.csv"} <= pinned.files.keys()

    @pytest.mark.parametrize(
        ("what", "said"),
        [
            ("changed", "acme_bins/words.py changed since it was approved"),
            ("added", "acme_bins/more.py added since it was approved"),
            ("deleted", "acme_bins/table.csv missing since it was approved"),
            ("updated", "acme-bins 2.2 is installed, 2.1 was approved"),
            ("entry", "entry_points.txt changed since it was approved"),
        ],
    )
    def test_what_differs_is_not_imported(self, vendor: Vendor, what: str, said: str) -> None:
        """Each change is named with its mend, and not a line of the plugin runs."""
        vendor.approve()
        match what:
            case "changed":
                (vendor.package / "words.py").write_text("WORDS = 2\n")
            case "added":
                (vendor.package / "more.py").touch()
            case "deleted":
                (vendor.package / "table.csv").unlink()
            case "updated":
                vendor.version("2.2")
            case "entry":
                (vendor.info / "entry_points.txt").write_text(
                    "[pilotage]\nbins = acme_bins.words\n"
                )

        report = vendor.report()

        assert report.state is PluginState.REFUSED
        assert said in report.why
        assert "pilotage plugins lock" in report.why
        assert not vendor.was_imported

    def test_who_is_not_listed_is_not_imported(self, vendor: Vendor) -> None:
        """A plugin that was installed after the approval stays out; the approved ones run."""
        others = [e for e in installed_plugins() if e.name != "bins"]
        vendor.lock.write_text(lock_text(make_lock(others, "A. Durand")))

        catalogue = load_plugins(lock=vendor.lock)

        assert [r.name for r in catalogue.broken] == ["bins"]
        assert catalogue.broken[0].why.startswith("acme-bins is not in the lock")
        assert not vendor.was_imported
        assert "lamp" in catalogue.kinds

    @pytest.mark.parametrize(
        "text", [None, "version = ", "version = 9\n", "version = 1\n[[plugin]]\n"]
    )
    def test_a_lock_that_cannot_be_read_lets_nobody_in(
        self, vendor: Vendor, text: str | None
    ) -> None:
        """When in doubt, out; the file is named."""
        if text is not None:
            vendor.lock.write_text(text)

        catalogue = load_plugins(lock=vendor.lock)

        assert {r.state for r in catalogue.plugins} == {PluginState.REFUSED}
        assert "plugins.lock" in vendor.report().why
        assert not vendor.was_imported
        with pytest.raises(LockUnreadableError):
            read_lock(vendor.lock)

    def test_foreign_bytecode_is_not_run(self, vendor: Vendor, tmp_path: Path) -> None:
        """Bytecode that somebody left for an approved source is not what runs."""
        evil = tmp_path / "evil.py"
        source = vendor.package / "words.py"
        evil.write_text("WORDS = 666\n")
        cached = Path(py_compile.compile(str(evil), cfile=str(tmp_path / "evil.pyc")) or "")
        raw = bytearray(cached.read_bytes())
        stat = source.stat()
        raw[8:16] = int(stat.st_mtime).to_bytes(4, "little") + stat.st_size.to_bytes(4, "little")
        place = vendor.package / "__pycache__" / f"words.{sys.implementation.cache_tag}.pyc"
        place.parent.mkdir()
        place.write_bytes(raw)
        assert _words_in_a_process(vendor, "") == "666"  # so it is run without a lock
        vendor.approve()

        assert _words_in_a_process(vendor, str(vendor.lock)) == "1"

    def test_a_file_that_is_exchanged_later_is_not_run(self, vendor: Vendor) -> None:
        """A module that is imported only when a connection opens is looked at then, once more."""
        (vendor.package / "late.py").write_text("")
        vendor.approve()
        assert vendor.report().state is PluginState.LOADED
        (vendor.package / "late.py").write_text("raise SystemExit\n")

        with pytest.raises(ImportError, match="is not as it was approved"):
            __import__("acme_bins.late")

    def test_what_python_runs_at_its_start(self, vendor: Vendor) -> None:
        """A `sitecustomize` that came later is told; it has run, so nothing can be refused."""
        vendor.approve()
        (vendor.folder / "sitecustomize.py").write_text("")

        (warning,) = load_plugins(lock=vendor.lock).warnings

        assert "sitecustomize.py added since it was approved" in warning

    def test_many_differences_are_counted(self) -> None:
        """The first three are named."""
        assert differences({}, dict.fromkeys("abcde", "")) == [
            "a, b, c and 2 more added since it was approved"
        ]


def _words_in_a_process(vendor: Vendor, lock: str) -> str:
    """Return which words the plugin sees in a process of its own, with a lock when one is named."""
    program = (
        "import sys; from pathlib import Path; from pilotage.runtime.plugins import load_plugins\n"
        "load_plugins(lock=Path(sys.argv[1]) if sys.argv[1] else None)\n"
        "import acme_bins.words; print(acme_bins.words.WORDS)\n"
    )
    path = os.pathsep.join([str(vendor.folder), *sys.path])
    done = subprocess.run(
        [sys.executable, "-B", "-c", program, lock],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    (vendor.package / "imported").unlink()
    return done.stdout.strip()


class TestCommand:
    def test_lock_then_verify(
        self, vendor: Vendor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """What was approved verifies; a change is shown, and the exit code says so."""
        monkeypatch.chdir(vendor.folder.parent)
        assert main(["plugins", "lock", "--approver", "A. Durand"]) == 0
        assert "approved acme-bins 2.1: " in capsys.readouterr().out
        assert main(["plugins", "verify"]) == 0
        assert "bins: as approved" in capsys.readouterr().out
        (vendor.package / "words.py").write_text("")

        assert main(["plugins", "verify"]) == 1
        assert "bins: acme_bins/words.py changed" in capsys.readouterr().out
        assert main(["plugins", "verify", "--json"]) == 1
        assert json.loads(capsys.readouterr().out)["plugins"]["lighting"] == ""
        assert main(["plugins", "--lock", "plugins.lock"]) == 1
        assert "refused" in capsys.readouterr().out
        assert not vendor.was_imported

    def test_verify_without_a_lock(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The mend is named."""
        monkeypatch.chdir(tmp_path)

        assert main(["plugins", "verify"]) == 1
        assert "pilotage plugins lock" in capsys.readouterr().err


class TestInterface:
    @pytest.mark.parametrize(
        ("written", "mend"), [("2", "a newer pilotage"), ("0", "a newer version of the plugin")]
    )
    def test_another_one_is_refused_unseen(self, vendor: Vendor, written: str, mend: str) -> None:
        """A plugin for another interface is named, not imported, and the others run."""
        (vendor.package / "plugin.py").write_text(PLUGIN.replace('"1"', f'"{written}"'))

        catalogue = load_plugins()

        (report,) = catalogue.broken
        assert (report.name, report.state) == ("bins", PluginState.REFUSED)
        assert report.interface == written
        assert report.why == (
            f"was built for interface {written} of pilotage, this engine offers 1; install {mend}"
        )
        assert not vendor.was_imported
        assert "lamp" in catalogue.kinds

    def test_one_that_is_worked_out_is_refused_too(self, vendor: Vendor) -> None:
        """What cannot be read from the source is read after the import."""
        source = PLUGIN.replace('"1"', "str(1 + 1)")
        (vendor.package / "plugin.py").write_text(source)

        (report,) = load_plugins().broken

        assert report.state is PluginState.REFUSED
        assert "interface 2" in report.why

    def test_a_number_is_no_text(self, vendor: Vendor) -> None:
        """The mend shows how it is written."""

        class Plugin:
            PILOTAGE_INTERFACE = 1

        plugin: Any = Plugin()
        (report,) = load_plugins([plugin], entry_points=False).broken

        assert report.why == 'PILOTAGE_INTERFACE is an int; write PILOTAGE_INTERFACE = "1"'
