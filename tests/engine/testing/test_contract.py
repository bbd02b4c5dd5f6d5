"""The contract tests bite: an adapter with one mistake fails the test that is meant for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pilotage.cli.plugin import write_project

MISTAKES = [
    ("test_an_unknown_option_is_found", "binding", "    options.end()\n", ""),
    (
        "test_targets_name_the_point",
        "connection",
        "return sorted(self._lamps), ()",
        "return (), ()",
    ),
    ("test_connects_and_reports", "codec", "_level(level), health", "_level(level) / 2, health"),
    (
        "test_an_order_arrives_and_is_read_back",
        "connection",
        "writer.write(order(lamp, order_.value))",
        "answer.set_result(Answer(lamp, ''))",
    ),
    (
        "test_nothing_leaves_after_its_deadline",
        "connection",
        " or order_.deadline <= time.time()",
        "",
    ),
    (
        "test_nothing_leaves_before_it_runs",
        "connection",
        "        if lamp is None or writer is None",
        "        if writer is None:\n            return Outcome.ACKNOWLEDGED\n        if lamp is None",
    ),
    ("test_distrust_is_passed_on", "connection", "if heard.is_good else Quality.BAD", ""),
    (
        "test_garbage_is_refused_and_forgotten",
        "codec",
        "raise BadLine(f'\"{word}\" is no level') from error",
        "return word  # type: ignore",
    ),
    (
        "test_a_loss_is_noticed_and_healed",
        "connection",
        'raise ConnectionError("the gateway has closed the connection")',
        "await asyncio.sleep(3600)",
    ),
    (
        "test_it_ends_when_it_is_cancelled",
        "connection",
        "            self._writer = None\n",
        "            self._writer = None\n            await asyncio.sleep(3600)\n",
    ),
    (
        "test_it_leaves_nothing_behind",
        "connection",
        "        try:\n            self._writer = writer\n",
        "        asyncio.ensure_future(asyncio.sleep(3600))\n        try:\n            self._writer = writer\n",
    ),
]


@pytest.mark.parametrize(
    ("test", "module", "right", "wrong"), MISTAKES, ids=[m[0] for m in MISTAKES]
)
def test_a_mistake_is_caught(
    tmp_path: Path, test: str, module: str, right: str, wrong: str
) -> None:
    """The project that `pilotage plugin new` writes, with one line of it changed, fails this one test."""
    write_project(tmp_path, "acme-lamps", "adapter")
    file = tmp_path / "src" / "acme_lamps" / f"{module}.py"
    source = file.read_text()
    assert source.count(right) == 1
    file.write_text(source.replace(right, wrong))
    contract = tmp_path / "tests" / "test_contract.py"
    contract.write_text(contract.read_text().replace("point=", "patience_s=1.0, point="))
    path = os.pathsep.join([str(tmp_path / "src"), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "-k", test, str(contract)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed" in done.stdout
