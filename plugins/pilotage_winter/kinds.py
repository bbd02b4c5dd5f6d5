"""The kinds of winter service: what is measured, what is expected, what is treated, and by whom."""

from __future__ import annotations

from typing import Final

from pilotage.model.entities import Access, Combine, Kind, PointSpec, Privacy
from pilotage.model.values import BOOLEAN, POSITION, TEXT, enum, number, reference

HORIZONS_H: Final = (3, 6, 12, 24, 48)
"""Hours ahead that a forecast speaks of; each has a point `snow_12h`."""

ROAD_STATION: Final = Kind(
    name="road_station",
    title="Road weather station",
    points=(
        PointSpec(
            "surface_temperature",
            number("°C"),
            low=-40.0,
            high=80.0,
            max_age_s=1_800.0,
            every_s=600.0,
            privacy=Privacy.OPEN,
            doc="Of the road surface, in °C.",
        ),
        PointSpec(
            "air_temperature",
            number("°C"),
            low=-40.0,
            high=60.0,
            max_age_s=1_800.0,
            every_s=600.0,
            privacy=Privacy.OPEN,
            doc="Two metres above the ground, in °C.",
        ),
        PointSpec(
            "dew_point",
            number("°C"),
            low=-60.0,
            high=40.0,
            max_age_s=1_800.0,
            every_s=600.0,
            doc="In °C; a surface colder than this gathers water, or ice.",
        ),
        PointSpec("humidity", number("%"), low=0.0, high=100.0, max_age_s=1_800.0, every_s=600.0),
        PointSpec(
            "wet",
            BOOLEAN,
            max_age_s=1_800.0,
            every_s=600.0,
            doc="Water, ice or snow lies on the surface.",
        ),
        PointSpec(
            "water",
            number("mm"),
            low=0.0,
            high=20.0,
            max_age_s=1_800.0,
            every_s=600.0,
            doc="Depth of water.",
        ),
        PointSpec(
            "grip",
            number(),
            low=0.0,
            high=1.0,
            max_age_s=1_800.0,
            every_s=600.0,
            doc="Coefficient of friction: about 0.8 on a dry road, below 0.3 on ice.",
        ),
        PointSpec(
            "salinity", number("g/m²"), low=0.0, high=200.0, max_age_s=1_800.0, every_s=600.0
        ),
        PointSpec("position", POSITION, Access.FIXED, privacy=Privacy.OPEN),
    ),
    doc="Sensors in and beside the road.",
)

WEATHER_FORECAST: Final = Kind(
    name="weather_forecast",
    title="Weather forecast",
    points=(
        *(
            PointSpec(
                f"snow_{hours}h",
                number("cm"),
                low=0.0,
                high=300.0,
                max_age_s=21_600.0,
                every_s=3_600.0,
                privacy=Privacy.OPEN,
                doc=f"Fresh snow expected within {hours} hours from now, in cm.",
            )
            for hours in HORIZONS_H
        ),
        PointSpec(
            "rain_2h",
            BOOLEAN,
            max_age_s=7_200.0,
            privacy=Privacy.OPEN,
            doc="Rain is expected within two hours.",
        ),
        PointSpec(
            "lowest_temperature_12h",
            number("°C"),
            low=-40.0,
            high=50.0,
            max_age_s=21_600.0,
            every_s=3_600.0,
            privacy=Privacy.OPEN,
            doc="Of the air, within twelve hours, in °C.",
        ),
    ),
    doc="What a weather service expects for the city or a part of it.",
)

ROUTE: Final = Kind(
    name="route",
    title="Winter route",
    points=(
        PointSpec(
            "rank",
            number(),
            Access.FIXED,
            low=1.0,
            high=9.0,
            privacy=Privacy.OPEN,
            doc="1 is treated first: main roads and bus lines.",
        ),
        PointSpec(
            "treatment",
            enum("none", "preventive_salt", "curative_salt", "plough", "plough_and_salt"),
            Access.COMMANDABLE,
            default="none",
            combine=Combine.REFUSE,
            privacy=Privacy.OPEN,
            doc="What the depot is asked to do on it. Preventive doses are 7 to 20 g/m², curative 20 to 50 g/m².",
        ),
        PointSpec(
            "treated",
            BOOLEAN,
            max_age_s=43_200.0,
            privacy=Privacy.OPEN,
            doc="Since the last snowfall.",
        ),
        PointSpec(
            "blocked",
            BOOLEAN,
            privacy=Privacy.OPEN,
            doc="Impassable, as a person on the road last said; stands until somebody says otherwise.",
        ),
        PointSpec(
            "condition",
            enum("C1", "C2", "C3", "C4"),
            max_age_s=14_400.0,
            privacy=Privacy.OPEN,
            doc="Driving condition: C1 clear, C2 ice in places or moderate snow, C3 general, equipment needed, "
            "C4 impassable.",
        ),
        PointSpec("length", number("km"), Access.FIXED, low=0.0, privacy=Privacy.OPEN),
        PointSpec(
            "start", POSITION, Access.FIXED, privacy=Privacy.OPEN, doc="Where a plough begins."
        ),
    ),
    relations={"stations": "road_station"},
    doc="A round that one plough treats.",
)

PLOUGH: Final = Kind(
    name="plough",
    title="Plough",
    points=(
        PointSpec("free", BOOLEAN, max_age_s=600.0, doc="Manned, fit and without a mission."),
        PointSpec(
            "position",
            POSITION,
            max_age_s=120.0,
            every_s=10.0,
            privacy=Privacy.PERSONAL,
            doc="Where it is, known for two minutes. Personal: it is also where its driver is.",
        ),
        PointSpec(
            "speed",
            number("km/h"),
            low=0.0,
            high=110.0,
            max_age_s=120.0,
            every_s=10.0,
            privacy=Privacy.PERSONAL,
        ),
        PointSpec(
            "salt",
            number("kg"),
            low=0.0,
            high=15_000.0,
            max_age_s=600.0,
            doc="Left in the hopper, in kg.",
        ),
        PointSpec("blade", enum("up", "down"), max_age_s=300.0),
        PointSpec("route", reference("route"), max_age_s=3_600.0, doc="The route it was sent to."),
        PointSpec("plate", TEXT, Access.FIXED, privacy=Privacy.PERSONAL),
    ),
    doc="A spreader with a blade.",
)

KINDS: Final = (ROAD_STATION, WEATHER_FORECAST, ROUTE, PLOUGH)
