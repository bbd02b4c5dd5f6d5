"""What is in the folders, in `pyproject.toml` and in the wheel is the same."""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = ("engine", "adapters", "plugins", "web_ui")
PROJECT: Final[dict[str, Any]] = tomllib.loads(
    (ROOT / "pyproject.toml").read_text(encoding="utf-8")
)
PACKAGES: Final = sorted(
    folder
    for source in SOURCES
    for folder in (ROOT / source).iterdir()
    if (folder / "__init__.py").is_file()
)
PLUGINS: Final = [package for package in PACKAGES if (package / "plugin.py").is_file()]


def contract(name: str) -> dict[str, Any]:
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    return next(dict(entry) for entry in contracts if entry["name"] == name)


class TestProject:
    def test_every_package_is_in_the_wheel(self) -> None:
        """A package that is not listed would be missing for everybody but us."""
        listed = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]

        assert sorted(listed) == [str(package.relative_to(ROOT)) for package in PACKAGES]

    def test_every_plugin_has_an_entry_point(self) -> None:
        """Named after its package, as a vendor's would be."""
        listed = PROJECT["project"]["entry-points"]["pilotage"]

        assert listed == {
            package.name.removeprefix("pilotage_"): f"{package.name}.plugin" for package in PLUGINS
        }

    def test_every_package_is_under_contract(self) -> None:
        """Import contracts and coverage know all packages."""
        names = sorted(package.name for package in PACKAGES)
        plugins = sorted(package.name for package in PLUGINS)

        assert sorted(PROJECT["tool"]["importlinter"]["root_packages"]) == names
        assert sorted(PROJECT["tool"]["coverage"]["run"]["source_pkgs"]) == names
        assert sorted(contract("plugins do not know each other")["modules"]) == plugins
        assert sorted(contract("plugins use the public interface")["source_modules"]) == plugins
        assert sorted(contract("the engine knows no plugin")["forbidden_modules"]) == plugins

    def test_every_folder_with_packages_is_type_checked(self) -> None:
        """An empty source root would stop mypy, one that is forgotten would go unchecked."""
        roots = {package.parent.name for package in PACKAGES}

        assert set(PROJECT["tool"]["mypy"]["files"]) == {*roots, "tests", "benchmarks", "deploy"}

    @pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
    def test_is_typed(self, package: Path) -> None:
        """Type checkers of vendors look for this file."""
        assert (package / "py.typed").is_file()

    @pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
    def test_every_module_can_be_imported(self, package: Path) -> None:
        """No module needs another to be imported first, or a library that is not declared."""
        top = importlib.import_module(package.name)
        for module in pkgutil.walk_packages(top.__path__, f"{package.name}."):
            if not module.name.endswith(".__main__"):
                importlib.import_module(module.name)

    @pytest.mark.parametrize(
        "entry", sorted(entry_points(group="pilotage")), ids=lambda entry: entry.name
    )
    def test_entry_point_loads(self, entry: Any) -> None:
        """What is installed is what is in the tree; after a change: `make venv`."""
        plugin = entry.load()
        assert Path(plugin.__file__).name == "plugin.py"
        assert getattr(plugin, "PILOTAGE_INTERFACE", "") == "1", 'write PILOTAGE_INTERFACE = "1"'

    def test_the_installation_is_current(self) -> None:
        """The entry points of the installed distribution are those of `pyproject.toml`."""
        installed = {
            e.name: e.value
            for e in entry_points(group="pilotage")
            if e.dist and e.dist.name == "pilotage"
        }

        assert installed == PROJECT["project"]["entry-points"]["pilotage"]

    def test_no_registry_and_no_machine_is_named(self) -> None:
        """Where packages come from is the business of who installs them."""
        peers = "tests/peers/package-lock.json"
        for name in (
            "pyproject.toml",
            "Makefile",
            ".ci/run",
            "README.md",
            "CONTRIBUTING.md",
            peers,
        ):
            text = (ROOT / name).read_text(encoding="utf-8")
            for word in ("pypi", "index-url", "registry.", "/root/", "/home/", "/work/"):
                assert word not in text.lower(), f"{name}: {word}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build the wheel without a network, with the backend that is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", build, str(folder)], cwd=ROOT, check=True, capture_output=True
    )
    (file,) = folder.glob("*.whl")
    return zipfile.ZipFile(file)


class TestWheel:
    def test_holds_every_file_of_every_package(self, wheel: zipfile.ZipFile) -> None:
        """Rule packs, tables and templates travel with the code."""
        wanted = {
            str((Path(folder) / name).relative_to(package.parent))
            for package in PACKAGES
            for folder, _, names in os.walk(package, followlinks=True)
            for name in names
            if "__pycache__" not in folder
        }
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}

        assert held == wanted

    def test_has_the_licence_and_the_entry_points(self, wheel: zipfile.ZipFile) -> None:
        """The licence goes where the code goes."""
        names = wheel.namelist()
        (entries,) = [name for name in names if name.endswith("entry_points.txt")]

        assert any(name.endswith("licenses/LICENSE") for name in names)
        assert "[pilotage]" in wheel.read(entries).decode()
        assert "pilotage = pilotage.cli:main" in wheel.read(entries).decode()
