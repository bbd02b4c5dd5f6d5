"""What schemathesis is told about us: a key is used once."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import schemathesis

KEY = "Idempotency-Key"


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Give each order a key of its own where one is sent that would do: two orders under one key are refused on purpose."""
    headers = case.headers
    if headers is not None and str(headers.get(KEY, "")).strip():
        headers[KEY] = uuid4().hex
