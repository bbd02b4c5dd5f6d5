"""The clocks: never back, jumps told, scaled time."""

from __future__ import annotations

import pytest

from pilotage.ports import Clock
from pilotage.runtime.clock import ScaledClock, SystemClock


class Hands:
    """The two times of a machine, moved by hand."""

    def __init__(self) -> None:
        self.wall = 1_800_000_000.0
        self.steady = 500.0

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def jumps() -> list[float]:
    return []


@pytest.fixture
def clock(hands: Hands, jumps: list[float]) -> SystemClock:
    return SystemClock(jumps.append, lambda: hands.wall, lambda: hands.steady)


@pytest.mark.parametrize("make", [SystemClock, lambda: ScaledClock(60.0)], ids=["system", "scaled"])
class TestContract:
    def test_never_back(self, make: type[Clock]) -> None:
        """Neither time is ever less than before."""
        clock = make()
        walls = [clock.now() for _ in range(1_000)]
        steadies = [clock.monotonic() for _ in range(1_000)]
        assert walls == sorted(walls)
        assert steadies == sorted(steadies)

    def test_delay_is_not_negative(self, make: type[Clock]) -> None:
        """What is due already is waited for no longer."""
        assert make().delay(-5.0) == 0.0

    def test_times_go_together(self, make: type[Clock]) -> None:
        """Both times move at the same speed."""
        clock = make()
        wall, steady = clock.now(), clock.monotonic()
        while clock.monotonic() - steady < 0.02:
            pass
        assert clock.now() - wall == pytest.approx(clock.monotonic() - steady, abs=0.5)


class TestSystemClock:
    def test_follows_the_system(self, clock: SystemClock, hands: Hands, jumps: list[float]) -> None:
        """Without a jump it is the system's time."""
        hands.pass_(3_600.0)
        assert clock.now() == hands.wall
        assert jumps == []

    def test_forward(self, clock: SystemClock, hands: Hands, jumps: list[float]) -> None:
        """A jump forward is followed at once and told once."""
        hands.wall += 3_600.0
        assert clock.now() == hands.wall
        hands.pass_(1.0)
        assert clock.now() == hands.wall
        assert jumps == [pytest.approx(3_600.0)]

    def test_back(self, clock: SystemClock, hands: Hands, jumps: list[float]) -> None:
        """After a jump back the engine counts on, so that a duration stays as long as it is."""
        before = clock.now()
        hands.wall -= 3_600.0
        hands.pass_(10.0)
        assert clock.now() == pytest.approx(before + 10.0)
        hands.pass_(10.0)
        assert clock.now() == pytest.approx(before + 20.0)
        assert jumps == [pytest.approx(-3_600.0)]
        assert clock.ahead_s == pytest.approx(3_600.0)

    def test_small_step_back_is_waited_out(
        self, clock: SystemClock, hands: Hands, jumps: list[float]
    ) -> None:
        """A correction of less than two seconds lets the time stand still, and tells nobody."""
        before = clock.now()
        hands.wall -= 1.5
        assert clock.now() == before
        hands.pass_(1.0)
        assert clock.now() == before
        hands.pass_(1.0)
        assert clock.now() == pytest.approx(before + 0.5)
        assert jumps == []

    def test_slow_drift_is_no_jump(
        self, clock: SystemClock, hands: Hands, jumps: list[float]
    ) -> None:
        """A thousand small corrections of one direction are followed without a word."""
        for _ in range(1_000):
            hands.pass_(1.0)
            hands.wall += 0.01
            clock.now()
        assert clock.now() == pytest.approx(hands.wall)
        assert jumps == []


class TestScaledClock:
    def test_speed(self, hands: Hands) -> None:
        """Sixty times as fast: a second is a minute, and a minute is waited for in a second."""
        clock = ScaledClock(60.0, 1_000_000.0, lambda: hands.steady)
        hands.pass_(2.0)
        assert clock.now() == pytest.approx(1_000_120.0)
        assert clock.delay(60.0) == pytest.approx(1.0)

    @pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
    def test_speed_above_zero(self, speed: float) -> None:
        """A clock that stands or goes back is refused."""
        with pytest.raises(ValueError, match="above zero"):
            ScaledClock(speed)


class TestMemory:
    def test_ahead_of_the_system(
        self, hands: Hands, clock: SystemClock, jumps: list[float]
    ) -> None:
        """An engine that had gone ahead of the system's time goes on from where it stood, at the system's speed."""
        clock.go_on_from(hands.wall + 3600)
        assert clock.now() == hands.wall + 3600
        hands.pass_(60)
        assert clock.now() == hands.wall + 3600
        assert clock.ahead_s == 3600
        assert jumps == []

    def test_behind_the_system(self, hands: Hands, clock: SystemClock) -> None:
        """One that was off for a while takes the system's time."""
        clock.go_on_from(hands.wall - 60)
        assert clock.now() == hands.wall
        assert clock.ahead_s == 0.0
