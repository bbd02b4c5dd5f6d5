"""`pilotage config`: what is shown, what is hidden, and a schema that agrees with the reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from pilotage.cli import main
from pilotage.language.loader import load, plain
from pilotage.runtime.config import SETTINGS

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

ROOT: Final = Path(__file__).parents[3]
SITE: Final = "site: {name: Dijon, time_zone: Europe/Paris, position: [47.322, 5.041]}\n"
SECRETS: Final = """\
connections:
  street:
    adapter: mqtt
    host: 127.0.0.1
    username: pilotage
    password: hunter2-canary
    tls: {ca: ca.pem, passphrase: hunter3-canary}
  cloud:
    adapter: http
    servers:
      a: {url: "https://me:hunter4-canary@example.org/x", headers: {X-Api-Key: hunter5-canary}}
      b: {url: "https://example.org", headers: {Authorization: !secret cloud-key}}
log: {level: debug}
"""


@pytest.fixture
def city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site in the working folder."""
    (tmp_path / "config.yaml").write_text(SITE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, tuple[Any, str]]:
    """Return the values and origins that `config show` prints, by key."""
    assert main(["config", "show", "--json", *arguments]) == 0
    rows = json.loads(capsys.readouterr().out)
    return {row["key"]: (row["value"], row["origin"]) for row in rows}


class TestShow:
    def test_where_each_comes_from(
        self, city: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The file with its line, the variable, the default, or nothing."""
        monkeypatch.setenv("PILOTAGE_LOG_FORMAT", "json")

        rows = shown(capsys)

        assert rows["site.name"] == ("Dijon", "config.yaml:1")
        assert rows["log.format"] == ("json", "environment PILOTAGE_LOG_FORMAT")
        assert rows["log.level"] == ("info", "default")
        assert rows["site.area"] == (None, "not set")

    def test_every_setting_is_there(self, city: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """All that the manual lists, in its order, but for those of connections and posts that do not exist."""
        keys = [s.key for s in SETTINGS if not s.key.startswith(("connections.", "posts."))]

        assert list(shown(capsys)) == keys

    def test_only_what_is_otherwise(self, city: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """`--changed` leaves out the defaults."""
        assert set(shown(capsys, "--changed")) == {"site.name", "site.time_zone", "site.position"}

    def test_posts(self, city: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A post is shown with what its file says and its defaults."""
        (city / "config.yaml").write_text(SITE + "posts: {snow: {trades: [winter]}}\n")
        rows = shown(capsys)
        assert rows["posts.snow.trades"][1].startswith("config.yaml:")
        assert rows["posts.snow.title"] == ("snow", "default")

    def test_no_secret_is_shown(self, city: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Passwords that stand in the open, in addresses and in headers; a named secret by its name."""
        (city / "config.yaml").write_text(SITE + SECRETS, encoding="utf-8")

        rows = shown(capsys)

        assert "canary" not in json.dumps(rows)
        assert rows["connections.street.password"][0] == "***"
        assert rows["connections.street.username"] == ("pilotage", "config.yaml:6")
        assert rows["connections.street.isolate"] == ("false", "default")
        servers = rows["connections.cloud.servers"][0]
        assert servers["a"]["url"] == "https://***@example.org/x"
        assert servers["b"]["headers"] == {"Authorization": "!secret cloud-key"}

    def test_a_mistake_comes_first(self, city: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """What is wrong is told, what is right is shown; exit 1."""
        (city / "config.yaml").write_text(SITE + "log: {level: loud}\n", encoding="utf-8")

        assert main(["config", "show"]) == 1

        printed = capsys.readouterr()
        assert "config.yaml:2:14: E124" in printed.err
        assert "Dijon" in printed.out


class TestCheck:
    def test_all_is_well(self, city: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """One line says what was looked at."""
        assert main(["config", "check"]) == 0
        assert capsys.readouterr().out == (
            "no mistakes in config.yaml, and this machine can do it\n"
        )

    def test_settings_secrets_connections_and_machine_at_once(
        self, city: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Findings of every kind come together, in the order of the file."""
        (city / "var").write_text("")
        (city / "config.yaml").write_text(
            SITE
            + "storage: {path: var}\nconnections: {s: {adapter: carrier-pigeon}}\npacks: [snwo]\n"
        )

        assert main(["config", "check", "--format", "json"]) == 1

        found = json.loads(capsys.readouterr().out)["findings"]
        assert [each["code"] for each in found if each["severity"] == "error"] == [
            *("C160", "C142", "C141")
        ]

    def test_a_desk_without_secrets(self, city: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """`--no-secrets` leaves them unread; without it a missing one is an error."""
        (city / "config.yaml").write_text(
            SITE
            + "connections: {s: {adapter: mqtt, host: 127.0.0.1, username: a, password: !secret b}}\n"
        )

        assert main(["config", "check"]) == 1
        assert "C131" in capsys.readouterr().out
        assert main(["config", "check", "--no-secrets"]) == 0


class TestSchema:
    @pytest.fixture
    def validator(self, capsys: pytest.CaptureFixture[str]) -> Draft202012Validator:
        assert main(["config", "schema"]) == 0
        schema = json.loads(capsys.readouterr().out)
        from jsonschema import Draft202012Validator  # builds forty grammars

        Draft202012Validator.check_schema(schema)
        return Draft202012Validator(schema)

    @pytest.mark.parametrize(
        "file",
        [ROOT / "config.yaml", ROOT / "engine/pilotage/cli/new_city/config.yaml"],
        ids=lambda file: file.parent.name,
    )
    def test_takes_our_own(self, validator: Draft202012Validator, file: Path) -> None:
        """The files that we ship are right by it."""
        validator.validate(plain(load(file.read_bytes(), "config.yaml", secret_tag=True)[0]))

    @pytest.mark.parametrize(
        ("text", "right"),
        [
            (SITE + SECRETS, True),
            (SITE + "log: {format: jsn}", False),
            (SITE + "log: {format: json}", True),
            (SITE + "storage: {jurnal: {}}", False),
            (SITE + "storage: {journal: {keep: 7 d 12 h}}", True),
            (SITE + "storage: {journal: {keep: soon}}", False),
            (SITE + "connections: {s: {host: x}}", False),
            (SITE + "posts: {s: {title: {fr: x}, trades: [y]}, t: }", True),
            (SITE + "posts: {S: {title: x}}", False),
            (SITE + "history: {points: [{kind: x, record: always}]}", False),
            (SITE + "engine: {stuck_after: off}", True),
        ],
    )
    def test_agrees_with_the_reader(
        self, validator: Draft202012Validator, text: str, right: bool
    ) -> None:
        """It takes what is right and refuses misspelt keys and words."""
        assert validator.is_valid(plain(load(text, "config.yaml", secret_tag=True)[0])) is right

    def test_every_setting_is_described(self, validator: Draft202012Validator) -> None:
        """An editor shows the sentence of the manual."""
        text = json.dumps(validator.schema, ensure_ascii=False)
        assert [s.key for s in SETTINGS if s.key[-1] != "*" and s.doc not in text] == []
