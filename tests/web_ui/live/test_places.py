"""Places as the map reads them: packed once, read back the same."""

from __future__ import annotations

import struct

from pilotage import api
from pilotage_web.live.places import NOWHERE, bounds, pack_places

LAMPS = [
    api.Place(0, "bus-1", "bus"),
    api.Place(1, "lamp-1", "lamp", latitude=47.321, longitude=5.04),
    api.Place(2, "lamp-2", "lamp", latitude=47.320999, longitude=-5.040001),
    api.Place(3, "cabinet", "cabinet", latitude=-0.5, longitude=179.999999),
]


def unpacked(packed: bytes) -> list[tuple[float, float, int]]:
    """Read the columns back, as map.js does."""
    (count,) = struct.unpack_from("<I", packed)
    deltas = struct.unpack_from(f"<{2 * count}i", packed, 4)
    kinds = packed[4 + 8 * count :]
    north = east = 0
    found = []
    for index in range(count):
        north += deltas[index]
        east += deltas[count + index]
        found.append((north / 1e6, east / 1e6, kinds[index]))
    return found


class TestPack:
    def test_there_and_back(self) -> None:
        """Every place is where it was to a millionth of a degree; what moves is nowhere."""
        places = pack_places("e", LAMPS)
        assert places.kinds == ("cabinet", "lamp")
        assert unpacked(places.packed)[1:] == [
            (47.321, 5.04, 1),
            (47.320999, -5.040001, 1),
            (-0.5, 179.999999, 0),
        ]
        assert unpacked(places.packed)[0][2] == NOWHERE

    def test_numbers(self) -> None:
        """A thing is found by its id."""
        places = pack_places("e", LAMPS)
        assert (places.number_of("lamp-2"), places.number_of("lamp-9")) == (2, None)

    def test_empty(self) -> None:
        """A city without equipment packs to a count of none."""
        assert unpacked(pack_places("e", []).packed) == []


def test_bounds() -> None:
    """The corners of all that stands somewhere."""
    assert bounds(LAMPS[:3]) == (47.320999, -5.040001, 47.321, 5.04)
    assert bounds(LAMPS[:1]) is None
