"""What devices do without us is written into them, and a heartbeat while we are there.

A device that holds them takes the value by itself when the heartbeat has stopped for the time, whatever has become of us.
"""

from __future__ import annotations

from pilotage.adapter import Door
from pilotage_modbus.client import Client
from pilotage_modbus.codec import Garbage, Table
from pilotage_modbus.guard import REGISTER, Guard
from pilotage_modbus.trouble import BadAnswer, Refusal, Silence


class Guards:
    """Writes the settings of all guards, and their heartbeats; used by the one task that has the line."""

    def __init__(
        self, client: Client, guards: list[Guard], every_s: float, door: Door, name: str
    ) -> None:
        self._client = client
        self._guards = guards
        self._every_s = every_s
        self._door = door
        self._name = name
        self._number = 0
        self._armed: set[str] = set()
        self.due = 0.0

    def __bool__(self) -> bool:
        """True when there is somebody to guard."""
        return bool(self._guards)

    async def beat(self, now: float) -> None:
        """Let every device know that we are there; write its settings first when it does not have them yet."""
        self.due = now + self._every_s
        self._number = self._number % REGISTER + 1
        for guard in self._guards:
            try:
                if guard.point not in self._armed:
                    await self._arm(guard)
                await self._write(guard, guard.heartbeat, [self._number])
            except (Silence, Refusal, BadAnswer, Garbage) as error:
                self._armed.discard(guard.point)
                self._door.refused(f"{self._name}: on_loss of {guard.point}", str(error))

    async def _arm(self, guard: Guard) -> None:
        for register, words in guard.settings:
            await self._write(guard, register, words)
            back = await self._client.read(
                guard.unit, Table.HOLDING, register, len(words), guard.timeout_s
            )
            if list(back) != words:
                raise Garbage(f"register {register} was written {words} and says {list(back)}")
        self._armed.add(guard.point)

    async def _write(self, guard: Guard, register: int, words: list[int]) -> None:
        await self._client.write(
            guard.unit, Table.HOLDING, register, words, guard.timeout_s, multiple=len(words) > 1
        )
