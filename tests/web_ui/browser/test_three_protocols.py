"""A plan that is held on its page reaches lamps on MQTT, OPC UA and Modbus, and the page shows each confirmed by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from playwright.sync_api import Browser, Page
from tests.faults.city import temporary_folder
from tests.faults.records import lines
from tests.faults.suite_servers import STREETS, Server
from tests.web_ui.browser.conftest import VIEW, WATCH, shot, sign_in, until_true
from tests.web_ui.browser.town import Town

from pilotage import api

ON_MQTT: Final = [f"m-{number}" for number in range(STREETS)]
HELD: Final = "s-1"
"""Somebody holds this one by hand: the plan does not get it."""
RULES: Final = """\
version: 1
plans:
  snow:
    title: {en: Snow plan, fr: Plan neige}
    owner: winter
    levels:
      - level: 1
        name: watch
        hold: [{each: {lamp: {kind: lamp}}, set: lamp.level, to: 60 %}]
"""
MQTT_POINT: Final = """\
      - entity: {lamp}
        read: {{topic: "city/{lamp}/level", point: level, path: $.level}}
        write: {{topic: "city/{lamp}/level/set", point: level, payload: {{level: "{{value}}"}}}}
"""
OPCUA_POINT: Final = """\
      - entity: {lamp}
        read: {{points: {{level: "ns=2;s={lamp}.Level"}}}}
        write: {{point: level, node: "ns=2;s={lamp}.Level"}}
"""
MODBUS_POINT: Final = """\
      - entity: {lamp}
        unit_id: 1
        points: {{level: {{holding: {address}, scale: 0.01}}}}
"""
CONNECTIONS: Final = """\
{mqtt}  nodes:
    adapter: opcua
    url: "opc.tcp://127.0.0.1:{opcua_port}"
    security: none
    publishing: 0.2
    points:
{opcua}  registers:
    adapter: modbus
    host: 127.0.0.1
    port: {modbus_port}
    poll: 300 ms
    points:
{modbus}"""


class Lamps:
    """The lamps on MQTT: each obeys and says so."""

    def __init__(self, port: int) -> None:
        self.told: dict[str, float] = {}
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._obey
        self._client.connect("127.0.0.1", port)
        self._client.subscribe("city/+/level/set")
        self._client.loop_start()

    def report(self, lamp: str, level: float) -> None:
        self._client.publish(f"city/{lamp}/level", json.dumps({"level": level}))

    def _obey(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        lamp = message.topic.split("/")[1]
        self.told[lamp] = level = json.loads(message.payload)["level"]
        self.report(lamp, level)

    def close(self) -> None:
        self._client.loop_stop()
        self._client.disconnect()


class City:
    """A town whose lamps are on three protocols; `lamps` and `servers` are what they were told."""

    def __init__(self, town: Town, lamps: Lamps, servers: tuple[Server, Server]) -> None:
        self.town, self.lamps, self.servers = town, lamps, servers

    @property
    def written(self) -> dict[str, float]:
        """The last level that each lamp got over its wire."""
        found = dict(self.lamps.told)
        for server in self.servers:
            found |= {row["street"]: row["level"] for row in lines(server.log)}
        return found


@pytest.fixture(scope="module")
def city() -> Iterator[City]:
    """It is up, and every lamp has reported 100 %."""
    with temporary_folder() as folder:
        town = Town(folder, 1, rules=RULES)
        opcua = Server("opcua", "nodes", folder, 0)
        modbus = Server("modbus", "registers", folder, STREETS)
        _write(folder, town, opcua, modbus)
        with closing(Lamps(town.broker.port)) as lamps:
            try:
                town.start()
                for lamp in ON_MQTT:
                    lamps.report(lamp, 100.0)
                yield City(town, lamps, (opcua, modbus))
            finally:
                town.stop()
                opcua.stop()
                modbus.stop()


def _write(folder: Path, town: Town, opcua: Server, modbus: Server) -> None:
    every = [*ON_MQTT, *opcua.streets, *modbus.streets]
    (folder / "city.yaml").write_text("".join(f"{lamp}: {{kind: lamp}}\n" for lamp in every))
    (folder / "lamps.csv").unlink()
    config = folder / "config.yaml"
    head, _, _ = config.read_text().partition("      - kind: lamp\n")
    lines_ = [
        "inventory: [city.yaml]" if line.startswith("inventory:") else line
        for line in head.splitlines()
    ]
    places = enumerate(modbus.streets)
    config.write_text(
        "\n".join(lines_)
        + "\n"
        + CONNECTIONS.format(
            mqtt="".join(MQTT_POINT.format(lamp=lamp) for lamp in ON_MQTT),
            opcua="".join(OPCUA_POINT.format(lamp=lamp) for lamp in opcua.streets),
            modbus="".join(MODBUS_POINT.format(lamp=lamp, address=at) for at, lamp in places),
            opcua_port=opcua.port,
            modbus_port=modbus.port,
        )
    )


@pytest.fixture
def page(city: City, browser: Browser) -> Iterator[Page]:
    """A page of an operator."""
    context = browser.new_context(
        base_url=city.town.url, storage_state=sign_in(city.town, browser), viewport=VIEW
    )
    context.add_init_script(WATCH)
    yield context.new_page()
    context.close()


def rows(page: Page) -> dict[str, list[str]]:
    """Return the rows of what a plan holds, by lamp: how it is, then wanted, sent, confirmed and reported as they are shown."""
    found: list[list[str]] = page.locator("tr[data-point]").evaluate_all(
        "rows => rows.map(r => [r.dataset.point, r.dataset.standing, ...[...r.cells].slice(2).map(c => c.innerText)])"
    )
    return {row[0].removesuffix(".level"): row[1:] for row in found}


@pytest.mark.ui
def test_each_is_confirmed(city: City, page: Page) -> None:
    """From the hold to every lamp of three protocols: told over its own wire, read back, and shown with its times, without a reload."""
    order = api.SetOverride(
        point=f"{HELD}.level", value=20, for_s=600, person="nadia", reason="works"
    )
    city.town.ask(order)
    page.goto("/plans")
    page.wait_for_selector("html[data-link=live]")
    button = page.locator("#form-snow button.hold")
    button.scroll_into_view_if_needed()
    box = button.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.wait_for_timeout(1_100)
    page.mouse.up()
    page.wait_for_url("**/plans/snow")
    page.goto("/plans/snow/points")
    until_true(
        page, f"document.querySelectorAll('[data-standing=confirmed]').length === {3 * STREETS - 1}"
    )
    shown = rows(page)
    shot(page, "three-protocols")
    assert shown[HELD][0] == "dominated"
    others = {lamp: row for lamp, row in shown.items() if lamp != HELD}
    for lamp, (standing, wanted, sent, confirmed, reported) in others.items():
        assert (standing, wanted) == ("confirmed", "60 %"), lamp
        assert sent.startswith("60 %") and reported.startswith("60 %"), lamp
        assert confirmed.count(":") == 2, f"{lamp}: {confirmed}"
    assert {lamp: city.written[lamp] for lamp in others} == dict.fromkeys(others, 60.0)
    assert city.written[HELD] == 20.0
