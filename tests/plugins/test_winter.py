"""Forecasts answer with the horizon that covers the question."""

from __future__ import annotations

from typing import Any

import pytest

from pilotage.model.entities import Access, Kind
from pilotage.model.units import parse_unit
from pilotage_winter.functions import FUNCTIONS, snow

HOUR_S = 3_600.0
FORECAST = {"snow_3h": 0.5, "snow_6h": 1.0, "snow_12h": 4.0, "snow_24h": 9.0, "snow_48h": 11.0}


class TestSnow:
    @pytest.mark.parametrize(
        ("hours", "expected"),
        [(1, 0.5), (3, 0.5), (3.1, 1.0), (12, 4.0), (13, 9.0), (24, 9.0), (48, 11.0)],
    )
    def test_horizon(self, thing: Any, town: Any, hours: float, expected: float) -> None:
        """The shortest horizon that reaches far enough answers, as listed in the forecast above."""
        city = town({"weather_forecast": [thing("meteo", FORECAST)]})
        assert snow(city, hours * HOUR_S) == expected

    def test_beyond_every_horizon(self, thing: Any, town: Any) -> None:
        """Nobody knows the snow of the next three days."""
        assert snow(town({"weather_forecast": [thing("meteo", FORECAST)]}), 72 * HOUR_S) is None

    def test_worst_of_several(self, thing: Any, town: Any) -> None:
        """Of several forecasts the worst counts, and a silent one does not."""
        city = town(
            {
                "weather_forecast": [
                    thing("east", {"snow_12h": 2.0}),
                    thing("west", {"snow_12h": 6.0}),
                    thing("silent"),
                ]
            }
        )
        assert snow(city, 12 * HOUR_S) == 6.0

    @pytest.mark.parametrize("forecasts", [[], ["silent"]])
    def test_unknown(self, thing: Any, town: Any, forecasts: list[str]) -> None:
        """Without a known forecast the answer is unknown, and never zero."""
        city = town({"weather_forecast": [thing(name) for name in forecasts]})
        assert snow(city, 12 * HOUR_S) is None

    def test_declaration(self, kinds: dict[str, Kind]) -> None:
        """Rules give a duration and get centimetres; every horizon of the kind is read."""
        (function,) = FUNCTIONS
        assert function.name == "forecast.snow"
        assert function.wants_city
        assert function.returns.unit == parse_unit("cm")
        declared = {p.name for p in kinds["weather_forecast"].points if p.name.startswith("snow_")}
        assert {read.removeprefix("weather_forecast.") for read in function.reads} == declared


class TestKinds:
    def test_route(self, kinds: dict[str, Kind]) -> None:
        """A route that nobody asks for is not treated, and its rank is a plain number."""
        treatment, rank = kinds["route"].point("treatment"), kinds["route"].point("rank")
        assert treatment is not None and rank is not None
        assert (treatment.access, treatment.default) == (Access.COMMANDABLE, "none")
        assert "preventive_salt" in treatment.type.members
        assert rank.type.unit.symbol == ""

    def test_plough_position_age(self, kinds: dict[str, Kind]) -> None:
        """A position older than two minutes is unknown, and not "still there"."""
        position = kinds["plough"].point("position")
        assert position is not None
        assert position.max_age_s == 120.0
