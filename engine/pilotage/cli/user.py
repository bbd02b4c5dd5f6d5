"""`pilotage user`: who may sign in to the pages. The first admin is made here; there is no account that nobody made."""

from __future__ import annotations

import argparse
import getpass
import sys
import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

from pilotage.cli import Parser, add_command
from pilotage.cli.asking import add_config_option, duration, person_of, span_text
from pilotage.cli.console import FAILED, OK, console, print_error, print_json, print_table, table

if TYPE_CHECKING:
    from pilotage.runtime.config import Settings
    from pilotage_web.people.accounts import Account
    from pilotage_web.people.records import By
    from pilotage_web.people.register import Register
    from pilotage_web.rights import Role

_EXAMPLES = """\
  pilotage user add ann --admin                                 the first admin; prints a link that lets in once
  pilotage user add nadia --role traffic=operator --name "Nadia Garcia"
  pilotage user role nadia traffic=operator snow=viewer         these roles and no others
  pilotage user link nadia                                      another link, for who forgot the password
  pilotage user code-reset nadia                                the telephone with the second factor is lost
"""

Work = Callable[["Register", argparse.Namespace, "By"], int]


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers, "user", "add and change who may sign in to the pages", _EXAMPLES
    )
    actions = parser.add_subparsers(
        title="actions", dest="action", metavar="ACTION", parser_class=Parser
    )
    parser.set_defaults(run=lambda arguments: _help(parser))

    add = _action(actions, "add", "add a person and print a link that lets in once", _add)
    add.add_argument("--role", action="append", default=[], metavar="POST=ROLE", help="viewer, operator or engineer at a post; may be repeated")  # fmt: skip
    add.add_argument("--admin", action="store_true", help="keeps users and tokens; no command over the city")  # fmt: skip
    add.add_argument("--name", default="", metavar="TEXT", help="the full name, for the pages")
    add.add_argument("--language", choices=("fr", "en"), default=None, help="of the pages (default: the site's)")  # fmt: skip
    add.add_argument("--provider", action="store_true", help="may come in through the identity provider")  # fmt: skip
    add.add_argument("--for", dest="for_s", type=duration, default=86_400.0, metavar="DURATION", help="how long the link is good (default: 1 d)")  # fmt: skip

    listing = _action(actions, "list", "show who there is", _list, named=False)
    listing.add_argument("--json", action="store_true", help="for programs")

    role = _action(actions, "role", "give a person these roles and no others", _role)
    role.add_argument("roles", nargs="*", metavar="POST=ROLE", help="none takes all roles away")

    _action(
        actions,
        "password",
        "type a password for a person; all sessions of the person end",
        _password,
    )
    link = _action(actions, "link", "print a link that lets a person in once", _link)
    link.add_argument("--for", dest="for_s", type=duration, default=86_400.0, metavar="DURATION", help="how long it is good (default: 1 d)")  # fmt: skip
    _action(actions, "code-reset", "take the second factor away, for who lost it", _code_reset)
    _action(
        actions, "disable", "let nobody in as a person any more, and end all sessions", _disable
    )
    _action(actions, "enable", "let a person in again", _enable)
    _action(actions, "remove", "take a person out", _remove)


def _action(
    actions: Any, name: str, help_: str, work: Work, *, named: bool = True
) -> argparse.ArgumentParser:
    parser = add_command(actions, name, help_)
    if named:
        parser.add_argument("user", metavar="NAME", help="what is typed at the sign-in")
    parser.add_argument("--person", metavar="NAME", default="", help="who gives the order (default: you, by your login)")  # fmt: skip
    add_config_option(parser)
    parser.set_defaults(run=lambda arguments: _run(arguments, work))
    return parser


def _help(parser: argparse.ArgumentParser) -> int:
    parser.print_help()
    return OK


def _run(arguments: argparse.Namespace, work: Work) -> int:
    """Open the people of the site, do one thing, and say what cannot be done with its mend."""
    from pilotage.cli.history import settings_of
    from pilotage.runtime.web_process import FOLDER
    from pilotage_web.people.accounts import AccountError
    from pilotage_web.people.records import By
    from pilotage_web.people.register import open_register
    from pilotage_web.people.sealing import KeyFileError, read_key
    from pilotage_web.people.store import PeopleFileError

    arguments.settings = settings_of(arguments)
    try:
        settings = arguments.settings
        file = settings.web.people_key if settings.web is not None else None
        key = read_key("" if file is None else str(file))
        place = settings.storage.path / FOLDER
        with closing(open_register(place, settings.posts, key=key)) as people:
            return work(people, arguments, By(person_of(arguments), "cli"))
    except AccountError as error:
        print_error(error.text, error.mend)
    except (PeopleFileError, KeyFileError) as error:
        text, _, mend = str(error).partition("\n   mend: ")
        print_error(text, mend)
    return FAILED


# ── the actions ──────────────────────────────────────────────────────────────────────────────


def _add(people: Register, arguments: argparse.Namespace, by: By) -> int:
    from pilotage_web.people.posts import ADMINISTRATION

    written = [*arguments.role, *([f"{ADMINISTRATION}=admin"] if arguments.admin else [])]
    site = arguments.settings.site.language
    people.accounts.add(
        arguments.user,
        _roles(written),
        by,
        time.time(),
        full_name=arguments.name,
        language=arguments.language or ("fr" if site == "fr" else "en"),
        provider=arguments.provider,
    )
    if not written:
        console().print(f"{arguments.user} has no role yet: `pilotage user role`", markup=False)
    return _link(people, arguments, by)


def _link(people: Register, arguments: argparse.Namespace, by: By) -> int:
    link = people.accounts.new_link(arguments.user, by, time.time(), for_s=arguments.for_s)
    out = console()
    out.print(
        f"{arguments.user} comes in once, within {span_text(arguments.for_s)}, by", markup=False
    )
    out.print(f"  {_address(arguments.settings)}/sign-in/link/{link}", markup=False)
    return OK


def _list(people: Register, arguments: argparse.Namespace, by: By) -> int:
    accounts = people.accounts.all()
    if arguments.json:
        print_json([_plain(account) for account in accounts])
        return OK
    rows = table("NAME", "FULL NAME", "ROLES", "PASSWORD", "SECOND FACTOR", "STATE")
    for each in accounts:
        plain = _plain(each)
        rows.row(
            *(each.name, each.full_name, " ".join(plain["roles"])),
            *("yes" if each.password else "none yet", "yes" if each.second else "no"),
            "disabled" if each.disabled else "",
        )
    print_table(rows)
    return OK


def _plain(account: Account) -> dict[str, Any]:
    return {
        "name": account.name,
        "full_name": account.full_name,
        "roles": [f"{post}={role.value}" for post, role in account.roles.items()],
        "password": bool(account.password),
        "second_factor": bool(account.second),
        "provider": bool(account.provider),
        "disabled": account.disabled is not None,
        "added": account.added,
    }


def _role(people: Register, arguments: argparse.Namespace, by: By) -> int:
    people.accounts.set_roles(arguments.user, _roles(arguments.roles), by, time.time())
    return _done(f"{arguments.user} is {', '.join(arguments.roles) or 'nothing anywhere'}")


def _password(people: Register, arguments: argparse.Namespace, by: By) -> int:
    from pilotage_web.people.accounts import AccountError
    from pilotage_web.people.passwords import WHY, why_not

    account = people.accounts.need(arguments.user)
    password = _typed()
    site = arguments.settings.site.name
    why = why_not(password, account.name, account.full_name, site)
    if why:
        raise AccountError(
            "password",
            f"this password is not taken: {WHY[why]}",
            "choose a longer one of several words",
        )
    people.accounts.set_password(account.name, people.hasher.hash_now(password), by, time.time())
    return _done(f"{account.name} has a new password, and all sessions are ended")


def _typed() -> str:
    """Return a password, typed twice at a terminal or read as one line."""
    from pilotage_web.people.accounts import AccountError

    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("password: ")
    if getpass.getpass("once more: ") != password:
        raise AccountError("password", "the two are not the same", "type it again")
    return password


def _code_reset(people: Register, arguments: argparse.Namespace, by: By) -> int:
    people.accounts.drop_second(arguments.user, by, time.time())
    return _done(f"{arguments.user} has no second factor any more, and all sessions are ended")


def _disable(people: Register, arguments: argparse.Namespace, by: By) -> int:
    people.accounts.disable(arguments.user, by, time.time())
    return _done(f"nobody comes in as {arguments.user}, and all sessions are ended")


def _enable(people: Register, arguments: argparse.Namespace, by: By) -> int:
    people.accounts.enable(arguments.user, by, time.time())
    return _done(f"{arguments.user} may come in again")


def _remove(people: Register, arguments: argparse.Namespace, by: By) -> int:
    people.accounts.remove(arguments.user, by, time.time())
    return _done(f"{arguments.user} is taken out; the audit still knows what was done")


# ── helpers of this command ──────────────────────────────────────────────────────────────────


def _done(text: str) -> int:
    console().print(f"[good]done[/good]: {text}")
    return OK


def _roles(written: list[str]) -> dict[str, Role]:
    """Return the roles of `POST=ROLE`."""
    from pilotage_web.people.accounts import AccountError
    from pilotage_web.rights import Role

    found: dict[str, Role] = {}
    for text in written:
        post, is_there, role = text.partition("=")
        if not is_there or role not in set(Role):
            raise AccountError(
                "role",
                f'"{text}" is no role at a post',
                f"write POST=ROLE with one of {', '.join(Role)}",
            )
        if post in found:
            raise AccountError(
                "role", f'two roles at "{post}"', "a person has one role at each post"
            )
        found[post] = Role(role)
    return found


def _address(settings: Settings) -> str:
    """Return where the pages listen now; while none run, where the site says, or where they are by default."""
    from pilotage.runtime.web_process import FOLDER
    from pilotage.runtime.web_settings import WebSettings
    from pilotage_web.place import address_of

    if address := address_of(settings.storage.path / FOLDER):
        return address
    web = settings.web or WebSettings()
    scheme = "http" if web.certificate is None else "https"
    host = f"[{web.host}]" if ":" in web.host else web.host
    return web.address or f"{scheme}://{host}:{web.port}"
