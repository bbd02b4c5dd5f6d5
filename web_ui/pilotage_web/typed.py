"""The typed JSON interface: a handler's signature is its contract.

`get`, `post`, `patch` and `delete` make a function a route below `/api/v1`. Its parameters say what it takes: `visit`, then `query` and
`body` (each a `msgspec.Struct`) and the parts of the path by their names; what it returns says what it answers. The same signature
decodes requests, encodes answers and describes the route in the OpenAPI document, so that none of the three can differ.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Generic,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pilotage_web.problem import Problem
from pilotage_web.repeats import Slot
from pilotage_web.request import GuardedRoute, Visit, allow, is_csrf_right, refuse_strangers
from pilotage_web.rights import ORDERS, Right
from pilotage_web.sight import check_engine, tag_of

if TYPE_CHECKING:
    from pilotage_web.app import Frame

ROOT: Final = "/api/v1"
JSON: Final = "application/json"
KEY_HEADER: Final = "Idempotency-Key"
LARGEST: Final = 2.0**63
_WRITES: Final = frozenset({"POST", "PATCH", "PUT", "DELETE"})

Handler = Callable[..., Awaitable[Any]]
Item = TypeVar("Item")


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """A page of a list; `next` goes into the following request's `after`, empty at the end."""

    items: list[Item]
    next: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """What a route takes and answers.

    Attributes:
        name: Of the handler; the operation's id.
        method: In capitals.
        path: Whole, with its parts in braces.
        right: What it asks for.
        summary: First sentence of the handler's docstring.
        text: The rest of it.
        parts: Names of the path's parts and their types.
        query: What stands behind the question mark; None for nothing.
        body: What is sent; None for nothing.
        answer: What is answered.
        status: When all is well.
        media: Type of the answer.
        is_order: Whether it changes something: its key is wanted then.
        standing: Says of an answer where the thing stands: its ETag begins with that.
        is_conditional: Whether an order heeds `If-Match`.
    """

    name: str
    method: str
    path: str
    right: Right
    summary: str
    text: str
    parts: dict[str, Any]
    query: type[msgspec.Struct] | None
    body: type[msgspec.Struct] | None
    answer: Any
    status: int
    media: str
    is_order: bool
    standing: Callable[[Any], str] | None = None
    is_conditional: bool = False


class ApiRoute(GuardedRoute):
    """A route that describes itself."""

    def __init__(self, operation: Operation, handler: Handler) -> None:
        async def endpoint(request: Request) -> Response:
            return await _serve(request, operation, handler)

        super().__init__(operation.path, endpoint, operation.method, operation.right)
        self.operation = operation


def get(
    path: str,
    right: Right = Right.SEE,
    *,
    media: str = JSON,
    standing: Callable[[Any], str] | None = None,
) -> Callable[[Handler], ApiRoute]:
    """Make a function a question; an answer that has not changed is 304 for who names its ETag.

    With `standing` the ETag does for the `If-Match` of an order as long as people have changed nothing about the thing.
    """
    return _route("GET", path, right, 200, media, is_order=False, standing=standing)


def post(
    path: str, right: Right, *, status: int = 200, is_order: bool = True, conditional: bool = False
) -> Callable[[Handler], ApiRoute]:
    """Make a function an order, carried out once per `Idempotency-Key`; with `is_order` False it changes nothing.

    One that is `conditional` heeds `If-Match`, by `sight.matched`.
    """
    return _route("POST", path, right, status, JSON, is_order=is_order, conditional=conditional)


def patch(path: str, right: Right, *, status: int = 200) -> Callable[[Handler], ApiRoute]:
    """Make a function the change of something."""
    return _route("PATCH", path, right, status, JSON, is_order=True)


def delete(
    path: str, right: Right, *, status: int = 200, conditional: bool = False
) -> Callable[[Handler], ApiRoute]:
    """Make a function the end of something."""
    return _route("DELETE", path, right, status, JSON, is_order=True, conditional=conditional)


def _route(
    method: str,
    path: str,
    right: Right,
    status: int,
    media: str,
    *,
    is_order: bool,
    standing: Callable[[Any], str] | None = None,
    conditional: bool = False,
) -> Callable[[Handler], ApiRoute]:
    def wrap(handler: Handler) -> ApiRoute:
        hints = get_type_hints(handler, include_extras=True)
        names = re.findall(r"\{(\w+)", path)
        first, _, rest = (handler.__doc__ or "").strip().partition("\n")
        operation = Operation(
            name=handler.__name__,
            method=method,
            path=ROOT + path,
            right=right,
            summary=first.rstrip("."),
            text=" ".join(rest.split()),
            parts={name: hints[name] for name in names},
            query=hints.get("query"),
            body=hints.get("body"),
            answer=hints["return"],
            status=status,
            media=media,
            is_order=is_order,
            standing=standing,
            is_conditional=conditional,
        )
        return ApiRoute(operation, handler)

    return wrap


# ── a request ────────────────────────────────────────────────────────────────────────────────


async def _serve(request: Request, operation: Operation, handler: Handler) -> Response:
    visit = await visit_of(request)
    who = visit.who
    if operation.right is not Right.OPEN and not who.is_signed_in:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    changes = operation.method in _WRITES
    if changes and who.scopes is None:
        # A browser sends its cookie with whatever another site has it send.
        refuse_strangers(request, visit.frame.site.origins)
        if not is_csrf_right(request.headers.get("x-csrf", ""), who.csrf):
            raise HTTPException(403, "csrf")
    allow(who, operation.right)
    body = await request.body() if changes else b""
    arguments = _arguments(request, operation, body)

    async def carry_out() -> Response:
        found = await handler(visit, **arguments)
        return found if isinstance(found, Response) else _answer(request, operation, found)

    if not operation.is_order:
        return await carry_out()
    visit.key = request.headers.get(KEY_HEADER, "")
    if not visit.key:
        raise HTTPException(400, "key")
    slot = Slot(who.person, f"{operation.method} {request.url.path}", visit.key)

    async def order() -> Response:
        if operation.right in ORDERS:
            check_engine(visit)
        return await carry_out()

    return await visit.frame.repeats.once(slot, hashlib.sha256(body).hexdigest(), order)


async def visit_of(request: Request) -> Visit:
    """Return the visit of a program: by its token, or of a page by its session."""
    frame: Frame = request.app.state.frame
    has_token = "authorization" in request.headers
    who = await (frame.people.bearer(request) if has_token else frame.people.who(request))
    visit = Visit(request, frame, who)
    request.state.visit = visit
    return visit


def _arguments(request: Request, operation: Operation, body: bytes) -> dict[str, Any]:
    """Return what the handler is called with.

    Raises:
        Problem: Something is not as the signature says: 400 when it is no JSON, 415 when it says so itself, 422 otherwise.
    """
    arguments: dict[str, Any] = {
        name: _converted({"path": _plain(request.path_params[name], type_)}, type_, name)
        for name, type_ in operation.parts.items()
    }
    if operation.query is not None:
        arguments["query"] = _query(request, operation.query)
    elif request.url.query:
        raise _unfit("there are no parameters here", f"take `?{request.url.query[:100]}` away")
    if operation.body is not None:
        arguments["body"] = _body(request, operation.body, body)
    return arguments


def _query(request: Request, type_: type[msgspec.Struct]) -> msgspec.Struct:
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(type_)}
    given: dict[str, Any] = {}
    for name in dict.fromkeys(request.query_params):
        texts = request.query_params.getlist(name)
        inner = fields.get(name, str)
        if get_origin(_bare(inner)) is list:
            given[name] = [_plain(text, get_args(_bare(inner))[0]) for text in texts]
        else:
            given[name] = _plain(texts[0], inner) if len(texts) == 1 else texts
    try:
        return msgspec.convert(given, type_)
    except msgspec.ValidationError as error:
        raise _unfit(f"the parameters are not understood: {error}", _known(fields)) from error


def _body(request: Request, type_: type[msgspec.Struct], body: bytes) -> msgspec.Struct:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON:
        raise Problem(
            415,
            "bad-type",
            "This is not JSON",
            f"the body is {kind or 'of no type'}",
            f"send {JSON}",
        )
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(
            400, "bad-json", "This is not JSON", f"the body is not understood: {error}"
        ) from error
    try:
        return msgspec.convert(_whole(raw), type_)
    except msgspec.ValidationError as error:
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(type_)}
        raise _unfit(f"the body is not understood: {error}", _known(fields)) from error


def _whole(value: Any) -> Any:
    """Return JSON with its whole numbers as such: 5513.0 is an integer there, and none in Python."""
    if isinstance(value, float) and value.is_integer() and abs(value) < LARGEST:
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def _plain(text: str, type_: Any) -> Any:
    """Return a text of the address as what is wanted there, or as it is when it is not that."""
    wanted = _bare(type_)
    if wanted is bool:
        return {"true": True, "false": False}.get(text, text)
    if wanted is int and re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
        return int(text)
    if wanted is float and re.fullmatch(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", text, re.ASCII):
        number = float(text)
        return number if math.isfinite(number) else text
    return text


def _bare(type_: Any) -> Any:
    """Return a type without what is remarked of it, and without None."""
    if get_origin(type_) is Annotated:
        return _bare(get_args(type_)[0])
    if get_origin(type_) in (Union, UnionType):
        return _bare(next(inner for inner in get_args(type_) if inner is not NoneType))
    return type_


def _converted(given: dict[str, Any], type_: Any, name: str) -> Any:
    try:
        return msgspec.convert(given["path"], type_)
    except msgspec.ValidationError as error:
        raise _unfit(f"the path's {name} is not understood: {error}") from error


def _unfit(text: str, mend: str = "") -> Problem:
    return Problem(422, "bad-request", "This request is not understood", text, mend)


def _known(fields: dict[str, Any]) -> str:
    return f"there are: {', '.join(fields)}" if fields else "there are none"


def _answer(request: Request, operation: Operation, found: Any) -> Response:
    if operation.status == HTTPStatus.NO_CONTENT:
        return Response(status_code=204)
    content = msgspec.json.encode(found)
    headers = {}
    if operation.method == "GET":
        name = hashlib.blake2b(content, digest_size=12).hexdigest()
        if operation.standing is not None:
            name = f"{tag_of(operation.standing(found))}-{name}"
        headers["ETag"] = tag = f'"{name}"'
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
    return Response(content, operation.status, headers, JSON)
