"""`pilotage user`: people of the pages on the command line, run as a program."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pilotage.cli import main
from pilotage_web.people.register import open_register
from pilotage_web.place import Place, tell_address

CONFIG = "site: {name: Dijon, time_zone: Europe/Paris, position: [47.3, 5.0], language: fr}\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return the configuration of a site that has no people yet."""
    (tmp_path / "config.yaml").write_text(CONFIG, encoding="utf-8")
    return tmp_path / "config.yaml"


def user(site: Path, *words: str) -> int:
    """Run the command."""
    return main(["user", *words, "-c", str(site)])


def listed(site: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    """Return who there is, by name."""
    capsys.readouterr()
    assert user(site, "list", "--json") == 0
    return {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}


class TestFirstAdmin:
    def test_link_that_lets_in(self, site: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The first admin is made here, and comes in by the link that is printed."""
        assert user(site, "add", "ann", "--admin", "--person", "root") == 0

        (link,) = re.findall(r"/sign-in/link/(\S+)", capsys.readouterr().out)
        people = open_register(site.parent / "var" / "web")
        account = people.accounts.get("ann")
        assert account is not None
        assert account.is_admin
        assert people.accounts.who_may_use(link, account.added + 60) == account
        assert people.records.waiting()[0][1].person == "root"
        people.close()

    def test_where_the_pages_listen(self, site: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The link has the address of the pages that run; while none run, that of the configuration."""
        folder = site.parent / "var" / "web"
        with Place(folder):
            tell_address(folder, "http://127.0.0.1:18099")
            assert user(site, "add", "ann", "--admin") == 0
        assert "http://127.0.0.1:18099/sign-in/link/" in capsys.readouterr().out
        assert user(site, "link", "ann") == 0
        assert "http://127.0.0.1:8080/sign-in/link/" in capsys.readouterr().out


class TestPeople:
    def test_roles(self, site: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Roles are given at once, and replaced as a whole."""
        user(site, "add", "nadia", "--role", "traffic=operator", "--role", "snow=viewer")
        assert listed(site, capsys)["nadia"]["roles"] == ["snow=viewer", "traffic=operator"]

        assert user(site, "role", "nadia", "video=engineer") == 0
        assert listed(site, capsys)["nadia"]["roles"] == ["video=engineer"]

    def test_password_from_a_pipe(
        self,
        site: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        """One that everybody tries is refused with the mend; a good one is taken."""
        user(site, "add", "nadia", "--role", "traffic=operator")
        for typed, code in (("Password123456", 1), ("seven tin cups on a sill", 0)):
            (tmp_path / "typed").write_text(typed + "\n", encoding="utf-8")
            with (tmp_path / "typed").open(encoding="utf-8") as line:
                monkeypatch.setattr("sys.stdin", line)
                assert user(site, "password", "nadia") == code

        assert "everybody tries first" in capsys.readouterr().err
        assert listed(site, capsys)["nadia"]["password"] is True

    def test_out_and_in(self, site: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Disabled, enabled, removed."""
        user(site, "add", "nadia", "--role", "traffic=operator")
        assert user(site, "disable", "nadia") == 0
        assert listed(site, capsys)["nadia"]["disabled"] is True
        assert user(site, "link", "nadia") == 1
        assert user(site, "enable", "nadia") == 0
        assert user(site, "code-reset", "nadia") == 0
        assert user(site, "remove", "nadia") == 0
        assert listed(site, capsys) == {}

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("add", "Nadia"), "write 2 to 32 small letters"),
            (("add", "nadia", "--role", "snow"), "write POST=ROLE"),
            (("add", "nadia", "--role", "snow=boss"), "viewer, operator, engineer, admin"),
            (("add", "nadia", "--role", "ice=viewer"), "the posts are administration"),
            (("role", "nobody", "snow=viewer"), "`pilotage user list` shows who there is"),
            (("disable", "nobody"), 'there is no account "nobody"'),
        ],
    )
    def test_mistakes(
        self, site: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
    ) -> None:
        """Each says what is expected, and nothing is changed."""
        assert user(site, *words) == 1
        assert said in capsys.readouterr().err
        assert listed(site, capsys) == {}
