"""Style, scripts and pictures: read and compressed once, named with a hash of their bytes, kept by browsers for good."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

FOLDER: Final = Path(__file__).parent / "static"
STYLE: Final = "app.css"
_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_COMPRESSED: Final = ("text/", "image/svg", "application/json", "application/geo+json")
FOR_GOOD: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent; `packed` is empty when compressing does not pay."""

    content: bytes
    packed: bytes
    type: str
    hash: str


class Assets:
    """Every static file by its path below `static/`; the style sheets of all areas are one, `app.css`."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Read them all."""
        self._assets: dict[str, Asset] = {}
        for file in sorted(folder.rglob("*")):
            name = file.relative_to(folder).as_posix()
            if file.is_file() and not name.startswith("css/"):
                self._assets[name] = _asset(file.read_bytes(), file.name)
        sheets = sorted((folder / "css").glob("*.css"))
        self._assets[STYLE] = _asset(b"\n".join(file.read_bytes() for file in sheets), STYLE)

    @property
    def names(self) -> Mapping[str, Asset]:
        """Every file by its name."""
        return self._assets

    def url(self, name: str) -> str:
        """Return where a browser gets a file, with the hash of its bytes.

        Raises:
            KeyError: There is no such file.
        """
        return f"/static/{name}?v={self._assets[name].hash}"

    async def serve(self, request: Request) -> Response:
        """Answer `GET /static/…`."""
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            return PlainTextResponse("no such file\n", 404)
        headers = {
            "ETag": f'"{asset.hash}"',
            "Vary": "Accept-Encoding",
            "Cache-Control": "no-cache",
        }
        if request.query_params.get("v") == asset.hash:
            headers["Cache-Control"] = FOR_GOOD
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        content = asset.content
        if asset.packed and "gzip" in request.headers.get("accept-encoding", ""):
            content = asset.packed
            headers["Content-Encoding"] = "gzip"
        return Response(content, headers=headers, media_type=asset.type)


def _asset(content: bytes, name: str) -> Asset:
    suffix = Path(name).suffix
    kind = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    packed = gzip.compress(content, 9, mtime=0) if kind.startswith(_COMPRESSED) else b""
    smaller = packed if len(packed) < len(content) else b""
    return Asset(content, smaller, kind, hashlib.sha256(content).hexdigest()[:12])
