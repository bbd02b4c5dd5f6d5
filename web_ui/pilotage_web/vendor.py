"""Brings the scripts that others wrote into `static/vendor/`, and checks that they are what was taken.

    python -m pilotage_web.vendor            fetch what vendor.json names, by npm; write vendor.lock
    python -m pilotage_web.vendor --check    compare the files with vendor.lock, without a network

The files are part of the repository and of the wheel: who runs the service needs neither Node nor a network.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
WANTED: Final = HERE / "vendor.json"
LOCK: Final = HERE / "vendor.lock"
FOLDER: Final = HERE / "static" / "vendor"


def main(arguments: list[str]) -> int:
    """Fetch, or check; returns 1 when something differs."""
    if arguments == ["--check"]:
        found = check()
        print("\n".join(found) or "the vendored files are as they were taken")
        return 1 if found else 0
    fetch()
    return 0


def check(folder: Path = FOLDER, lock: Path = LOCK) -> list[str]:
    """Return what differs between the files and the lock, a line each."""
    taken: dict[str, Any] = json.loads(lock.read_text(encoding="utf-8"))
    wanted = {name: hash_ for package in taken.values() for name, hash_ in package["files"].items()}
    there = {file.name: _sha256(file.read_bytes()) for file in folder.iterdir() if file.is_file()}
    return [
        f"{folder / name}: {_difference(wanted.get(name), there.get(name))}"
        for name in sorted({*wanted, *there})
        if wanted.get(name) != there.get(name)
    ]


def fetch() -> None:
    """Take every package that is named; one whose archive is not what the lock says is refused."""
    wanted = json.loads(WANTED.read_text(encoding="utf-8"))
    before = json.loads(LOCK.read_text(encoding="utf-8")) if LOCK.exists() else {}
    lock: dict[str, Any] = {}
    for name, package in wanted.items():
        known = before.get(name, {})
        lock[name] = _take(name, package["version"], package["files"], known)
    LOCK.write_text(json.dumps(lock, indent=2) + "\n", encoding="utf-8")


def _take(name: str, version: str, files: dict[str, str], known: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", f"{name}@{version}", "--ignore-scripts", "--json"]
        said = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        archive = Path(folder, json.loads(said.stdout)[0]["filename"])
        integrity = _integrity(archive.read_bytes())
        if known.get("version") == version and known["integrity"] != integrity:
            raise SystemExit(f"{name} {version} is not the archive that was taken before")
        hashes = {}
        with tarfile.open(archive) as tar:
            for inside, outside in files.items():
                member = tar.extractfile(f"package/{inside}")
                assert member is not None, inside
                content = member.read()
                (FOLDER / outside).write_bytes(content)
                hashes[outside] = _sha256(content)
    return {"version": version, "integrity": integrity, "files": hashes}


def _integrity(content: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _difference(wanted: str | None, there: str | None) -> str:
    if there is None:
        return "is missing"
    return "is in no lock" if wanted is None else "has changed"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
