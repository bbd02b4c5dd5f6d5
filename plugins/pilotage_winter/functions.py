"""What the weather services expect, as one number per question."""

from __future__ import annotations

from typing import Final

from pilotage.model.entities import City, Function, Parameter
from pilotage.model.values import DURATION, number
from pilotage_winter.kinds import HORIZONS_H


def snow(city: City, ahead_s: float) -> float | None:
    """Return the snow expected within a time, in cm, or None when no forecast that reaches so far is known.

    The shortest horizon that covers the time answers; of several forecasts the worst counts.
    """
    hours = next((h for h in HORIZONS_H if h * 3_600 >= ahead_s), None)
    if hours is None:
        return None
    expected = (forecast.read(f"snow_{hours}h") for forecast in city.entities("weather_forecast"))
    return max((float(depth) for depth in expected if depth is not None), default=None)


FUNCTIONS: Final = (
    Function(
        name="forecast.snow",
        parameters=(Parameter("ahead", DURATION),),
        returns=number("cm"),
        call=snow,
        reads=tuple(f"weather_forecast.snow_{hours}h" for hours in HORIZONS_H),
        wants_city=True,
        doc="Snow expected from now on for a time of up to 48 h, in cm: `forecast.snow(12 h) >= 3 cm`.",
    ),
)
