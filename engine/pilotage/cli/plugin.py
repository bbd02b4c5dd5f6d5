"""`pilotage plugin new`: writes a complete plugin project, with tests and pages, to begin from."""

from __future__ import annotations

import argparse
import keyword
import re
import shlex
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from pilotage.cli import add_command
from pilotage.cli.console import FAILED, OK, print_error

_TEMPLATES: Final = Path(__file__).parent / "new_plugin"
_SUFFIX: Final = ".tmpl"
_PACKAGE: Final = "PACKAGE"
_NAME: Final = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_EXAMPLES: Final = """\
  pilotage plugin new acme-lamps             an adapter: a device protocol
  pilotage plugin new acme-bins --domain     a domain: kinds, functions, rules
"""


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers, "plugin", "write a new plugin project, with tests and pages", _EXAMPLES
    )
    parser.add_argument("action", choices=("new",), help="new: write a project")
    parser.add_argument("name", metavar="NAME", help="of the project: acme-lamps")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument(
        "--adapter",
        dest="kind",
        action="store_const",
        const="adapter",
        default="adapter",
        help="a device protocol (the default)",
    )
    kinds.add_argument(
        "--domain",
        dest="kind",
        action="store_const",
        const="domain",
        help="kinds of equipment, functions, calls and rules",
    )
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="where to write it; NAME by default"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the project and say what to do next."""
    if why := _refusal(arguments.name):
        print_error(f'"{arguments.name}" {why}', "write small letters and digits: acme-lamps")
        return FAILED
    folder: Path = arguments.folder or Path(arguments.name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "is not empty" if folder.is_dir() else "is a file"
        mend = "name a folder that is empty or not there yet: --folder DIR"
        print_error(f"{folder} {what}; nothing was written", mend)
        return FAILED
    for path in write_project(folder, arguments.name, arguments.kind):
        print(f"wrote {path}")
    print(f"\nnext:\n  cd {shlex.quote(str(folder))}\n  pip install -e '.[dev]'")
    print("  pytest\n  pilotage plugins")
    return OK


def write_project(folder: Path, name: str, kind: str) -> list[Path]:
    """Write the files of a project and return their paths.

    Args:
        folder: Made when it is not there.
        name: Of the distribution: `acme-lamps`.
        kind: `adapter` or `domain`.
    """
    package = name.replace("-", "_")
    words = {
        "distribution": name.replace("_", "-"),
        "name": package,
        "Class": "".join(word.capitalize() for word in package.split("_")),
        "title": package.replace("_", " ").capitalize(),
        "pilotage": _version(),
    }
    written: list[Path] = []
    for source in sorted(path for path in (_TEMPLATES / kind).rglob(f"*{_SUFFIX}")):
        target = folder / _target(source.relative_to(_TEMPLATES / kind), package)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = source.read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace("{{" + word + "}}", value)
        target.write_text(text, encoding="utf-8")
        written.append(target)
    return written


def _target(source: Path, package: str) -> Path:
    parts = [package if part == _PACKAGE else part for part in source.parts]
    name = parts[-1].removesuffix(_SUFFIX)
    # A file of this name among the templates would hide them from git.
    return Path(*parts[:-1], ".gitignore" if name == "gitignore" else name)


def _refusal(name: str) -> str:
    """Return what is wrong with a project's name, empty when nothing is."""
    package = name.replace("-", "_")
    if not _NAME.fullmatch(name) or keyword.iskeyword(package):
        return "is no name for a package"
    if package in sys.stdlib_module_names:
        return "is a module of Python itself"
    if package == "pilotage" or package.startswith("pilotage_"):
        return "is a name of pilotage itself"
    return ""


def _version() -> str:
    try:
        return version("pilotage")
    except PackageNotFoundError:
        return "0.1.0"
