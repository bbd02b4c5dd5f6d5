"""schemathesis finds nothing on the JSON interface; the long form, as every role, is `make ui`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.web_ui.schema_run import run, served


@pytest.fixture(scope="module")
def url(engine_socket: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The interface in front of a real engine."""
    with served(engine_socket, tmp_path_factory.mktemp("web")) as url:
        yield url


@pytest.mark.parametrize("role", ["operator", "nobody"])
def test_finds_nothing(url: str, role: str) -> None:
    """What fits the document is answered as it says, what does not is refused, and nothing fails."""
    found = run(url, role, "--phases", "examples,fuzzing", "--max-examples", "3", "--seed", "1")
    assert found.requests
    assert not found.failures, found.failures
