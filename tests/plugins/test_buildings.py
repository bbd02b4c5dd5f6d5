"""Buildings help people out, and keep their motors alive."""

from __future__ import annotations

from pilotage.model.entities import Kind


class TestGate:
    def test_fail_safe(self, kinds: dict[str, Kind]) -> None:
        """A gate that loses us is free."""
        lock = kinds["gate"].point("lock")
        assert lock is not None
        assert (lock.default, lock.value_on_loss) == ("locked", "free")

    def test_panel_knows_its_gates(self, kinds: dict[str, Kind]) -> None:
        """A fire panel leads to the gates of its building."""
        assert kinds["fire_panel"].relations == {"gates": "gate"}


class TestVentilation:
    def test_minimum_time(self, kinds: dict[str, Kind]) -> None:
        """The fan keeps a step for ten minutes at least."""
        ventilation = kinds["building_zone"].point("ventilation")
        assert ventilation is not None
        assert ventilation.min_on_s == 600.0
