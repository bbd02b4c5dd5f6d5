"""`pilotage service install`: the systemd unit of this machine, and the user that runs it."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pilotage.cli import Parser, add_command
from pilotage.cli.asking import add_config_option
from pilotage.cli.console import FAILED, OK, print_error

if TYPE_CHECKING:
    from pilotage.runtime.config import Settings, SettingsRead

UNIT_FOLDER: Final = Path("/etc/systemd/system")
USERS_FOLDER: Final = Path("/etc/sysusers.d")
USER: Final = "pilotage"

_USER_NAME: Final = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
_EXAMPLES: Final = """\
  pilotage service install -c /etc/pilotage/config.yaml --dry-run
  sudo pilotage service install -c /etc/pilotage/config.yaml
  pilotage service install --user -c ~/my-city/config.yaml
"""


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    from pilotage.cli.history import show_help

    parser = add_command(subparsers, "service", "write the systemd unit of this machine", _EXAMPLES)
    actions = parser.add_subparsers(
        title="actions", dest="action", metavar="ACTION", parser_class=Parser
    )
    parser.set_defaults(run=lambda arguments: show_help(parser))
    install = add_command(
        actions, "install", "write the hardened unit, made of config.yaml, and say what to type next"
    )  # fmt: skip
    add_config_option(install)
    install.add_argument("--dry-run", action="store_true", help="print the unit and write nothing")
    install.add_argument(
        "--user", action="store_true", help="for your own service manager (systemctl --user), without root"
    )  # fmt: skip
    install.add_argument(
        "--run-as", metavar="NAME", default=USER, help=f"the user of the service (default: {USER})"
    )
    install.add_argument(
        "--root", type=Path, default=Path("/"), metavar="DIR", help="write below this folder, as for an image (default: /)"
    )  # fmt: skip
    install.set_defaults(run=run_install)


def run_install(arguments: argparse.Namespace) -> int:
    """Write the unit, or print it."""
    from pilotage.cli.console import print_findings
    from pilotage.runtime.config import read_settings
    from pilotage.runtime.service_unit import UNIT, Place, unit_text

    file = arguments.config.absolute()
    read = read_settings(file / "config.yaml" if file.is_dir() else file, secrets=False)
    if read.settings is None:
        print_findings(read.findings, read.sources, sys.stderr)
        return FAILED
    if not _USER_NAME.fullmatch(arguments.run_as):
        print_error(
            f'"{arguments.run_as}" is no name for a user of the system',
            "write small letters, digits, - and _: pilotage",
        )
        return FAILED
    user = "" if arguments.user else arguments.run_as
    credentials = {} if arguments.user else _credentials(read)
    text = unit_text(read.settings, Place(_program(), user, credentials))
    if arguments.dry_run:
        print(text, end="")
        return OK
    folder = arguments.root / (_users_folder() if arguments.user else UNIT_FOLDER).relative_to("/")
    written = [_write(folder / UNIT, text)]
    if user:
        users = arguments.root / USERS_FOLDER.relative_to("/")
        written.append(_write(users / f"{USER}.conf", _user_text(user, read.settings)))
    for path in written:
        print(f"wrote {path}")
    print(_next(user))
    return OK


def _program() -> Path:
    """Return the command that we are."""
    beside = Path(sys.executable).with_name("pilotage")
    found = beside if beside.is_file() else Path(shutil.which("pilotage") or sys.argv[0])
    return found.absolute()


def _credentials(read: SettingsRead) -> Mapping[str, Path]:
    """Return the secrets that are files now: systemd reads them as root, and the service's user never needs to."""
    assert read.settings is not None
    folder = read.settings.secrets_folder
    return {name: folder / name for name in read.secrets if (folder / name).is_file()}


def _users_folder() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "systemd" / "user"


def _user_text(user: str, settings: Settings) -> str:
    """Return the declaration of the service's user: sysusers.d(5)."""
    return (
        f"# Written by `pilotage service install`.\nu {user} - "
        f'"Rules engine of the city" {settings.storage.path}\n'
    )


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.new")
    partial.write_text(text, encoding="utf-8")
    partial.chmod(0o644)
    partial.replace(path)
    return path


def _next(user: str) -> str:
    if not user:
        return (
            "\nnext:\n  systemctl --user daemon-reload\n  systemctl --user enable --now pilotage\n"
            "  loginctl enable-linger      so that it runs while nobody is signed in"
        )
    return (
        "\nnext:\n  systemd-sysusers            makes the user, when there is none yet\n"
        "  systemctl daemon-reload\n  systemctl enable --now pilotage\n  systemctl status pilotage"
    )
