"""The doctor: what would break the engine's promises is found on real files, each with its mend."""

from __future__ import annotations

import json
import os
import subprocess
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pilotage.cli import main
from pilotage.runtime import doctor
from pilotage.runtime.clock import clock_state
from pilotage.runtime.config import Settings, load_settings
from pilotage.runtime.doctor import BAD, DOUBT, GOOD, Check
from pilotage.runtime.journal import sqlite

CONFIG = "site: {name: Testville, time_zone: Europe/Paris, position: [47.32, 5.04]}\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A small site, readable by its user only."""
    tmp_path.chmod(0o700)
    (tmp_path / "rules").mkdir(mode=0o700)
    (tmp_path / "var").mkdir(mode=0o700)
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    config.chmod(0o600)
    return config


def settings_of(site: Path, more: str = "") -> Settings:
    site.write_text(CONFIG + more)
    return load_settings(site, {})


def wrong(found: Any) -> list[tuple[str, str]]:
    return [(check.topic, check.state) for check in found if check.state != GOOD]


def certificate(folder: Path, name: str, days: int) -> None:
    """Make a certificate and its key with openssl."""
    words = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -days {days}"
    files = ["-keyout", f"{name}.key", "-out", f"{name}.pem"]
    subprocess.run([*words.split(), *files], cwd=folder, check=True, capture_output=True)


class TestDisk:
    def test_kind(self, tmp_path: Path) -> None:
        """The deepest mount point counts; a share and a disk in memory are no place for a journal."""
        mounts = [("/", "ext4"), (str(tmp_path.parent), "nfs4"), (str(tmp_path), "tmpfs")]
        assert doctor.filesystem(tmp_path, mounts) == "tmpfs"
        assert doctor.filesystem(tmp_path.parent, mounts) == "nfs4"
        assert doctor.filesystem(Path("/"), mounts) == "ext4"
        assert doctor._kind_of_disk(tmp_path, "nfs4").state == BAD
        assert doctor._kind_of_disk(tmp_path, "tmpfs").state == BAD
        assert doctor._kind_of_disk(tmp_path, "ext4").state == GOOD

    def test_writing(self, tmp_path: Path) -> None:
        """The disk is tried with a file of our own, of which nothing is left; a slow one is told."""
        assert 0.0 < doctor.sync_time(tmp_path) < 60.0
        assert list(tmp_path.iterdir()) == []
        assert doctor._honesty(tmp_path, lambda folder: 0.2).state == DOUBT
        assert doctor._honesty(tmp_path, lambda folder: 0.002).state == GOOD

    def test_room(self, tmp_path: Path) -> None:
        """A ballast that has no room twice over is told."""
        (found, *_) = doctor.check_disk(tmp_path, 10**18)
        assert (found.topic, found.state) == ("room", BAD)
        assert "free space" in found.mend


class TestRights:
    def test_settings_of_everybody(self, site: Path) -> None:
        """Settings and rules that everybody may change, and a storage that everybody may read, are told."""
        settings = settings_of(site)
        site.chmod(0o666)
        (site.parent / "var").chmod(0o755)
        found = [c for c in doctor.check_rights(settings) if "superuser" not in c.text]
        assert wrong(found) == [("rights", DOUBT), ("rights", BAD)]
        assert f"chmod o-w {site}" in found[1].mend


class TestData:
    def test_versions(self, tmp_path: Path) -> None:
        """Files of a newer engine, of an older one, and what is no database at all are told; a file that is not there is not."""
        assert list(doctor.check_data(tmp_path)) == []
        for name, version in (("journal.db", 99), ("audit.db", 0), ("history.db", None)):
            if version is None:
                (tmp_path / name).write_bytes(b"no database at all" * 100)
                continue
            with closing(sqlite.connect(tmp_path / name)) as connection:
                connection.executescript(f"CREATE TABLE t (x); PRAGMA user_version = {version};")
        found = list(doctor.check_data(tmp_path))
        assert [check.state for check in found] == [BAD, DOUBT, BAD]
        assert "journal.db has version 99" in found[0].text
        assert "history.db cannot be read" in found[2].text
        assert all(check.mend for check in found)


class TestClock:
    def test_not_kept(self, tmp_path: Path) -> None:
        """A clock that no server keeps right is told; one of which nothing is known, too."""
        states = {5: DOUBT, 0: GOOD, -1: DOUBT}
        for state, expected in states.items():
            (found,) = doctor.check_clock(tmp_path, lambda state=state: state)  # type: ignore[misc]
            assert found.state == expected

    def test_behind(self, tmp_path: Path) -> None:
        """A clock that is an hour behind what was written is bad."""
        (tmp_path / "journal.db").touch()
        later = time.time() + 3_600
        os.utime(tmp_path / "journal.db", (later, later))
        _, found = doctor.check_clock(tmp_path, lambda: 0)
        assert (found.topic, found.state) == ("clock", BAD)
        assert "60 min behind" in found.text

    def test_real(self) -> None:
        """The kernel answers."""
        assert clock_state() in range(-1, 6)


class TestCertificates:
    def test_ends(self, site: Path) -> None:
        """A certificate that ends soon, one that has ended, and a key that others may read are told."""
        certificate(site.parent, "soon", 10)
        (site.parent / "soon.key").chmod(0o644)
        settings = settings_of(
            site,
            "metrics:\n  listen: 127.0.0.1:9464\n  certificate: soon.pem\n  key: soon.key\n",
        )
        assert wrong(doctor.check_certificates(settings)) == [("certificate", DOUBT), ("key", BAD)]
        ((file, ends),) = doctor.certificate_ends(settings)
        assert file.is_file() and 0 < ends - time.time() < 30 * 86_400
        later = datetime.now(UTC) + timedelta(days=11)
        (ended, _) = doctor.check_certificates(settings, later)
        assert ended.state == BAD and "has ended" in ended.text

    def test_of_connections(self, site: Path) -> None:
        """Those of connections are found at any depth of their options."""
        certificate(site.parent, "ours", 365)
        settings = settings_of(
            site,
            "connections:\n  lamps: {adapter: mqtt, host: broker, tls: {ca: ours.pem, certificate: ours.pem, key: ours.key}}\n",
        )
        (found,) = doctor.check_certificates(settings)
        assert found.state == GOOD and "in 364 days" in found.text


class TestBroker:
    @pytest.mark.parametrize(
        ("lines", "told"),
        [
            ("persistence true\nautosave_on_changes true\nautosave_interval 1\n", []),
            ("persistence true\n", ["write autosave_on_changes true and autosave_interval 1"]),
            ("# persistence true\n", ["write persistence true"]),
            (
                "persistence true\nautosave_on_changes true\nautosave_interval 60\n",
                ["write autosave_interval 1"],
            ),
            (
                "persistence true\nautosave_on_changes true\nautosave_interval 1\nlistener 8883\nallow_anonymous true\n",
                [
                    "write allow_anonymous false, and access lists",
                    "write acl_file, with a device's own topics only",
                ],
            ),
        ],
    )
    def test_options(self, tmp_path: Path, lines: str, told: list[str]) -> None:
        """Options with which a broker loses what it acknowledged, or listens to anybody, are told with those to write."""
        file = tmp_path / "mosquitto.conf"
        file.write_text(lines)
        assert [c.mend for c in doctor.check_broker(file) if c.state != GOOD] == told

    def test_included(self, tmp_path: Path) -> None:
        """What the file includes counts."""
        (tmp_path / "conf.d").mkdir()
        (tmp_path / "conf.d" / "x.conf").write_text("persistence true\n")
        (tmp_path / "mosquitto.conf").write_text(f"include_dir {tmp_path / 'conf.d'}\n")
        assert doctor.broker_options(tmp_path / "mosquitto.conf") == {"persistence": "true"}

    def test_none(self, tmp_path: Path) -> None:
        """No broker on this machine is nothing to tell."""
        assert list(doctor.check_broker(tmp_path / "mosquitto.conf")) == []


class TestCommand:
    def test_exit_codes(
        self, site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """0 when nothing is bad; a doubt counts with --strict; each thing that is wrong has its mend."""
        words = ["doctor", "-c", str(site), "--broker", str(site.parent / "none"), "--json"]
        found = [Check("disk", GOOD, "fine"), Check("time", DOUBT, "who knows", "look")]
        monkeypatch.setattr(doctor, "examine", lambda settings, broker: iter(found))
        assert main(words) == 0
        assert main([*words, "--strict"]) == 1
        found.append(Check("disk", BAD, "broken", "mend it"))
        assert main(words) == 1
        capsys.readouterr()
        main(words)
        rows = json.loads(capsys.readouterr().out)
        assert [row["state"] for row in rows[:3]] == [GOOD, DOUBT, BAD]
        main(words[:-1])
        shown = capsys.readouterr().out
        assert "bad   disk: broken\n      mend: mend it" in shown

    def test_here(self, site: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """On this machine everything can be looked at, and each thing that is wrong says what to do."""
        main(["doctor", "-c", str(site), "--json"])
        rows = json.loads(capsys.readouterr().out)
        topics = {row["topic"] for row in rows}
        assert topics >= {
            "Python",
            "SQLite",
            "TLS",
            "room",
            "disk",
            "writing",
            "time",
            "files",
            "memory",
            "engine",
        }
        assert [row for row in rows if row["state"] != GOOD and not row["mend"]] == []
