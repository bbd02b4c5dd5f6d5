"""A real broker, and the street behind it, as processes of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paho.mqtt.publish import single
from tests.faults.city import accepts, free_port, until


class Broker:
    """Mosquitto as a process, on one port for all its lives."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type none\nset_tcp_nodelay true\n{more}"
        )
        found = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        assert found, "install mosquitto: apt-get install -y mosquitto"
        self._binary = found
        self.process = self._started()

    def again(self) -> None:
        self.process.wait()
        self.process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [self._binary, "-c", str(self._config)], stderr=subprocess.DEVNULL
        )
        until(lambda: accepts(self.port), "mosquitto does not start")
        return process

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def street(port: int, folder: Path, streets: int) -> Iterator[None]:
    """Run the lamps of so many streets behind a broker; they write `lamps.log`."""
    log = str(folder / "lamps.log")
    words = [sys.executable, "-m", "tests.faults.lamps", str(port), log, str(streets)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    process = subprocess.Popen(words, env=environment)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def calm(port: int) -> None:
    """Have the counters of the street say the same from now on."""
    single("calm", "", qos=1, hostname="127.0.0.1", port=port)
