"""What the settings ask of a machine that it cannot do, and what the command line says of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from pilotage.model.diagnostics import Finding
from pilotage.runtime.config import read_settings
from pilotage.runtime.machine_check import check_machine, check_start
from pilotage.runtime.ownership import THE_CITY, FileOwnership

SITE: Final = "site: {name: Dijon, time_zone: Europe/Paris, position: [47.322, 5.041]}\n"
NOBODY: Final = 65_534
ROOT: Final = os.geteuid() == 0
PROGRAM: Final = [str(Path(sys.executable).with_name("pilotage"))]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user of the machine can reach."""
    made = Path(tempfile.mkdtemp(prefix="pilotage-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Be a user without rights of its own; whoever is none anyway stays so."""
    if ROOT:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if ROOT:
            os.seteuid(0)


def found(folder: Path, text: str = "", *, whole: bool = False) -> list[Finding]:
    """Return what a machine cannot do of some settings."""
    (folder / "config.yaml").write_text(SITE + text, encoding="utf-8")
    read = read_settings(folder / "config.yaml", {})
    assert read.settings is not None
    return check_machine(read) if whole else check_start(read)


@contextlib.contextmanager
def tiny_disk(folder: Path, options: str) -> Iterator[Path]:
    """Mount a file system of its own; skips where that may not be done."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
    if not ROOT or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


class TestFolders:
    def test_a_good_machine(self, folder: Path) -> None:
        """A folder that is not there yet is made later, and nothing is touched now."""
        assert found(folder, "storage: {path: new/var}\n", whole=True) == []
        assert [file.name for file in folder.iterdir()] == ["config.yaml"]

    def test_a_file_in_its_place(self, folder: Path) -> None:
        """The place of the setting, and what stands in the way."""
        (folder / "var").write_text("")

        (finding, *_) = found(folder, "storage: {path: var}\n")

        assert (finding.code, str(finding.at)) == ("C160", f"{folder}/config.yaml:2:17")
        assert finding.message == f'"storage.path" cannot be a folder: {folder}/var is a file'

    @pytest.mark.skipif(not ROOT, reason="the folder has to be another user's")
    def test_without_the_right(self, folder: Path) -> None:
        """The mend says whose the folder must be."""
        (folder / "config.yaml").write_text(SITE, encoding="utf-8")
        with unprivileged():
            read = read_settings(folder / "config.yaml", {})
            (finding,) = check_start(read)

        assert finding.code == "C162"
        assert finding.message.startswith(f'"storage.path" cannot be made in {folder}')
        assert finding.mend.startswith(
            f"give the folder to the service's user: chown USER {folder}"
        )

    def test_read_only(self, folder: Path) -> None:
        """A disk that was mounted read-only after an error is named as such."""
        with tiny_disk(folder, "ro,size=4m"):
            (finding,) = found(folder, "storage: {path: disk/var}\n")

        assert finding.code == "C161"
        assert "is read-only" in finding.message
        assert "remount,rw" in finding.mend

    def test_nearly_full(self, folder: Path) -> None:
        """It is a doubt: the engine starts on its ballast."""
        with tiny_disk(folder, "size=4m"):
            (finding,) = found(folder, "storage: {path: disk}\n", whole=True)

        assert (finding.code, finding.is_error) == ("W164", False)

    @pytest.mark.skipif(not ROOT, reason="the folder has to be another user's")
    def test_the_anchors_are_a_doubt(self, folder: Path) -> None:
        """Without the second folder of the audit the city is piloted all the same."""
        (folder / "var").mkdir()
        os.chown(folder / "var", NOBODY, -1)
        (folder / "config.yaml").write_text(
            SITE + "audit: {anchor_folder: elsewhere}\n", encoding="utf-8"
        )
        with unprivileged():
            (finding,) = check_start(read_settings(folder / "config.yaml", {}))

        assert (finding.code, finding.is_error) == ("C162", False)


class TestSecretsOfOthers:
    @pytest.mark.skipif(not ROOT, reason="the file has to be another user's")
    def test_closed_to_us(self, folder: Path) -> None:
        """A secret that root left behind with its own rights: the mend gives it to the service's user."""
        (folder / "secrets").mkdir()
        file = folder / "secrets" / "broker"
        file.write_text("x")
        file.chmod(0o600)
        (folder / "config.yaml").write_text(
            SITE + "connections: {s: {adapter: mqtt, password: !secret broker}}\n"
        )
        with unprivileged():
            (finding,) = read_settings(folder / "config.yaml", {}).findings

        assert (finding.code, finding.mend) == (
            "C133",
            f"give it to the service's user: chown USER {file} && chmod 600 {file}",
        )


class TestSockets:
    def test_a_path_that_is_too_long(self, folder: Path) -> None:
        """The system has 107 bytes for it; the message counts."""
        long = "/tmp/" + "x" * 103

        (finding,) = found(folder, f"control: {{socket: {long}}}\n")

        assert finding.code == "C163"
        assert "has 108 bytes, the system allows 107" in finding.message

    def test_the_longest(self, folder: Path) -> None:
        """One byte less is a socket that can be opened."""
        path = "/tmp/" + "x" * 102
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(path)
        Path(path).unlink()

        assert found(folder, f"control: {{socket: {path}}}\n") == []

    def hook(self, port: int, host: str = "127.0.0.1") -> str:
        return f"connections: {{web: {{adapter: http, listen: {{host: {host}, port: {port}}}}}}}\n"

    def test_a_port_in_use(self, folder: Path) -> None:
        """The mend finds who has it."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            (finding,) = found(folder, self.hook(port), whole=True)

        assert finding.code == "C165"
        assert finding.message == f"127.0.0.1:{port} is in use by another program"
        assert f"'sport = :{port}'" in finding.mend
        assert found(folder, self.hook(port), whole=True) == []

    @pytest.mark.parametrize("section", ["metrics", "web"])
    def test_the_engines_own_doors(self, folder: Path, section: str) -> None:
        """The address of the metrics and of the pages is tried too, and told at its place."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            text = f'{section}: {{listen: "127.0.0.1:{port}"}}\n'
            (finding,) = found(folder, text, whole=True)

        assert (finding.code, finding.at.line) == ("C165", 2)

    def test_a_running_engine_has_its_own_port(self, folder: Path) -> None:
        """Beside a running engine the port is taken by itself."""
        owner = FileOwnership(folder / "var")
        owner.acquire(THE_CITY)
        try:
            with socket.create_server(("127.0.0.1", 0)) as ours:
                assert found(folder, self.hook(ours.getsockname()[1]), whole=True) == []
        finally:
            owner.release(THE_CITY)

    def test_an_address_of_another_machine(self, folder: Path) -> None:
        """192.0.2.0/24 is for documentation: nobody has it (RFC 5737)."""
        (finding,) = found(folder, self.hook(8_470, "192.0.2.7"), whole=True)

        assert finding.code == "C167"


class TestStart:
    def test_the_engine_says_it_before_it_opens_anything(self, folder: Path) -> None:
        """`pilotage run` ends with 1 and the same finding, without a traceback."""
        (folder / "config.yaml").write_text(SITE + "storage: {path: var}\n", encoding="utf-8")
        (folder / "var").write_text("")

        done = subprocess.run(
            [*PROGRAM, "run", "-c", "config.yaml"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

        assert done.returncode == 1
        assert "config.yaml:2:17: C160" in done.stderr
        assert "Traceback" not in done.stderr
