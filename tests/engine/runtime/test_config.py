"""`config.yaml`: what it says, and how its mistakes are told."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from pilotage.adapter import Adapter, AdapterFactory, ConnectionSettings, Door, Site
from pilotage.adapter.secret import Secret
from pilotage.model.diagnostics import Finding, RuleError
from pilotage.model.entities import EntitySpec, Rate
from pilotage.model.values import Position
from pilotage.runtime.config import (
    SETTINGS,
    Settings,
    check_connections,
    check_names,
    load_settings,
    read_settings,
)
from pilotage.runtime.post_settings import check_areas

SITE = "site: {name: Dijon, time_zone: Europe/Paris, position: [47.322, 5.041]}\n"


def written(folder: Path, text: str) -> Path:
    file = folder / "config.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def settings_of(folder: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    return load_settings(written(folder, text), environ or {})


def findings_of(folder: Path, text: str, environ: dict[str, str] | None = None) -> list[Finding]:
    return read_settings(written(folder, text), environ or {}).findings


def shown(folder: Path, text: str) -> str:
    read = read_settings(written(folder, text), {})
    rendered = "\n".join(finding.render(read.sources) for finding in read.findings)
    return rendered.replace(f"{folder}/", "")


class TestSettings:
    def test_everything_is_read_and_typed(self, tmp_path: Path) -> None:
        """Each key arrives with its type, paths from the folder of the file."""
        (tmp_path / "rules").mkdir()
        settings = settings_of(
            tmp_path,
            """
site:
  name: Dijon métropole
  time_zone: Europe/Paris
  position: [47.322, 5.041]
  country: FR
  subdivision: 57
  language: fr
plugins: {disable: [winter]}
connections:
  street: {adapter: mqtt, host: broker, port: 8883, topics: [a, b]}
inventory: [inventory]
rules: [rules]
packs: [lighting]
storage: {path: /data, journal: {sync: normal, keep: 7 d 12 h}}
control: {socket: run/door.sock, mode: 0660}
engine: {uvloop: true}
log: {level: debug, format: json}
""",
        )

        assert settings.site.position == Position(47.322, 5.041)
        assert (settings.site.name, settings.site.country) == ("Dijon métropole", "FR")
        assert settings.site.zone.key == "Europe/Paris"
        assert list(settings.disabled) == ["winter"]
        (street,) = settings.connections
        assert (street.name, street.adapter) == ("street", "mqtt")
        assert street.options == {"host": "broker", "port": 8883, "topics": ["a", "b"]}
        assert street.place.endswith("config.yaml:11:3")
        assert settings.rules == (tmp_path / "rules",)
        assert settings.storage.path == Path("/data")
        assert settings.storage.journal_sync == "normal"
        assert settings.storage.journal_keep_s == 7.5 * 86_400
        assert settings.control.socket == tmp_path / "run/door.sock"
        assert settings.control.mode == 0o660
        assert settings.engine.uvloop is True
        assert (settings.log.level, settings.log.format) == ("debug", "json")

    def test_a_site_alone_gets_the_defaults(self, tmp_path: Path) -> None:
        """What is not written has the value that the manual names."""
        settings = settings_of(tmp_path, SITE)

        assert settings.storage.path == tmp_path / "var"
        assert settings.storage.journal_keep_s == 30 * 86_400
        assert settings.control.mode == 0o600
        assert settings.engine.uvloop is False
        assert settings.log.level == "info"
        assert settings.rules == ()
        assert settings.pack_names(["b", "a"]) == ()

    def test_all_packs(self, tmp_path: Path) -> None:
        """`packs: all` is every pack, in order of name."""
        settings = settings_of(tmp_path, SITE + "packs: all\n")

        assert settings.pack_names(["winter", "lighting"]) == ("lighting", "winter")

    def test_the_environment_goes_before_the_file(self, tmp_path: Path) -> None:
        """A variable replaces what is written, relative to the same folder."""
        text = SITE + "log: {level: info}\nstorage: {path: here}\n"
        environ = {"PILOTAGE_LOG_LEVEL": "error", "PILOTAGE_STORAGE_PATH": "there"}

        settings = settings_of(tmp_path, text, environ)

        assert settings.log.level == "error"
        assert settings.storage.path == tmp_path / "there"

    def test_a_mistake_in_the_environment_names_the_variable(self, tmp_path: Path) -> None:
        """A wrong variable is shown as a wrong key is."""
        (finding,) = findings_of(tmp_path, SITE, {"PILOTAGE_LOG_LEVEL": "loud"})

        assert str(finding.at) == "environment PILOTAGE_LOG_LEVEL:1:1"
        assert '"loud"' in finding.message

    def test_every_setting_with_a_variable_names_a_different_one(self) -> None:
        """No two settings are changed by one variable."""
        variables = [setting.variable for setting in SETTINGS if setting.variable]

        assert len(variables) == len(set(variables)) > 0

    def test_settings_can_go_to_another_process(self, tmp_path: Path) -> None:
        """Rules are compiled in a child process, which is handed the settings."""
        settings = settings_of(tmp_path, SITE + "inventory: [a.yaml]\n")

        assert pickle.loads(pickle.dumps(settings)).site == settings.site


BAD = {
    "unknown key": (
        SITE + "strage: {path: x}\n",
        "E110",
        'config.yaml has no key "strage"',
        'did you mean "storage"?',
    ),
    "unknown key below": (
        SITE + "storage: {jurnal: {keep: 3 d}}\n",
        "E110",
        '"storage" has no key "jurnal"',
        'did you mean "journal"?',
    ),
    "time zone": (
        "site: {time_zone: Europe/Pari, position: [47, 5]}\n",
        "C103",
        '"Europe/Pari" is no time zone',
        'did you mean "Europe/Paris"?',
    ),
    "latitude": (
        "site: {position: [95.1, 5]}\n",
        "C104",
        "[95.1, 5] is no position: the latitude 95.1 is not between -90 and 90",
        "",
    ),
    "post": (
        SITE + "posts: {Traffic: {trades: [traffic]}}\n",
        "C197",
        '"Traffic" is no name for a post',
        "",
    ),
    "key of a post": (
        SITE + "posts: {traffic: {trade: [traffic]}}\n",
        "E110",
        'the post "traffic" has no key "trade"',
        'did you mean "trades"?',
    ),
    "trades of admins": (
        SITE + "posts: {administration: {trades: [traffic]}}\n",
        "C197",
        "the post of the admins has no trades and no areas",
        "",
    ),
    "title of a post": (
        SITE + "posts: {traffic: {title: {french: Trafic}}}\n",
        "C107",
        '"french" is no language code',
        "",
    ),
    "null island": (
        "site: {position: [0, 0]}\n",
        "C104",
        "[0, 0] is no position: latitude 0, longitude 0 lies in the Gulf of Guinea and is what an empty field gives",
        "",
    ),
    "position of words": (
        "site: {position: [north, 5]}\n",
        "C104",
        "[north, 5] is no position: two numbers are expected",
        "",
    ),
    "position as a text": (
        "site: {position: Dijon}\n",
        "E112",
        '"site.position" is a list, not "Dijon"',
        "",
    ),
    "country": (
        "site: {position: [47, 5], country: FX}\n",
        "C105",
        'no holidays are known for the country "FX"',
        "",
    ),
    "subdivision": (
        "site: {position: [47, 5], country: FR, subdivision: Bourgogne}\n",
        "C106",
        'FR has no subdivision "Bourgogne"',
        "",
    ),
    "subdivision without country": (
        "site: {position: [47, 5], subdivision: X}\n",
        "C106",
        '"subdivision" needs "country"',
        "",
    ),
    "language": (
        "site: {position: [47, 5], language: french}\n",
        "C107",
        '"french" is no language code',
        "",
    ),
    "mode": (
        SITE + "control: {mode: 0666}\n",
        "C108",
        '"0666" is no file mode for a local socket',
        "",
    ),
    "connection name": (
        SITE + "connections: {a b: {adapter: mqtt}}\n",
        "C109",
        '"a b" is no name for a connection',
        "",
    ),
    "rate of nothing": (
        SITE + "connections: {s: {adapter: mqtt, max_rate: 0}}\n",
        "C181",
        '"max_rate" is a number of orders above 0, not "0"',
        "",
    ),
    "burst without a rate": (
        SITE + "connections: {s: {adapter: mqtt, max_burst: 10}}\n",
        "C182",
        '"max_burst" goes with "max_rate", and there is none',
        "",
    ),
    "pages on no port": (
        SITE + "web: {listen: 8080}\n",
        "C190",
        '"8080" is no address to listen on',
        "",
    ),
    "pages in clear": (
        SITE + "web: {listen: '10.0.0.5:8080'}\n",
        "C191",
        "the pages would go over the network in clear (10.0.0.5:8080)",
        "",
    ),
    "address in clear": (
        SITE + "web: {address: 'http://city.example'}\n",
        "C191",
        "the pages would go over the network in clear (http://city.example)",
        "",
    ),
    "key without certificate": (
        SITE + "web: {key: config.yaml}\n",
        "C192",
        "`key` is there, `certificate` is not",
        "",
    ),
    "any proxy": (
        SITE + "web: {behind_proxy: true, address: 'https://city.example'}\n",
        "C193",
        "`behind_proxy` needs the addresses of the proxies",
        "",
    ),
    "trusted without proxy": (
        SITE + "web: {trusted: [127.0.0.1]}\n",
        "C193",
        "`trusted` has no effect without `behind_proxy: true`",
        "",
    ),
    "the world as proxy": (
        SITE + "web: {behind_proxy: true, address: 'https://city.example', trusted: [0.0.0.0/0]}\n",
        "C194",
        '"0.0.0.0/0" is no address of a proxy',
        "",
    ),
    "provider in clear": (
        SITE
        + "web: {provider: {issuer: 'http://id.example', client: pages, secret: config.yaml}}\n",
        "C196",
        "the identity provider would be asked in clear (http://id.example)",
        "",
    ),
    "provider without a secret": (
        SITE + "web: {provider: {issuer: 'https://id.example', client: pages}}\n",
        "E111",
        'the identity provider has no "secret"',
        "",
    ),
    "address with a path": (
        SITE + "web: {address: 'https://city.example/pages'}\n",
        "C195",
        '"https://city.example/pages" is no address of the pages',
        "",
    ),
    "proxy without address": (
        SITE + "web: {behind_proxy: true, trusted: [127.0.0.1]}\n",
        "C195",
        "how browsers reach the pages is not known from where they listen",
        "",
    ),
    "no adapter": (
        SITE + "connections: {street: {host: x}}\n",
        "E111",
        'the connection "street" has no "adapter"',
        "",
    ),
    "rules folder": (SITE + "rules: [ruls]\n", "C110", 'there is no file or folder "ruls"', ""),
    "duration without a unit": (
        SITE + "storage: {journal: {keep: 30}}\n",
        "E118",
        '"30" is no duration',
        "",
    ),
    "size": (
        SITE + "storage: {journal: {most: 4 giga}}\n",
        "C112",
        '"4 giga" is no size',
        "",
    ),
    "size without a unit": (
        SITE + "storage: {ballast: 32}\n",
        "C112",
        '"32" is no size',
        "",
    ),
    "choice": (
        SITE + "log: {format: jsn}\n",
        "E124",
        '"jsn" is no value of "log.format"',
        'did you mean "json"?',
    ),
    "boolean": (
        SITE + "engine: {uvloop: yes}\n",
        "E120",
        '"engine.uvloop" is true or false, not "yes"',
        "",
    ),
    "shape": (SITE + "storage: var\n", "E112", '"storage" is a map, not "var"', ""),
    "secret name": (
        SITE + "connections: {s: {adapter: mqtt, password: {secret: ../etc/shadow}}}\n",
        "C130",
        '"../etc/shadow" is no name for a secret',
        "",
    ),
    "tag": (
        SITE + "connections: {s: {adapter: mqtt, password: !env x}}\n",
        "E107",
        '"!env" is a YAML tag; rule files have none',
        "",
    ),
    "a size without end": (
        SITE + "storage: {ballast: 1e999 MB}\n",
        "C112",
        '"1e999 MB" is no size',
        "",
    ),
    "a duration that goes back": (
        SITE + "audit: {keep: 2 d -1 h}\n",
        "E118",
        '"2 d -1 h" is no duration',
        "",
    ),
    "a duration without end": (
        SITE + "audit: {keep: 1e999 s}\n",
        "E118",
        '"1e999 s" is no duration',
        "",
    ),
    "secret that is no name": (
        SITE + "connections: {s: {adapter: mqtt, password: !secret ../x}}\n",
        "C130",
        '"../x" is no name for a secret',
        "",
    ),
    "secret where none can be": (
        SITE + "log: {level: !secret x}\n",
        "E112",
        '"log.level" is a text, not a map',
        "",
    ),
    "empty": ("", "C102", "the file is empty", ""),
    "list": ("- site\n", "E112", '"config.yaml" is a map, not a list', ""),
}


class TestMistakes:
    @pytest.mark.parametrize("case", BAD)
    def test_is_told(self, tmp_path: Path, case: str) -> None:
        """Each mistake has its code, its message, its mend, and keeps the file out."""
        text, code, message, label = BAD[case]
        read = read_settings(written(tmp_path, text), {})
        finding = next(finding for finding in read.findings if finding.is_error)

        assert (finding.code, finding.message, finding.label) == (code, message, label)
        assert finding.mend
        assert read.settings is None

    @pytest.mark.parametrize(
        ("key", "mode", "code"),
        [
            (b"short", 0o600, "C134"),
            (b" " * 64, 0o600, "C134"),
            (b"k" * 48, 0o644, "C196"),
            (b"k" * 48, 0o600, ""),
            (None, 0, "C134"),
        ],
    )
    def test_key_file(self, tmp_path: Path, key: bytes | None, mode: int, code: str) -> None:
        """A key file that is too short, open to others or unreadable is found before the pages start."""
        file = tmp_path / "people.key"
        if key is None:
            file.mkdir()
        else:
            file.write_bytes(key)
            file.chmod(mode)
        read = read_settings(written(tmp_path, SITE + "web: {people_key: people.key}\n"), {})
        assert [f.code for f in read.findings] == ([code] if code else [])

    def test_all_at_once_in_order(self, tmp_path: Path) -> None:
        """One reading finds everything, and shows it as people read it."""
        text = "site: {time_zone: Paris, position: [1, 400]}\nlog: {levl: debug}\n"

        assert shown(tmp_path, text) == (
            'config.yaml:1:19: C103 "Paris" is no time zone\n'
            "   1 | site: {time_zone: Paris, position: [1, 400]}\n"
            '                         ^^^^^ did you mean "Europe/Paris"?\n'
            "   mend: write a name of the IANA database: Europe/Paris\n"
            "config.yaml:1:36: C104 [1, 400] is no position: the longitude 400 is not between -180 and 180\n"
            "   1 | site: {time_zone: Paris, position: [1, 400]}\n"
            "                                          ^^^^^^^^\n"
            "   mend: write [latitude, longitude] in degrees: [47.322, 5.041]\n"
            'config.yaml:2:7: E110 "log" has no key "levl"\n'
            "   2 | log: {levl: debug}\n"
            '             ^^^^ did you mean "level"?\n'
            "   mend: the keys are: level, format"
        )

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        """The nearest name beside it is proposed."""
        written(tmp_path, SITE)

        read = read_settings(tmp_path / "confg.yaml", {})

        assert read.settings is None
        assert read.findings[0].code == "C101"
        assert read.findings[0].label == 'did you mean "config.yaml"?'

    def test_load_raises_with_everything(self, tmp_path: Path) -> None:
        """Who wants settings or nothing gets one exception that shows all errors."""
        with pytest.raises(RuleError, match="Europe/Pari") as caught:
            settings_of(tmp_path, "site: {time_zone: Europe/Pari, language: x}\n")

        assert {finding.code for finding in caught.value.findings} >= {"C103", "C107"}

    def test_a_site_without_position_is_warned(self, tmp_path: Path) -> None:
        """It works, but its nights are unknown."""
        (finding,) = findings_of(tmp_path, "site: {name: X}\n")

        assert (finding.code, finding.is_error) == ("W111", False)


class TestSecrets:
    TEXT = SITE + "connections: {s: {adapter: mqtt, tls: [{key: {secret: broker-key}}]}}\n"

    def secret(self, settings: Settings) -> Secret:
        found = settings.connections[0].options["tls"][0]["key"]
        assert isinstance(found, Secret)
        return found

    def file(self, folder: Path, mode: int = 0o600) -> Path:
        (folder / "secrets").mkdir()
        file = folder / "secrets" / "broker-key"
        file.write_text("s3cret-canary\n", encoding="utf-8")
        file.chmod(mode)
        return file

    def test_comes_from_its_file(self, tmp_path: Path) -> None:
        """The last line break is the editor's, not the secret's."""
        self.file(tmp_path)

        assert self.secret(settings_of(tmp_path, self.TEXT)).reveal() == "s3cret-canary"

    def test_the_environment_goes_before_the_file(self, tmp_path: Path) -> None:
        """A service manager may hand over a secret without a file."""
        environ = {"PILOTAGE_SECRET_BROKER_KEY": "from-outside"}

        assert self.secret(settings_of(tmp_path, self.TEXT, environ)) == "from-outside"

    @pytest.mark.parametrize("written", ["!secret broker-key", '!secret "broker-key"'])
    def test_a_tag_says_the_same(self, tmp_path: Path, written: str) -> None:
        """`!secret NAME` is `{secret: NAME}`."""
        self.file(tmp_path)
        text = self.TEXT.replace("{secret: broker-key}", written)

        assert self.secret(settings_of(tmp_path, text)).reveal() == "s3cret-canary"

    def test_a_tag_is_told_at_its_name(self, tmp_path: Path) -> None:
        """The caret stands under the name, quoted or not."""
        text = SITE + "connections: {s: {adapter: mqtt, password: !secret 'secret'}}\n"

        (finding,) = findings_of(tmp_path, text)

        assert (finding.code, finding.at.column, finding.at.length) == ("C131", 52, 8)

    def credential(self, folder: Path, mode: int) -> dict[str, str]:
        """Put a secret where systemd does, and return the environment that says so."""
        (folder / "credentials").mkdir()
        file = folder / "credentials" / "broker-key"
        file.write_text("from-systemd\n", encoding="utf-8")
        file.chmod(mode)
        return {"CREDENTIALS_DIRECTORY": str(folder / "credentials")}

    @pytest.mark.parametrize("mode", [0o400, 0o440])
    def test_systemd_hands_it_over(self, tmp_path: Path, mode: int) -> None:
        """A credential goes before the folder; where it has an access list, its mask shows as rights of the group."""
        self.file(tmp_path)
        environ = self.credential(tmp_path, mode)

        assert self.secret(settings_of(tmp_path, self.TEXT, environ)) == "from-systemd"

    def test_an_open_credential_is_refused(self, tmp_path: Path) -> None:
        """What everybody may read is no secret, whoever put it there."""
        (finding,) = findings_of(tmp_path, self.TEXT, self.credential(tmp_path, 0o444))

        assert finding.code == "C132"

    def test_without_a_credential_the_folder_counts(self, tmp_path: Path) -> None:
        """Some secrets may come from systemd and others from the folder."""
        self.file(tmp_path)
        environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}

        assert self.secret(settings_of(tmp_path, self.TEXT, environ)) == "s3cret-canary"

    def test_never_shows_itself(self, tmp_path: Path) -> None:
        """Whatever prints settings prints stars."""
        self.file(tmp_path)
        settings = settings_of(tmp_path, self.TEXT)
        secret = self.secret(settings)

        for text in (
            repr(settings),
            f"{settings.connections[0].options}",
            f"{secret}",
            str(secret),
        ):
            assert "canary" not in text
        assert "***" in repr(settings)
        assert "canary" not in "%s" % secret  # noqa: UP031

    def test_libraries_take_it_as_a_text(self) -> None:
        """It encodes and compares as what it is."""
        assert Secret("abc").encode() == b"abc"
        assert type(Secret("abc").reveal()) is str
        assert json.loads(json.dumps(Secret("abc"))) == "abc"

    def test_readable_by_others_is_refused(self, tmp_path: Path) -> None:
        """The mend is the command to type, and the secret is not in the message."""
        self.file(tmp_path, 0o644)

        (finding,) = findings_of(tmp_path, self.TEXT)

        assert finding.code == "C132"
        assert "has mode 0644" in finding.message
        assert finding.mend == f"chmod 600 {tmp_path}/secrets/broker-key"

    def test_missing_names_file_and_variable(self, tmp_path: Path) -> None:
        """Both ways to give it are told."""
        (finding,) = findings_of(tmp_path, self.TEXT)

        assert finding.code == "C131"
        assert "secrets/broker-key" in finding.mend
        assert "PILOTAGE_SECRET_BROKER_KEY" in finding.mend

    def test_empty_is_refused(self, tmp_path: Path) -> None:
        """An empty file is a forgotten one."""
        self.file(tmp_path).write_text("\n", encoding="utf-8")

        (finding,) = findings_of(tmp_path, self.TEXT)

        assert (finding.code, finding.message[-11:]) == ("C133", "it is empty")

    def test_in_the_open_is_warned_and_hidden(self, tmp_path: Path) -> None:
        """The excerpt that goes with the warning does not repeat it."""
        text = SITE + "connections: {s: {adapter: mqtt, password: hunter2}}\n"

        assert "W134" in shown(tmp_path, text)
        assert "hunter2" not in shown(tmp_path, text)

    def test_are_not_needed_for_a_check(self, tmp_path: Path) -> None:
        """A check on a desk works without the city's secrets."""
        read = read_settings(written(tmp_path, self.TEXT), {}, secrets=False)

        assert read.settings is not None
        assert not read.findings


class _Factory:
    """An adapter whose check finds nothing, or fails."""

    name = "mqtt"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def check(self, settings: ConnectionSettings, site: Site) -> list[Finding]:
        if self.error is not None:
            raise self.error
        return []

    def open(self, settings: ConnectionSettings, site: Site, door: Door) -> Adapter:
        raise NotImplementedError


class _Nowhere:
    """A site without entities."""

    name = "nowhere"

    def entities(self, kind: str = "") -> list[object]:
        return []


POSTS = """\
posts:
  traffic: {title: {fr: Trafic, en: Traffic}, trades: [traffic, lighting], areas: [Dijon], phone: 03 80 00 00 00}
  calls:
"""


class TestPosts:
    def test_read(self, tmp_path: Path) -> None:
        """Posts stand in the order of the file, each with its trades, its areas and what people call it."""
        traffic, calls = settings_of(tmp_path, SITE + POSTS).posts
        assert (traffic.id, traffic.titles, traffic.phone) == (
            "traffic",
            {"fr": "Trafic", "en": "Traffic"},
            "03 80 00 00 00",
        )
        assert ([*traffic.trades], [*traffic.areas]) == (["traffic", "lighting"], ["Dijon"])
        assert (calls.id, calls.titles, calls.trades) == ("calls", {}, {})

    def test_against_the_city(self, tmp_path: Path) -> None:
        """A trade that no plugin brings is a mistake at its word; an area in which nothing is, a doubt."""
        settings = settings_of(tmp_path, SITE + POSTS)
        (trade,) = check_names(settings, ["traffic", "lightning"], [])
        assert (trade.code, trade.label) == ("C198", 'did you mean "lightning"?')
        assert (trade.at.line, trade.at.column) == (3, 65)
        (area,) = check_areas(settings.posts, [EntitySpec("L", "lamp", zone="Dijn")])
        assert (area.code, area.is_error, area.label) == ("W199", False, 'did you mean "Dijn"?')
        assert check_areas(settings.posts, [EntitySpec("L", "lamp", zone="Dijon")]) == []


class TestNames:
    def test_unknown_adapter(self, tmp_path: Path) -> None:
        """The place is the word, and the nearest adapter is proposed."""
        settings = settings_of(tmp_path, SITE + "connections: {s: {adapter: mqqt}}\n")
        adapters: dict[str, AdapterFactory] = {"mqtt": _Factory()}

        (finding,) = check_connections(settings, adapters, _Nowhere())  # type: ignore[arg-type]

        assert finding.message == 'no plugin brings an adapter "mqqt"'
        assert finding.label == 'did you mean "mqtt"?'
        assert (finding.at.line, finding.at.column) == (2, 28)

    def test_an_adapter_that_fails_is_named(self, tmp_path: Path) -> None:
        """A plugin's mistake in a check is a finding, not the end."""
        settings = settings_of(tmp_path, SITE + "connections: {s: {adapter: mqtt}}\n")
        adapters: dict[str, AdapterFactory] = {"mqtt": _Factory(KeyError("host"))}

        (finding,) = check_connections(settings, adapters, _Nowhere())  # type: ignore[arg-type]

        assert finding.code == "C143"
        assert "KeyError: 'host'" in finding.message

    def test_unknown_plugin_and_pack(self, tmp_path: Path) -> None:
        """A plugin that is not there need not be disabled; a pack that is not there is missed."""
        settings = settings_of(tmp_path, SITE + "plugins: {disable: [wintr]}\npacks: [lightning]\n")

        plugin, pack = check_names(settings, ["winter"], ["lighting"])

        assert (plugin.code, plugin.is_error, plugin.label) == (
            "W140",
            False,
            'did you mean "winter"?',
        )
        assert (pack.code, pack.is_error, pack.label) == ("C141", True, 'did you mean "lighting"?')


class TestPace:
    @pytest.mark.parametrize(
        ("written", "pace"),
        [("", None), ("max_rate: 200", Rate(200, 1.0)), ("max_rate: 0.5, max_burst: 3", Rate(3, 6.0))],
    )  # fmt: skip
    def test_connection(self, tmp_path: Path, written: str, pace: Rate | None) -> None:
        """A connection's `max_rate` is a burst and the time in which it fills again; the adapter does not see it."""
        file = tmp_path / "config.yaml"
        file.write_text(
            SITE + f"connections: {{s: {{adapter: mqtt, host: x, {written}}}}}\nrules: []\n"
        )
        (connection,) = load_settings(file).connections
        assert (connection.pace, dict(connection.options)) == (pace, {"host": "x"})
