"""The systemd unit: what it opens is what the settings name, and systemd finds nothing wrong with it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from pilotage.cli import main
from pilotage.runtime.config import load_settings
from pilotage.runtime.service_unit import Place, unit_text

ROOT: Final = Path(__file__).parents[2]
SITE: Final = "site: {name: Dijon, time_zone: Europe/Paris, position: [47.322, 5.041]}\n"
SYSTEM: Final = (
    "storage: {path: /var/lib/pilotage}\n"
    'control: {socket: /run/pilotage/control.sock, mode: "0660"}\n'
)
PROGRAM: Final = Path("/opt/pilotage/bin/pilotage")


def unit(folder: Path, text: str, user: str = "pilotage", program: Path = PROGRAM) -> list[str]:
    """Return the lines of the unit for some settings."""
    (folder / "config.yaml").write_text(SITE + text, encoding="utf-8")
    settings = load_settings(folder / "config.yaml", {})
    return unit_text(settings, Place(program, user, {})).splitlines()


def keys(lines: list[str], *names: str) -> list[str]:
    """Return the lines with some keys."""
    return [line for line in lines if line.partition("=")[0] in names]


FOLDERS: Final = ("StateDirectory", "RuntimeDirectory", "ReadWritePaths")


class TestFolders:
    def test_of_the_system(self, tmp_path: Path) -> None:
        """Below /var/lib and /run systemd makes the folders; the group gets in where the socket lets it in."""
        lines = unit(tmp_path, SYSTEM)

        assert keys(lines, *FOLDERS) == ["RuntimeDirectory=pilotage", "StateDirectory=pilotage"]
        assert "RuntimeDirectoryMode=0750" in lines
        assert "StateDirectoryMode=0700" in lines

    def test_elsewhere(self, tmp_path: Path) -> None:
        """Other folders are opened for writing, each once; the rest of the system is not."""
        lines = unit(tmp_path, "audit: {anchor_folder: /mnt/anchors}\n")

        assert keys(lines, *FOLDERS) == [
            "ReadWritePaths=-/mnt/anchors",
            f"ReadWritePaths=-{tmp_path}/var",
        ]
        assert "ProtectSystem=strict" in lines

    def test_at_home(self, tmp_path: Path) -> None:
        """Homes are closed, but for reading where the program is in one."""
        assert "ProtectHome=yes" in unit(tmp_path, SYSTEM)
        home = Path("/home/city/venv/bin/pilotage")
        assert "ProtectHome=read-only" in unit(tmp_path, SYSTEM, program=home)


class TestRights:
    def test_none(self, tmp_path: Path) -> None:
        """Without a reason there is no device and no power of root."""
        lines = unit(tmp_path, SYSTEM)

        assert "PrivateDevices=yes" in lines
        assert keys(lines, "CapabilityBoundingSet", "AmbientCapabilities") == [
            *("CapabilityBoundingSet=", "AmbientCapabilities=")
        ]

    def test_a_serial_line(self, tmp_path: Path) -> None:
        """A line of Modbus is the only device there is."""
        bus = "connections: {bus: {adapter: modbus, serial: {port: /dev/ttyUSB0}}}\n"
        lines = unit(tmp_path, bus)

        assert keys(lines, "PrivateDevices", "DeviceAllow", "DevicePolicy") == [
            *("DevicePolicy=closed", "DeviceAllow=/dev/ttyUSB0 rw")
        ]
        assert "SupplementaryGroups=dialout" in lines

    def test_a_low_port(self, tmp_path: Path) -> None:
        """One power, for one reason."""
        lines = unit(tmp_path, "connections: {web: {adapter: http, listen: {port: 443}}}\n")

        assert "AmbientCapabilities=CAP_NET_BIND_SERVICE" in lines

    def test_ones_own_manager(self, tmp_path: Path) -> None:
        """A user's manager can enforce filters, and neither users nor file systems."""
        lines = unit(tmp_path, SYSTEM, user="")

        assert "SystemCallFilter=@system-service" in lines
        assert "WantedBy=default.target" in lines
        assert keys(lines, "User", "ProtectSystem", "CapabilityBoundingSet", *FOLDERS) == []


class TestTexts:
    def test_strange_names(self, tmp_path: Path) -> None:
        """Specifiers, blanks and quotes of systemd are written so that they mean themselves."""
        folder = tmp_path / 'a "city" 100%'
        folder.mkdir()
        (line,) = keys(unit(folder, SYSTEM), "ExecStart")

        assert line.endswith(f'-c "{tmp_path}/a \\"city\\" 100%%/config.yaml"')

    def test_one_line_of_a_name(self, tmp_path: Path) -> None:
        """A name cannot bring lines of its own into the unit."""
        (tmp_path / "config.yaml").write_text(
            'site: {name: "x\\nExecStartPre=/bin/evil", position: [47.0, 5.0]}\n'
        )
        text = unit_text(load_settings(tmp_path / "config.yaml", {}), Place(PROGRAM, "x", {}))

        assert "Description=Rules engine of x ExecStartPre=/bin/evil\n" in text


class TestInstall:
    @pytest.fixture
    def config(self, tmp_path: Path) -> Path:
        file = tmp_path / "config.yaml"
        connection = "connections: {s: {adapter: mqtt, username: a, password: !secret broker}}\n"
        file.write_text(SITE + SYSTEM + connection)
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets" / "broker").write_text("canary")
        return file

    def test_writes_unit_and_user(
        self, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Secrets are handed over by name and place; what they say is in neither file."""
        assert main(["service", "install", "-c", str(config), "--root", str(tmp_path / "r")]) == 0

        printed = capsys.readouterr().out
        made = (tmp_path / "r/etc/systemd/system/pilotage.service").read_text()
        user = (tmp_path / "r/etc/sysusers.d/pilotage.conf").read_text()
        assert f"LoadCredential=broker:{tmp_path}/secrets/broker\n" in made
        assert "canary" not in made
        assert user.endswith('u pilotage - "Rules engine of the city" /var/lib/pilotage\n')
        assert "systemctl enable --now pilotage" in printed

    def test_dry_run(
        self, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Nothing is written."""
        root = tmp_path / "r"
        assert (
            main(["service", "install", "-c", str(config), "--dry-run", "--root", str(root)]) == 0
        )
        assert capsys.readouterr().out.startswith("# Written by `pilotage service install`")
        assert not root.exists()

    def test_for_oneself(
        self, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The unit goes where one's own manager looks for it; no user is made."""
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
        root = tmp_path / "r"

        assert main(["service", "install", "-c", str(config), "--user", "--root", str(root)]) == 0

        below = root / (tmp_path / "settings").relative_to("/")
        assert [p for p in root.rglob("*") if p.is_file()] == [
            below / "systemd/user/pilotage.service"
        ]

    def test_no_user_of_the_system(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A name that could be read as more than a name is refused."""
        assert main(["service", "install", "-c", str(config), "--run-as", "x y"]) == 1
        assert "is no name for a user" in capsys.readouterr().err


class TestExample:
    TEXT: Final = (ROOT / "deploy" / "pilotage.service").read_text(encoding="utf-8")

    def test_is_what_is_written(self, tmp_path: Path) -> None:
        """The file in deploy/ is the unit of the documented steps."""
        (tmp_path / "config.yaml").write_text(
            'site: {name: "Pilotage", position: [47, 5]}\n' + SYSTEM
        )
        settings = load_settings(tmp_path / "config.yaml", {})
        text = unit_text(settings, Place(PROGRAM, "pilotage", {}))

        assert text.replace(str(tmp_path), "/etc/pilotage") == self.TEXT

    @pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
    def test_systemd_finds_nothing(self, tmp_path: Path) -> None:
        """`systemd-analyze verify` is silent, and the exposure is the one that the manual names, or less."""
        file = tmp_path / "pilotage.service"
        program = Path(shutil.which("true") or "/bin/true")
        file.write_text(self.TEXT.replace(str(PROGRAM), str(program)))

        verify = subprocess.run(
            ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False
        )
        security = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--no-pager", str(file)],
            capture_output=True,
            text=True,
            check=False,
        )

        assert (verify.returncode, verify.stderr) == (0, "")
        (score,) = re.findall(r"exposure level for \S+ ([\d.]+)", security.stdout)
        page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
        (written,) = re.findall(r"systemd-analyze security` says \*\*([\d.]+)\*\*", page)
        assert float(score) <= float(written)
