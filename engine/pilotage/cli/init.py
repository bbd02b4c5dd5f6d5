"""`pilotage init`: writes a new small city that runs, to begin from."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

from pilotage.cli import add_command
from pilotage.cli.console import FAILED, OK, print_error

_CITY = Path(__file__).parent / "new_city"
_NAME = '"My city"'


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers, "init", "write a new small city that runs", "  pilotage init my-city\n"
    )
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="a folder that is empty or not there yet"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the city's files and say what to do next."""
    folder: Path = arguments.folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "is not empty" if folder.is_dir() else "is a file"
        print_error(
            f"{folder} {what}; nothing was written", "name a folder that is empty or not there yet"
        )
        return FAILED
    for path in write_city(folder):
        print(f"wrote {path}")
    config = shlex.quote(str(folder / "config.yaml"))
    print(
        f"\nnext:\n  pilotage check -c {config}\n  pilotage test {shlex.quote(str(folder / 'rules'))}"
    )
    print(f"  pilotage run -c {config}")
    return OK


def write_city(folder: Path) -> list[Path]:
    """Write the files of a new city, named after its folder, and return their paths."""
    written: list[Path] = []
    name = folder.absolute().name.replace("-", " ").replace("_", " ").strip().capitalize()
    for source in sorted(path for path in _CITY.rglob("*") if path.is_file()):
        target = folder / source.relative_to(_CITY)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = source.read_text(encoding="utf-8")
        quoted = json.dumps(name or "City", ensure_ascii=False)
        target.write_text(text.replace(_NAME, quoted), encoding="utf-8")
        written.append(target)
    return written
