"""What schemathesis is told about us: a key is used once, and nobody looked before."""

from __future__ import annotations

import os
from typing import Any
from uuid import uuid4

import schemathesis

KEY = "Idempotency-Key"


@schemathesis.auth()
class Token:
    """Signs in as a role; schemathesis knows by this where it may leave the token out."""

    def get(self, case: Any, context: Any) -> str:
        return os.environ["SCHEMA_ROLE"]

    def set(self, case: Any, data: str, context: Any) -> None:
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Give each order a key of its own where one is sent that would do: two orders under one key are refused on purpose."""
    headers = case.headers
    if headers is not None and str(headers.get(KEY, "")).strip():
        headers[KEY] = uuid4().hex
    if headers is not None and "If-Match" in headers:
        headers["If-Match"] = (
            "*"  # any other one is refused on purpose: nothing was looked at before
        )
