"""Every message about a site's files, one function each, with its mend.

C101 to C129 speak of `config.yaml`, C130 to C139 of secrets, C140 to C149 of plugins and connections,
C150 to C159 of the history, C160 to C169 of the machine, C170 to C179 of the listener for metrics,
C190 to C199 of the pages, C200 to C249 of the inventory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pilotage.language.findings import did_you_mean
from pilotage.model.diagnostics import Finding, Severity, Span
from pilotage.model.values import Position


def _error(code: str, at: Span, message: str, label: str = "", mend: str = "") -> Finding:
    return Finding(code, Severity.ERROR, at, message, label, mend)


def _warning(code: str, at: Span, message: str, label: str = "", mend: str = "") -> Finding:
    return Finding(code, Severity.WARNING, at, message, label, mend)


def _shown(text: object) -> str:
    one_line = " ".join(str(text).split())
    return one_line if len(one_line) <= 60 else one_line[:57] + "..."


def _listed(words: Iterable[str], limit: int = 12) -> str:
    every = list(words)
    more = f" and {len(every) - limit} more" if len(every) > limit else ""
    return ", ".join(every[:limit]) + more


# ── config.yaml ──────────────────────────────────────────────────────────────────────────────


def file_unreadable(at: Span, file: str, error: OSError, beside: Sequence[str] = ()) -> Finding:
    """Return the finding for a file that is missing or may not be read."""
    path = Path(file)
    if isinstance(error, FileNotFoundError):
        hint = did_you_mean(path.name, beside)
        mend = f"create it, or write the path from the folder of {Path(at.file).name}"
        return _error("C101", at, f'there is no file "{file}"', hint, mend)
    if isinstance(error, IsADirectoryError):
        return _error(
            "C101", at, f'"{file}" is a folder, not a file', "", "write the path of a file in it"
        )
    why = error.strerror or str(error)
    return _error(
        "C101",
        at,
        f'"{file}" cannot be read: {why}',
        "",
        "give the service's user the right to read it",
    )


def link_to_nothing(at: Span, file: str, target: str) -> Finding:
    """Return the finding for a link among the rules that leads nowhere."""
    message = f'"{file}" is a link to {target}, where there is nothing'
    return _error("C101", at, message, "", "make the link anew, or delete it")


def empty_file(at: Span) -> Finding:
    """Return the finding for a configuration without a single key."""
    return _error(
        "C102",
        at,
        "the file is empty",
        "",
        "write at least site: {name: ..., time_zone: Europe/Paris}",
    )


def bad_time_zone(at: Span, written: str, known: Sequence[str]) -> Finding:
    """Return the finding for a time zone that does not exist; a city alone leads to its zone."""
    city = next((name for name in known if name.endswith(f"/{written}")), "")
    hint = f'did you mean "{city}"?' if city else did_you_mean(written, known)
    return _error(
        "C103", at, f'"{_shown(written)}" is no time zone', hint,
        "write a name of the IANA database: Europe/Paris",
    )  # fmt: skip


def bad_position(at: Span, written: str, why: str) -> Finding:
    """Return the finding for a place that is not on earth, or on no city's."""
    return _error(
        "C104", at, f"{_shown(written)} is no position: {why}", "",
        "write [latitude, longitude] in degrees: [47.322, 5.041]",
    )  # fmt: skip


def bad_country(at: Span, written: str, known: Iterable[str]) -> Finding:
    """Return the finding for a country whose holidays are not known."""
    return _error(
        "C105", at, f'no holidays are known for the country "{_shown(written)}"', did_you_mean(written, known),
        "write its two letters by ISO 3166-1: FR",
    )  # fmt: skip


def bad_subdivision(at: Span, written: str, country: str, known: Sequence[str]) -> Finding:
    """Return the finding for a part of a country whose holidays are not known."""
    if not known:
        return _error(
            "C106", at, f"the holidays of {country} are the same everywhere", "", "delete the key"
        )
    return _error(
        "C106", at, f'{country} has no subdivision "{_shown(written)}"', did_you_mean(written, known),
        f"write one of: {_listed(known, 20)}; or delete the key",
    )  # fmt: skip


def subdivision_without_country(at: Span) -> Finding:
    """Return the finding for a subdivision of nothing."""
    return _error("C106", at, '"subdivision" needs "country"', "", "add country: FR")


def bad_language(at: Span, written: str) -> Finding:
    """Return the finding for a language that is no code."""
    return _error(
        "C107", at, f'"{_shown(written)}" is no language code', "", "write two small letters: fr"
    )


def bad_mode(at: Span, written: str) -> Finding:
    """Return the finding for a file mode that is none, or that lets everybody in."""
    return _error(
        "C108", at, f'"{_shown(written)}" is no file mode for a local socket', "",
        'write "0600" (the service\'s user) or "0660" (its group too); others never get in',
    )  # fmt: skip


def bad_listen(at: Span, written: str) -> Finding:
    """Return the finding for what is no address and port to listen on."""
    return _error(
        "C190", at, f'"{_shown(written)}" is no address to listen on', "",
        "write HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080",
    )  # fmt: skip


def pages_in_clear(at: Span, written: str) -> Finding:
    """Return the finding for pages that others could reach without TLS."""
    return _error(
        "C191", at, f"the pages would go over the network in clear ({_shown(written)})", "",
        "write `certificate` and `key`, or `behind_proxy: true` with `trusted` and an https address, or listen on 127.0.0.1",
    )  # fmt: skip


def provider_in_clear(at: Span, written: str) -> Finding:
    """Return the finding for an identity provider that is asked without TLS."""
    return _error(
        "C196", at, f"the identity provider would be asked in clear ({_shown(written)})", "",
        "write its https address",
    )  # fmt: skip


def provider_secret_open(at: Span, path: str) -> Finding:
    """Return the finding for a secret that others on the machine can read."""
    return _error("C196", at, f"others can read {path}", "", f"chmod 600 {path}")


def key_unfit(at: Span, path: str, why: str) -> Finding:
    """Return the finding for a key file that cannot be used."""
    return _error(
        "C134", at, f"the key of {path} cannot be used: {why}", "",
        f"write one with `openssl rand -base64 48 > {path}`, readable by the service's user alone; keep the old one when secrets are sealed under it",
    )  # fmt: skip


def half_of_tls(at: Span, written: str, missing: str) -> Finding:
    """Return the finding for a certificate without its key, or the other way round."""
    return _error(
        "C192", at, f"`{written}` is there, `{missing}` is not", "",
        f"write the file of the {missing} too: TLS needs both",
    )  # fmt: skip


def proxy_without_trust(at: Span) -> Finding:
    """Return the finding for a proxy that is not named."""
    return _error(
        "C193", at, "`behind_proxy` needs the addresses of the proxies", "",
        "write `trusted: [127.0.0.1]` with each proxy's address: anybody else could claim to be any client",
    )  # fmt: skip


def trust_without_proxy(at: Span) -> Finding:
    """Return the finding for trusted addresses without a proxy."""
    return _error(
        "C193", at, "`trusted` has no effect without `behind_proxy: true`", "",
        "write `behind_proxy: true`, or take `trusted` out",
    )  # fmt: skip


def bad_trusted(at: Span, written: str) -> Finding:
    """Return the finding for a proxy's address that is none, or that is half the world."""
    return _error(
        "C194", at, f'"{_shown(written)}" is no address of a proxy', "",
        "write an IP address or a network of at least /8, such as 127.0.0.1 or 10.20.0.0/16",
    )  # fmt: skip


def bad_pages_address(at: Span, written: str) -> Finding:
    """Return the finding for an address of the pages that browsers cannot open."""
    return _error(
        "C195", at, f'"{_shown(written)}" is no address of the pages', "",
        "write scheme and name as browsers show them, without a path: https://pilotage.example.org",
    )  # fmt: skip


def pages_without_address(at: Span) -> Finding:
    """Return the finding for pages whose address cannot be told from where they listen."""
    return _error(
        "C195", at, "how browsers reach the pages is not known from where they listen", "",
        "write `address: https://pilotage.example.org` below `web:`: requests under other names are refused",
    )  # fmt: skip


def bad_size(at: Span, written: str) -> Finding:
    """Return the finding for a size that is none."""
    return _error(
        "C112", at, f'"{_shown(written)}" is no size', "",
        "write a number with its unit: 500 kB, 32 MB, 4 GB, 512 MiB; 0 for none where that may be",
    )  # fmt: skip


def bad_connection_name(at: Span, written: str) -> Finding:
    """Return the finding for a connection's name that logs and pages could not show."""
    return _error(
        "C109", at, f'"{_shown(written)}" is no name for a connection', "",
        "a name begins with a letter and goes on with letters, digits, - and _",
    )  # fmt: skip


def bad_post(at: Span, written: str) -> Finding:
    """Return the finding for a post's name that plans and roles could not write."""
    return _error(
        "C197", at, f'"{_shown(written)}" is no name for a post', "",
        "a name begins with a small letter and goes on with small letters, digits, - and _; what people call it is its title",
    )  # fmt: skip


def trades_of_admins(at: Span) -> Finding:
    """Return the finding for trades of the post where admins are."""
    return _error(
        "C197", at, "the post of the admins has no trades and no areas", "",
        "take them out: who has command over equipment has a role at another post",
    )  # fmt: skip


def unknown_trade(at: Span, written: str, known: Iterable[str]) -> Finding:
    """Return the finding for a trade of a post that no plugin brings."""
    words = sorted(known)
    return _error(
        "C198", at, f'no plugin brings a trade "{_shown(written)}"', did_you_mean(written, words),
        "the trades are the names of the domain plugins: see `pilotage plugins`",
    )  # fmt: skip


def empty_area(at: Span, written: str, known: Iterable[str]) -> Finding:
    """Return the finding for an area of a post in which nothing is."""
    words = sorted(known)
    return _warning(
        "W199", at, f'nothing of the inventory is in a zone "{_shown(written)}"', did_you_mean(written, words),
        f"the zones are: {_listed(words)}" if words else "give the entities a zone, or take the areas out",
    )  # fmt: skip


def path_missing(at: Span, written: str, beside: Iterable[str]) -> Finding:
    """Return the finding for a rule file or folder that is not there."""
    return _error(
        "C110", at, f'there is no file or folder "{_shown(written)}"', did_you_mean(Path(written).name, beside),
        f"create it, or write the path from the folder of {Path(at.file).name}",
    )  # fmt: skip


def no_position(at: Span) -> Finding:
    """Return the finding for a site that does not know where its sun rises."""
    return _warning(
        "W111", at, 'the site has no "position": is_night and sun.elevation are unknown', "",
        "add position: [47.322, 5.041]",
    )  # fmt: skip


# ── secrets ──────────────────────────────────────────────────────────────────────────────────


def bad_secret_name(at: Span, written: str) -> Finding:
    """Return the finding for a secret's name that could lead out of the folder."""
    return _error(
        "C130", at, f'"{_shown(written)}" is no name for a secret', "",
        "a name begins with a letter or digit and goes on with letters, digits, -, _ and .",
    )  # fmt: skip


def secret_missing(at: Span, name: str, file: str, variable: str) -> Finding:
    """Return the finding for a secret that is neither in the folder nor in the environment."""
    return _error(
        "C131", at, f'the secret "{name}" is not there', "",
        f"write it into {file} and chmod 600 that file, set {variable} in the environment, or have systemd load it:"
        f" LoadCredential={name}:FILE",
    )  # fmt: skip


def secret_is_open(at: Span, name: str, file: str, mode: int) -> Finding:
    """Return the finding for a secret that others may read."""
    return _error(
        "C132", at, f'the secret "{name}" may be read by others: {file} has mode {mode:04o}', "", f"chmod 600 {file}"
    )  # fmt: skip


def secret_unreadable(at: Span, name: str, file: str, why: str) -> Finding:
    """Return the finding for a secret whose file holds no text, or cannot be read."""
    return _error(
        "C133", at, f'the secret "{name}" cannot be read from {file}: {why}', "",
        "write it into the file as one line of text in UTF-8",
    )  # fmt: skip


def secret_not_ours(at: Span, name: str, file: str) -> Finding:
    """Return the finding for a secret that we have no right to read."""
    return _error(
        "C133", at, f'the secret "{name}" cannot be read from {file}: it is closed to this user', "",
        f"give it to the service's user: chown USER {file} && chmod 600 {file}",
    )  # fmt: skip


def secret_in_clear(at: Span, key: str) -> Finding:
    """Return the warning for a password in the open."""
    return _warning(
        "W134", at, f'"{key}" stands in the open in this file', "",
        f"write {key}: !secret NAME and put it into the file NAME of the secrets folder",
    )  # fmt: skip


# ── the machine ──────────────────────────────────────────────────────────────────────────────


def no_folder(at: Span, key: str, there: str) -> Finding:
    """Return the finding for a folder whose place is taken by something else."""
    return _error(
        "C160", at, f'"{key}" cannot be a folder: {there} is a file', "", "move that file away, or write another path",
    )  # fmt: skip


def folder_read_only(at: Span, key: str, there: str) -> Finding:
    """Return the finding for a folder on a file system that takes nothing."""
    return _error(
        "C161", at, f'"{key}" cannot be written: the file system of {there} is read-only', "",
        f"mount it for writing (mount -o remount,rw), look into `dmesg` for a broken disk, or write another path; in a"
        f" systemd unit: ReadWritePaths={there}",
    )  # fmt: skip


def folder_closed(at: Span, key: str, there: str, exists: bool) -> Finding:
    """Return the finding for a folder that this user may not write."""
    what = "cannot be written" if exists else f"cannot be made in {there}"
    return _error(
        "C162", at, f'"{key}" {what}: this user has no right to', "",
        f"give the folder to the service's user: chown USER {there}, or write another path",
    )  # fmt: skip


def socket_path_too_long(at: Span, path: str, length: int, most: int) -> Finding:
    """Return the finding for a local socket that the system cannot name."""
    return _error(
        "C163", at, f"the path of the control socket has {length} bytes, the system allows {most}: {_shown(path)}", "",
        "write a shorter path: /run/pilotage/control.sock",
    )  # fmt: skip


def little_room(at: Span, there: str, free: int, wanted: int) -> Finding:
    """Return the warning for a disk that is nearly full at the start."""
    return _warning(
        "W164", at, f"{there} has {free // 10**6} MB free; the engine wants {wanted // 10**6} MB to begin with", "",
        "free space, or make storage.ballast smaller",
    )  # fmt: skip


def port_in_use(at: Span, host: str, port: int) -> Finding:
    """Return the finding for an address at which somebody listens."""
    return _error(
        "C165", at, f"{host}:{port} is in use by another program", "",
        f"find it with `ss -ltnp 'sport = :{port}'` and stop it, or write another port",
    )  # fmt: skip


def port_closed(at: Span, host: str, port: int) -> Finding:
    """Return the finding for a port that this user may not have."""
    return _error(
        "C166", at, f"this user may not listen at {host}:{port}", "",
        "write a port above 1023, or give the unit AmbientCapabilities=CAP_NET_BIND_SERVICE",
    )  # fmt: skip


def no_such_address(at: Span, host: str, port: int, why: str) -> Finding:
    """Return the finding for an address that this machine does not have."""
    return _error(
        "C167", at, f"nobody can listen at {_shown(host)}:{port}: {why}", "",
        "write an address of this machine (`ip address` lists them), or 127.0.0.1",
    )  # fmt: skip


# ── plugins and connections ──────────────────────────────────────────────────────────────────


def unknown_plugin(at: Span, written: str, known: Iterable[str]) -> Finding:
    """Return the warning for a plugin to be disabled that is not there."""
    words = sorted(known)
    return _warning(
        "W140", at, f'there is no plugin "{_shown(written)}"', did_you_mean(written, words),
        f"the plugins are: {_listed(words, 30)}",
    )  # fmt: skip


def unknown_pack(at: Span, written: str, known: Iterable[str]) -> Finding:
    """Return the finding for a rule pack that no plugin brings."""
    words = sorted(known)
    return _error(
        "C141", at, f'no plugin brings a rule pack "{_shown(written)}"', did_you_mean(written, words),
        f"the packs are: {_listed(words, 30)}; or write all",
    )  # fmt: skip


def unknown_adapter(at: Span, written: str, known: Iterable[str]) -> Finding:
    """Return the finding for a connection whose protocol no plugin speaks."""
    words = sorted(known)
    return _error(
        "C142", at, f'no plugin brings an adapter "{_shown(written)}"', did_you_mean(written, words),
        f"the adapters are: {_listed(words)}; see `pilotage plugins`" if words else "see `pilotage plugins`",
    )  # fmt: skip


def adapter_failed(at: Span, adapter: str, why: str) -> Finding:
    """Return the finding for an adapter that raises instead of checking its settings."""
    return _error(
        "C143", at, f'the adapter "{adapter}" failed while it checked this connection: {why}', "",
        "this is a mistake of the plugin; tell its vendor, or remove the connection",
    )  # fmt: skip


def memory_out_of_range(at: Span) -> Finding:
    """Return the finding for a process that could not start, or would not be bounded."""
    return _error(
        "C144", at, "an isolated process has between 64 MB and 64 GB", "", "write 300 MB, or what it needs",
    )  # fmt: skip


def bad_rate(at: Span, key: str, written: str) -> Finding:
    """Return the finding for a rate that is no number above 0."""
    return _error(
        "C181", at, f'"{key}" is a number of orders above 0, not "{written}"', "", f"write {key}: 200"
    )  # fmt: skip


def burst_without_rate(at: Span) -> Finding:
    """Return the finding for a burst of a connection whose rate nobody limits."""
    return _error(
        "C182", at, '"max_burst" goes with "max_rate", and there is none', "",
        "add max_rate: ORDERS_PER_SECOND, or remove max_burst",
    )  # fmt: skip


def memory_without_isolation(at: Span) -> Finding:
    """Return the finding for a bound on the memory of a connection that has no process of its own."""
    return _error(
        "C145", at, '"memory" bounds the process of an isolated connection, and this one has none', "",
        "add isolate: true, or remove memory",
    )  # fmt: skip


def not_isolated(at: Span, adapter: str) -> Finding:
    """Return the finding for an adapter that was given to the engine as an object and no installed plugin brings."""
    return _error(
        "C146", at, f'the adapter "{adapter}" cannot be isolated: no installed plugin brings it', "",
        "install its plugin with an entry point, or remove isolate: true",
    )  # fmt: skip


def only_isolated(at: Span, adapter: str) -> Finding:
    """Return the finding for a connection that is to run in an engine which has left the plugin outside."""
    return _error(
        "C146", at, f'the running engine has not imported the plugin of "{adapter}", since it was isolated', "",
        "restart the engine, or keep isolate: true",
    )  # fmt: skip


def domain_isolated(at: Span, plugin: str, brings: str) -> Finding:
    """Return the finding for a plugin without an adapter that is to be isolated."""
    return _error(
        "C147", at, f'the plugin "{plugin}" cannot be isolated: it brings {brings}, which rules use inside the engine', "",
        "name an adapter; only connections are isolated",
    )  # fmt: skip


def partly_isolated(at: Span, plugin: str, brings: str) -> Finding:
    """Return the finding for a plugin that brings more than the adapter that is isolated."""
    return _warning(
        "C148", at, f'only the connection is isolated: the plugin "{plugin}" also brings {brings}, which the engine imports', "",
        "ask its maker for an adapter in a plugin of its own, or accept it",
    )  # fmt: skip


def isolated_failed(at: Span, adapter: str, why: str) -> Finding:
    """Return the finding for an isolated adapter whose process failed while it checked its settings."""
    return _warning(
        "C149", at, f'this connection could not be checked: the process of its plugin "{adapter}" {why}', "",
        "the engine starts without it and tries it again; tell its vendor, or remove the connection",
    )  # fmt: skip


# ── inventory: entries and files ─────────────────────────────────────────────────────────────


def entry_shape(at: Span, found: str) -> Finding:
    """Return the finding for an item of the inventory that is no entry."""
    return _error(
        "C200", at, f"an entry of the inventory is a file, a folder or a map, not {found}", "",
        "write a path, {file: lamps.csv, kind: lamp, ...} or {ENTITY: {kind: ...}}",
    )  # fmt: skip


def unknown_format(at: Span, written: str) -> Finding:
    """Return the finding for a file whose format is not known."""
    return _error(
        "C201", at, f'"{_shown(written)}" is no format of an inventory file', did_you_mean(written, ("csv", "geojson", "yaml")),
        "write format: csv, geojson or yaml",
    )  # fmt: skip


def not_encoded(at: Span, file: str, encoding: str, byte: int) -> Finding:
    """Return the finding for bytes that the encoding does not have."""
    return _error(
        "C202", at, f"{file} is not {encoding}: byte 0x{byte:02X} cannot stand here", "",
        "add encoding: cp1252 (or what the file was saved with) to the entry, or save the file as UTF-8",
    )  # fmt: skip


def unknown_encoding(at: Span, written: str) -> Finding:
    """Return the finding for an encoding that does not exist."""
    return _error(
        "C202",
        at,
        f'there is no encoding "{_shown(written)}"',
        "",
        "write utf-8, cp1252 or iso-8859-15",
    )


def missing_column(at: Span, column: str, file: str, known: Sequence[str]) -> Finding:
    """Return the finding for a column that the file does not have."""
    return _error(
        "C203", at, f'{file} has no column "{_shown(column)}"', did_you_mean(column, known),
        f"the columns are: {_listed(known, 30)}",
    )  # fmt: skip


def no_rows(at: Span, file: str) -> Finding:
    """Return the warning for a file that adds nothing."""
    return _warning(
        "W204", at, f"{file} gives no entity", "", 'check the file and "where", or delete the entry'
    )


def bad_template(at: Span, written: str, why: str) -> Finding:
    """Return the finding for braces that do not fit together."""
    return _error(
        "C205", at, f'"{_shown(written)}" is no template: {why}', "", 'write columns in braces: "L-{number}"'
    )  # fmt: skip


def row_too_short(at: Span, found: int, wanted: int) -> Finding:
    """Return the finding for a row with another number of fields than the header."""
    return _error(
        "C206", at, f"the row has {found} fields, and the header has {wanted}", "",
        "put fields that contain the delimiter in quotes, or name the right one: delimiter: ;",
    )  # fmt: skip


def csv_broken(at: Span, why: str) -> Finding:
    """Return the finding for a file that is no CSV."""
    return _error(
        "C207", at, f"this is no CSV: {why}", "", "check the quotes and the delimiter of this row"
    )


def geojson_broken(at: Span, file: str, why: str) -> Finding:
    """Return the finding for a file that is no GeoJSON."""
    return _error(
        "C208",
        at,
        f"{file} is no GeoJSON: {why}",
        "",
        "export it as a FeatureCollection (RFC 7946)",
    )


def header_twice(at: Span, column: str) -> Finding:
    """Return the finding for two columns of one name."""
    return _error(
        "C209",
        at,
        f'two columns are called "{_shown(column)}"',
        "",
        "rename one of them in the header",
    )


def more_like_it(at: Span, code: str, count: int) -> Finding:
    """Return the finding that stands for the many that would say the same."""
    return _error(
        code,
        at,
        f"{count:,} more findings {code} of this file are left out",
        "",
        "mend the first ones and check again",
    )


# ── inventory: entities ──────────────────────────────────────────────────────────────────────


def bad_id(at: Span, written: str) -> Finding:
    """Return the finding for an id that rules could not name."""
    if not written.strip():
        return _error("C210", at, "the id is empty", "", "every entity has an id of its own")
    mend = "an id begins with a letter or digit and goes on with letters, digits, -, _ and :"
    if len(written) > 200:
        mend += ", 200 characters at most"
    if "." in written:
        mend += "; the dot belongs to points: write - instead"
    return _error("C210", at, f'"{_shown(written)}" is no id', "", mend)


def duplicate_id(at: Span, written: str, first: Span) -> Finding:
    """Return the finding for two entities with one id; names both places."""
    return _error(
        "C211", at, f'there are two entities "{_shown(written)}"', f"the other: {first.file}:{first.line}",
        "rename one of them, or delete it",
    )  # fmt: skip


def no_kind(at: Span, entity: str) -> Finding:
    """Return the finding for an entity without a kind."""
    return _error(
        "C212",
        at,
        f'"{_shown(entity)}" has no "kind"',
        "",
        "add kind: KIND; `pilotage kinds` lists them",
    )


def unknown_kind(at: Span, written: str, known: Iterable[str]) -> Finding:
    """Return the finding for a kind that no plugin declares."""
    words = tuple(known)
    return _error(
        "C213", at, f'no plugin declares a kind "{_shown(written)}"', did_you_mean(written, words),
        "`pilotage kinds` lists them; if a plugin is missing or broken, `pilotage plugins` says so",
    )  # fmt: skip


def unknown_point(at: Span, written: str, kind: str, known: Iterable[str]) -> Finding:
    """Return the finding for a point or relation that the kind does not have."""
    words = tuple(known)
    return _error(
        "C214", at, f'{kind} has no point or relation "{_shown(written)}"', did_you_mean(written, words),
        f"`pilotage kinds {kind}` lists them",
    )  # fmt: skip


def bad_value(at: Span, point: str, why: str, mend: str) -> Finding:
    """Return the finding for a value that its point cannot hold."""
    return _error("C215", at, f"{point}: {why}", "", mend)


def bad_point_rate(at: Span, written: str) -> Finding:
    """Return the finding for a `max_rate` of a point that says no number and no time."""
    return _error("C226", at, f'"{_shown(written)}" is no rate', "", "write 1 per 10 s")


def on_loss_unsaid(at: Span, entity: str, point: str) -> Finding:
    """Return the finding for an entity of which the site must say what it does when we are gone."""
    return _error(
        "C227", at, f"nobody says what {entity}.{point} does when the engine is gone: that is the site's decision", "",
        f"add on_loss: {{{point}: {{value: VALUE, after: 30 s}}}}",
    )  # fmt: skip


def missing_entity(at: Span, owner: str, point: str, wanted: str, hint: str) -> Finding:
    """Return the finding for a reference or relation that leads nowhere."""
    return _error(
        "C216", at, f'{owner}.{point} leads to "{_shown(wanted)}", which is not in the inventory',
        hint, f'add "{_shown(wanted)}" to the inventory, or name another',
    )  # fmt: skip


def wrong_target(at: Span, owner: str, point: str, wanted: str, found: str, kind: str) -> Finding:
    """Return the finding for a reference or relation to a thing of another kind."""
    return _error(
        "C217", at, f'{owner}.{point} leads to "{_shown(wanted)}", which is a {found}, not a {kind}', "",
        f"name an entity of the kind {kind}",
    )  # fmt: skip


def no_relation(at: Span, relation: str, kind: str, known: Iterable[str]) -> Finding:
    """Return the finding for a relation that the kind does not have."""
    words = tuple(known)
    mend = f"its relations are: {_listed(words)}" if words else f"{kind} has no relations at all"
    return _error(
        "C218",
        at,
        f'{kind} has no relation "{_shown(relation)}"',
        did_you_mean(relation, words),
        mend,
    )


# ── history ──────────────────────────────────────────────────────────────────────────────────


def history_of_nothing(at: Span) -> Finding:
    """Return the finding for an entry that names no points."""
    return _error(
        "C150", at, "an entry of history.points names no points", "",
        'add kind: KIND, zone: ZONE or match: "seg-*.lights.level"',
    )  # fmt: skip


def history_unknown(at: Span, what: str, written: str, known: Iterable[str]) -> Finding:
    """Return the finding for a kind, a point or a zone that the city does not have."""
    words = sorted(known)
    return _error(
        "C151", at, f'there is no {what} "{_shown(written)}"', did_you_mean(written, words),
        f"write one of: {_listed(words, 30)}" if words else f"delete the key: the city has no {what}s",
    )  # fmt: skip


def history_needs_purpose(
    at: Span, point: str, class_: str, missing: Sequence[str], bases: Sequence[str]
) -> Finding:
    """Return the finding for a personal point that would be recorded without a declared reason."""
    return _error(
        "C152", at, f"{point} is {class_} and is not recorded without {' and '.join(missing)}", "",
        f"add purpose: why it is kept, and basis: one of {_listed(bases)}; or record: never",
    )  # fmt: skip


def history_too_long(at: Span, class_: str, days: float) -> Finding:
    """Return the finding for a longer retention than the class allows."""
    return _error(
        "C153", at, f"{class_} points are kept {days:g} d at most", "", f"write {days:g} d or less"
    )


def history_too_short(at: Span, hours: float) -> Finding:
    """Return the finding for a retention that the file cannot keep to."""
    return _error(
        "C154", at, f"nothing can be kept for less than {hours:g} h", "",
        f"write {hours:g} h or more; or record: never",
    )  # fmt: skip


def history_deadband(at: Span, written: str, point: str, type_: str) -> Finding:
    """Return the finding for a deadband that is no amount, or none of this point."""
    what = f" of {point}, which is {type_}" if point else ""
    return _error(
        "C155", at, f'"{_shown(written)}" is no deadband{what}', "",
        "write a number above zero with a unit of the point: 5 veh/h; other points than numbers have none",
    )  # fmt: skip


def bad_part(at: Span, key: str, written: str) -> Finding:
    """Return the finding for a part of a whole that is none."""
    return _error(
        "C119", at, f'{key}: "{_shown(written)}" is no part of a whole', "",
        "write a percentage above 0 and up to 100: 50 %, or off",
    )  # fmt: skip


# ── the listener for metrics ─────────────────────────────────────────────────────────────────


def bad_address(at: Span, key: str, written: str) -> Finding:
    """Return the finding for an address without a host, or with a port that is none."""
    return _error(
        "C170", at, f'{key}: "{_shown(written)}" is no address', "",
        "write HOST:PORT, 127.0.0.1:9464 or [::1]:9464, or off",
    )  # fmt: skip


def metrics_in_clear(at: Span, address: str) -> Finding:
    """Return the finding for metrics that everybody on a network could read, and change on their way."""
    return _error(
        "C171", at, f"the metrics would be read beyond this machine, at {address}, without TLS", "",
        "listen at 127.0.0.1, give metrics.certificate and metrics.key, or write allow_remote: true on a network of your own",
    )  # fmt: skip


def bad_endpoint(at: Span, written: str) -> Finding:
    """Return the finding for traces that would go to no address, or in clear beyond this machine."""
    return _error(
        "C173", at, f'traces cannot go to "{_shown(written)}"', "",
        "write https://HOST:PORT/v1/traces, or http:// for a collector on this machine",
    )  # fmt: skip


def half_a_certificate(at: Span) -> Finding:
    """Return the finding for a certificate without a key, or a key without a certificate."""
    mend = "write both metrics.certificate and metrics.key, or neither"
    return _error("C172", at, "TLS needs a certificate and its private key", "", mend)


# ── inventory: where things are ──────────────────────────────────────────────────────────────


def bad_relate(at: Span, why: str) -> Finding:
    """Return the finding for a relation by geometry that says too little or too much."""
    return _error(
        "C220", at, f"relate: {why}", "",
        "write within: 50 m for all that are near, or nearest: 25 m for each to the nearest one alone",
    )  # fmt: skip


def without_members(
    at: Span, kind: str, relation: str, alone: Sequence[str], total: int
) -> Finding:
    """Return the warning for things whose relation leads to nothing."""
    return _warning(
        "W221", at, f"{len(alone):,} of {total:,} {kind} have no {relation}: {_listed(alone, 5)}", "",
        f"name them in the inventory, write {relation}: [] where there are none, or let a relate: entry reach further",
    )  # fmt: skip


def without_place(at: Span, relation: str, placeless: Sequence[str]) -> Finding:
    """Return the warning for things that cannot be related by geometry."""
    return _warning(
        "W222", at, f"{len(placeless):,} could not join {relation}, since they have no position: {_listed(placeless, 5)}",
        "", "give them a position",
    )  # fmt: skip


def shape_of_nobody(at: Span, file: str, kind: str, ids: Sequence[str]) -> Finding:
    """Return the warning for shapes whose thing is not in the inventory."""
    return _warning(
        "W223", at, f"{len(ids):,} shapes of {file} belong to no {kind}: {_listed(ids, 5)}", "",
        'add these to the inventory, or say how the id is made: id: "seg-{number}"',
    )  # fmt: skip


def outside(at: Span, entity: str, place: Position, *, swapped: bool) -> Finding:
    """Return the warning for a thing that does not stand in the city."""
    label = "latitude and longitude seem to be swapped" if swapped else ""
    return _warning(
        "W224", at, f"{entity} stands at {place.latitude:.5f}, {place.longitude:.5f}, outside of the city", label,
        "correct its position, or widen site: area",
    )  # fmt: skip


def same_place(at: Span, entity: str, other: str) -> Finding:
    """Return the warning for two things of one kind at the same place."""
    return _warning(
        "W225", at, f"{entity} stands where {other} stands", "",
        "correct one position, or delete one of them if they are the same thing",
    )  # fmt: skip


def more_doubts(at: Span, code: str, count: int) -> Finding:
    """Return the warning that stands for the many that would say the same."""
    mend = "mend the first ones and look again"
    return _warning(code, at, f"{count:,} more findings {code} are left out", "", mend)
