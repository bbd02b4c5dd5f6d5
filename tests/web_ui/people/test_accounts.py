"""Accounts, roles, recovery codes and links."""

from __future__ import annotations

import stat

import pytest
from tests.web_ui.people.conftest import CLI, NOW

from pilotage_web.people.accounts import AccountError
from pilotage_web.people.records import By
from pilotage_web.people.register import Register, open_register
from pilotage_web.people.sessions import Origin
from pilotage_web.people.store import PeopleFileError, Store, sqlite
from pilotage_web.rights import Role

ANN = By("ann", "web 192.0.2.7", post="administration")


def rows(people: Register) -> list[tuple[str, str, str]]:
    """Return what waits for the audit."""
    return [(row.action, row.person, row.about) for _, row in people.records.waiting()]


def enter(people: Register, name: str, post: str) -> str:
    """Begin a session."""
    with people.store.writing() as change:
        return people.sessions.begin(change, name, post, Origin("192.0.2.9"), NOW)


class TestFile:
    def test_its_owner_alone(self, people: Register) -> None:
        """Nobody else can read the file, and one that others could read is refused with the mend."""
        path = people.store.path
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

        path.chmod(0o644)
        with pytest.raises(PeopleFileError, match=rf"chmod 600 {path}"):
            Store(path)

    def test_no_default_account(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        """A new file has nobody in it (ASVS 6.3.2)."""
        fresh = open_register(tmp_path_factory.mktemp("fresh"))
        assert fresh.accounts.all() == []
        fresh.close()

    def test_another_program_s_file(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        """The database of something else is left as it is."""
        path = tmp_path_factory.mktemp("other") / "people.db"
        other = sqlite.connect(str(path))
        other.execute("CREATE TABLE theirs (x)")
        other.close()
        path.chmod(0o600)

        with pytest.raises(PeopleFileError, match="another program"):
            Store(path)

    def test_no_secret_is_in_it(self, people: Register) -> None:
        """Neither a password nor a session, a link or a recovery code can be read from the file."""
        link = people.accounts.new_link("ann", CLI, NOW)
        session = enter(people, "nadia", "traffic")
        codes = people.accounts.set_second("nadia", "A" * 32, 1, CLI, NOW)
        held = b"".join(
            file.read_bytes() for file in people.store.path.parent.iterdir() if file.is_file()
        )

        assert b"nadia" in held
        for secret in (link, session, "seven tin cups on a sill", *codes):
            assert secret.encode() not in held
            assert secret.replace("-", "").encode() not in held


class TestAdding:
    @pytest.mark.parametrize(
        "name", ["", "a", "Nadia", "nadia c", "1nadia", "n" * 33, "na/dia", "é"]
    )
    def test_names(self, people: Register, name: str) -> None:
        """A name is plain enough to be typed, logged and put into an address."""
        with pytest.raises(AccountError, match="mend: write 2 to 32 small letters"):
            people.accounts.add(name, {}, CLI, NOW)

    def test_twice(self, people: Register) -> None:
        """A name is one person's."""
        with pytest.raises(AccountError, match='"nadia" is there already'):
            people.accounts.add("nadia", {}, CLI, NOW)

    def test_a_post_that_is_not_there(self, people: Register) -> None:
        """The mend lists those that are."""
        with pytest.raises(AccountError, match=r'no post "snwo"\n   mend: the posts are .*snow'):
            people.accounts.add("karim", {"snwo": Role.OPERATOR}, CLI, NOW)

    def test_admins_are_apart(self, people: Register) -> None:
        """An admin is one at the administration, and nobody else is there."""
        for roles in ({"traffic": Role.ADMIN}, {"administration": Role.OPERATOR}):
            with pytest.raises(AccountError, match="an admin is one at administration"):
                people.accounts.add("karim", roles, CLI, NOW)


class TestChanging:
    def test_each_is_told(self, people: Register) -> None:
        """Each change is a row for the audit, with who did it and about whom, in the same transaction."""
        before = len(rows(people))
        people.accounts.add("karim", {"snow": Role.OPERATOR}, ANN, NOW)
        people.accounts.set_roles("karim", {"snow": Role.ENGINEER}, ANN, NOW)
        people.accounts.disable("karim", ANN, NOW)
        people.accounts.enable("karim", ANN, NOW)
        people.accounts.set_password("karim", "hash", By("karim", "web"), NOW)
        people.accounts.drop_second("karim", ANN, NOW)
        people.accounts.remove("karim", ANN, NOW)

        assert rows(people)[before:] == [
            ("user_added", "ann", "karim"),
            ("role_changed", "ann", "karim"),
            ("locked", "ann", "karim"),
            ("unlocked", "ann", "karim"),
            ("password_changed", "karim", ""),
            ("user_changed", "ann", "karim"),
            ("user_removed", "ann", "karim"),
        ]
        assert people.records.waiting()[-1][1].via == "web 192.0.2.7 administration"

    def test_a_refused_one_changes_nothing(self, people: Register) -> None:
        """What is refused half way is as it was before, in the audit too."""
        before = rows(people)
        with pytest.raises(AccountError, match='"ann" is the last admin'):
            people.accounts.set_roles("ann", {"traffic": Role.OPERATOR}, ANN, NOW)

        assert people.accounts.need("ann").is_admin
        assert rows(people) == before

    def test_the_last_admin_stays(self, people: Register) -> None:
        """Somebody can always let people in; with a second admin the first may go."""
        with pytest.raises(AccountError, match="last admin"):
            people.accounts.disable("ann", ANN, NOW)
        with pytest.raises(AccountError, match="last admin"):
            people.accounts.remove("ann", ANN, NOW)

        people.accounts.add("bob", {"administration": Role.ADMIN}, CLI, NOW)
        people.accounts.remove("ann", CLI, NOW)
        assert people.accounts.get("ann") is None

    def test_shut_out_at_once(self, people: Register) -> None:
        """Who is disabled is out with the next request."""
        secret = enter(people, "nadia", "traffic")
        assert people.sessions.of(secret, NOW) is not None

        people.accounts.disable("nadia", ANN, NOW)
        assert people.sessions.of(secret, NOW) is None
        people.accounts.enable("nadia", ANN, NOW)
        assert people.sessions.of(secret, NOW) is None

    def test_a_role_that_is_taken_away(self, people: Register) -> None:
        """A session at a post that the person has no role at ends; another goes on with the role of today."""
        at_snow, at_traffic = enter(people, "nadia", "snow"), enter(people, "nadia", "traffic")
        people.accounts.set_roles("nadia", {"traffic": Role.VIEWER}, ANN, NOW)

        assert people.sessions.of(at_snow, NOW) is None
        session = people.sessions.of(at_traffic, NOW)
        assert session is not None
        assert session.role is Role.VIEWER

    def test_a_new_password_ends_the_other_sessions(self, people: Register) -> None:
        """Somebody else who was in with the old one is out (ASVS 7.4.3)."""
        mine, other = enter(people, "nadia", "traffic"), enter(people, "nadia", "traffic")
        session = people.sessions.of(mine, NOW)
        assert session is not None
        people.accounts.set_password("nadia", "hash", By("nadia", "web"), NOW, keep=session.key)

        assert people.sessions.of(mine, NOW) is not None
        assert people.sessions.of(other, NOW) is None


class TestLink:
    def test_once(self, people: Register) -> None:
        """A link lets in once, and looking at it does not use it up."""
        link = people.accounts.new_link("nadia", CLI, NOW)
        assert people.accounts.who_may_use(link, NOW) == people.accounts.get("nadia")
        assert people.accounts.who_may_use(link, NOW) is not None

        with people.store.writing() as change:
            assert people.accounts.use_link(change, link, NOW)
            assert not people.accounts.use_link(change, link, NOW)
        assert people.accounts.who_may_use(link, NOW) is None

    def test_a_day(self, people: Register) -> None:
        """A day later it is over; a newer one makes it void."""
        link = people.accounts.new_link("nadia", CLI, NOW)
        assert people.accounts.who_may_use(link, NOW + 86_401) is None

        people.accounts.new_link("nadia", CLI, NOW)
        assert people.accounts.who_may_use(link, NOW) is None

    def test_none_for_who_is_shut_out(self, people: Register) -> None:
        """A disabled person gets no link."""
        people.accounts.disable("nadia", ANN, NOW)
        with pytest.raises(AccountError, match="is disabled"):
            people.accounts.new_link("nadia", CLI, NOW)


class TestRecovery:
    def test_once_each(self, people: Register) -> None:
        """A code is one person's, and good once; new ones make the old void."""
        codes = people.accounts.set_second("nadia", "A" * 32, 1, CLI, NOW)
        assert people.accounts.has_recovery("nadia", codes[0].upper())
        assert not people.accounts.has_recovery("ann", codes[0])

        with people.store.writing() as change:
            assert people.accounts.use_recovery(change, "nadia", codes[0])
            assert not people.accounts.use_recovery(change, "nadia", codes[0])
        assert people.accounts.recovery_left("nadia") == 9
        people.accounts.new_recovery("nadia", CLI, NOW)
        assert not people.accounts.has_recovery("nadia", codes[1])
