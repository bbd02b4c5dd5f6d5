"""A plugin that must not be loaded: the engine runs without it, and says so where people look."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from pilotage import api


def install(folder: Path, name: str, source: str) -> None:
    """Leave a distribution with one plugin, as pip does."""
    package = folder / f"acme_{name}"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(source)
    info = folder / f"acme_{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[pilotage]\n{name} = acme_{name}.plugin\n")


class TestRefused:
    def test_is_in_the_health_report(self, city: Any) -> None:
        """A plugin for a newer interface is named with its mend; it was not imported, and the city runs."""
        mark = city.folder / "imported"
        source = f'PILOTAGE_INTERFACE = "2"\nopen({str(mark)!r}, "w").close()\n'
        install(city.folder / "site", "future", source)
        city.start()

        findings = {f.code: f for f in city.ask(api.GetHealth()).findings}

        found = findings["plugin.future"]
        assert "was built for interface 2 of pilotage" in found.text
        assert "install a newer pilotage" in found.text
        assert not mark.exists()
        city.report("s-1.flow", 10)
        city.until(lambda: "s-1.level 30" in city.sent(), "the rule does not act")
        city.stop()

    def test_a_lock_keeps_what_is_new_out(self, city: Any) -> None:
        """What was installed after the approval is refused; what was approved runs."""
        done = subprocess.run(
            [sys.executable, "-c", "import sys; from pilotage.cli import main; sys.exit(main())",
             "plugins", "lock", "--approver", "A. Durand"],
            cwd=city.folder, env={**os.environ, **city.environment}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "approved pilotage-file 1" in done.stdout
        config = city.folder / "config.yaml"
        config.write_text(config.read_text() + "plugins: {lock: plugins.lock}\n")
        mark = city.folder / "imported"
        install(city.folder / "site", "late", f'open({str(mark)!r}, "w").close()\n')
        city.start()

        findings = {f.code: f for f in city.ask(api.GetHealth()).findings}

        assert "acme-late is not in the lock" in findings["plugin.late"].text
        assert not mark.exists()
        city.report("s-1.flow", 10)
        city.until(lambda: "s-1.level 30" in city.sent(), "the rule does not act")
        city.stop()
