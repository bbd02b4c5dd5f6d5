"""A small city with plans and alarms, its real engine in another process, for the pages on which people act."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.web_ui.city import running

from pilotage import api

CONFIG = """\
site: {name: Dijon, time_zone: Europe/Paris, position: [47.32, 5.04], language: fr}
storage: {ballast: 0}
inventory:
  - seg-1: {kind: lighting_segment, name: Rue de la Liberté, zone: Dijon, location: [47.3224, 5.0399], lamps: [l-1, l-2]}
    seg-2: {kind: lighting_segment, name: Place Darcy, zone: Dijon, location: [47.3234, 5.0347], lamps: [l-3]}
    seg-3: {kind: lighting_segment, name: Rue Verte, zone: Talant, commune: Talant, location: [47.3400, 5.0100]}
    l-1: {kind: lamp, name: Liberté 1, zone: Dijon}
    l-2: {kind: lamp, name: Liberté 2, zone: Dijon}
    l-3: {kind: lamp, name: Darcy 1, zone: Dijon}
"""
RULES = """\
plans:
  crisis:
    title: {fr: Plan crise, en: Crisis plan}
    owner: security
    priority: crisis
    activation: {operators: [security], manual_expires: 6 h}
    levels:
      - level: 1
        name: crisis
        hold:
          - {each: {segment: {kind: lighting_segment, where: segment.commune == "Talant"}}, set: segment.lights.level, to: 90 %}
  snow:
    title: {fr: Plan neige, en: Snow plan}
    owner: roads
    activation: {operators: [control, snow]}
    levels:
      - level: 1
        name: watch
        hold:
          - {each: {segment: {kind: lighting_segment}}, set: segment.lights.level, to: 80 %}
        checklist:
          - {text: Schools <b>informed</b>, by: education, within: 30 min}
      - {level: 2, name: treat}
  evacuation:
    title: {fr: Évacuation, en: Evacuation}
    owner: security
    activation: {operators: [control], two_people: true}
    levels:
      - {level: 1, name: leave}
  closed:
    title: Not ours
    owner: roads
    activation: {operators: [traffic]}
    levels:
      - {level: 1, name: "on"}
alarms:
  dark-street:
    title: {fr: Rue sans lumière, en: Dark street}
    owner: lighting
    for_each: {segment: {kind: lighting_segment}}
    raise_while: wanted(segment.lights.level) < 20 %
    severity: critical
  dark-lamp:
    title: {fr: Lampe éteinte, en: Dark lamp}
    owner: lighting
    for_each: {lamp: {kind: lamp}}
    raise_while: wanted(lamp.level) < 20 %
    severity: low
"""


@pytest.fixture(scope="session")
def engine_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The control socket of the city's engine."""
    folder = tmp_path_factory.mktemp("acts")
    (folder / "rules").mkdir()
    (folder / "rules" / "acts.yaml").write_text(RULES)
    (folder / "config.yaml").write_text(CONFIG)
    with running(folder / "config.yaml") as socket:
        yield socket


@pytest.fixture
def city(engine_socket: Path) -> Iterator[api.Client]:
    """The engine itself; every plan is off and nothing is overridden afterwards."""
    with api.Client(engine_socket) as client:
        yield client
        for each in client.ask(api.ListGlass()):
            client.ask(api.MendGlass(person="test", whose=each.person))
        for plan in client.ask(api.ListPlans()):
            if plan.manual:
                client.ask(api.SetPlan(plan=plan.name, level=None, person="test", reason="end"))
            if plan.second is not None:
                client.ask(api.AnswerPlan(plan=plan.name, question="second", yes=False, person="x"))
        for point in client.ask(api.ListPoints(match="*.level")).points:
            with suppress(api.ApiError):
                client.ask(api.ReleaseOverride(point=point.id, person="test"))
        for alarm in client.ask(
            api.ListAlarms()
        ):  # four of one name would be one line of the next test
            client.ask(api.ActOnAlarm(alarm=alarm.id, action="acknowledge", person="test"))
