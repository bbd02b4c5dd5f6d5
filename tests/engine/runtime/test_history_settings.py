"""`history:` in config.yaml: what it means for a point, and every mistake at its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pilotage.model.entities import Access, EntitySpec, Kind, PointSpec, Privacy
from pilotage.model.values import BOOLEAN, POSITION, enum, number
from pilotage.runtime.config import read_settings
from pilotage.runtime.history.policies import Policies, Policy
from pilotage.runtime.history.settings import check_history

SITE = "site: {name: T, time_zone: Europe/Paris, position: [47.3, 5.0]}\n"
FLOW = PointSpec("flow", number("veh/h"))
OUTSIDE = PointSpec("outside", number("°C"))
PLACE = PointSpec("position", POSITION, privacy=Privacy.PERSONAL)
LENGTH = PointSpec("length", number("km"), Access.FIXED)
ON = PointSpec("on", BOOLEAN)
CAMERA = PointSpec("event", enum("fight", "smoke"), privacy=Privacy.SENSITIVE)
KINDS = {
    "street": Kind("street", "Street", (FLOW, OUTSIDE, LENGTH, ON)),
    "van": Kind("van", "Van", (PLACE, ON, CAMERA)),
}
CITY = (EntitySpec("s-1", "street", zone="Dijon"), EntitySpec("van-1", "van", zone="Talant"))


def read(tmp_path: Path, history: str) -> tuple[Any, list[str]]:
    """Return the settings and all findings, as people see them."""
    file = tmp_path / "config.yaml"
    (tmp_path / "rules").mkdir(exist_ok=True)
    file.write_text(SITE + history)
    found = read_settings(file, {})
    findings = list(found.findings)
    if found.settings is not None:
        findings += check_history(found.settings.history, KINDS, CITY)
    texts = [f.render({**found.sources}) for f in findings]
    return None if found.settings is None else found.settings.history, texts


def policy(tmp_path: Path, history: str, point: str, spec: PointSpec, zone: str = "") -> Policy:
    settings, findings = read(tmp_path, history)
    assert findings == []
    kind = "van" if spec in (PLACE, CAMERA) else "street"
    return Policies(settings).of(point, spec, kind, zone)


def entries(*lines: str) -> str:
    return "history:\n  points:\n" + "".join(f"    - {line}\n" for line in lines)


class TestPolicy:
    @pytest.mark.parametrize(
        ("spec", "text", "days"),
        [
            (FLOW, "changes, at most every 10 s", 90),
            (ON, "changes", 90),
            (LENGTH, "never", 0),
            (PLACE, "never", 0),
            (CAMERA, "never", 0),
        ],
        ids=lambda value: getattr(value, "name", str(value)),
    )
    def test_by_default(self, tmp_path: Path, spec: PointSpec, text: str, days: int) -> None:
        """Without a word, numbers are recorded at most every 10 s, what is personal never."""
        found = policy(tmp_path, "", "x.y", spec)
        assert (found.text, found.keep_s / 86_400) == (text, days)

    def test_the_first_entry_decides(self, tmp_path: Path) -> None:
        """An entry fits when all that it names fits; the first one decides."""
        said = entries(
            '{match: "s-9*", record: never}',
            "{kind: street, point: flow, zone: Dijon, deadband: 5 veh/h}",
            "{kind: street, record: readings}",
        )
        texts = [
            policy(tmp_path, said, point, FLOW, zone).text
            for point, zone in (("s-91.flow", "Dijon"), ("s-1.flow", "Dijon"), ("s-1.flow", ""))
        ]
        assert texts == ["never", "changes of at least 5", "readings"]

    @pytest.mark.parametrize(
        ("written", "spec", "width"),
        [
            ("0.1 veh/min", FLOW, 6.0),
            ("2 K", OUTSIDE, 2.0),
            ("2 °C", OUTSIDE, 2.0),
            ("3", FLOW, 3.0),
        ],
    )
    def test_deadband_in_any_unit(
        self, tmp_path: Path, written: str, spec: PointSpec, width: float
    ) -> None:
        """A deadband is a difference, converted to the point's unit."""
        said = entries(f"{{kind: street, point: {spec.name}, deadband: {written}}}")
        assert policy(tmp_path, said, "s-1.x", spec).deadband == pytest.approx(width)

    def test_a_purpose(self, tmp_path: Path) -> None:
        """A declared purpose has a personal point recorded, for as long as the entry or the class says."""
        said = entries(
            "{kind: van, point: position, purpose: gritting, basis: public task, keep: 20 d}"
        )
        found = policy(tmp_path, said, "van-1.position", PLACE)
        assert (found.record, found.purpose, found.keep_s) == ("changes", "gritting", 20 * 86_400)

    def test_a_wide_entry_records_nothing_personal(self, tmp_path: Path) -> None:
        """An entry for all of a kind, without a purpose, leaves its personal points alone."""
        assert policy(tmp_path, entries("{kind: van}"), "van-1.position", PLACE).record == "never"


class TestMistakes:
    @pytest.mark.parametrize(
        ("entry", "code", "words"),
        [
            ("{record: never}", "C150", 'match: "seg-*.lights.level"'),
            ("{kind: stret}", "C151", 'did you mean "street"?'),
            ("{kind: street, point: flwo}", "C151", 'did you mean "flow"?'),
            ("{zone: Djion}", "C151", 'did you mean "Dijon"?'),
            ("{kind: van, point: position}", "C152", "without purpose and basis"),
            ("{kind: van, point: position, purpose: x}", "C152", "without basis"),
            ("{kind: van, point: event, purpose: x, basis: consent, keep: 8 d}", "C153", "7 d or less"),
            ("{kind: street, keep: 1 h}", "C154", "6 h or more"),
            ("{kind: street, point: flow, deadband: 5 km}", "C155", "which is"),
            ("{kind: street, point: on, deadband: 5}", "C155", "which is true or false"),
            ("{kind: street, deadband: some}", "C155", "above zero"),
            ("{kind: street, record: allways}", "", "allways"),
            ("{kind: street, basis: because}", "", "public task"),
            ("{kind: street, often: yes}", "", "often"),
            ("{kind: street, at_most_every: 5}", "", "5"),
            ("street", "", "a map"),
        ],
    )  # fmt: skip
    def test_is_found(self, tmp_path: Path, entry: str, code: str, words: str) -> None:
        """Each mistake has its place, its code and its mend."""
        _, findings = read(tmp_path, entries(entry))
        (finding,) = findings
        assert finding.splitlines()[0].startswith(str(tmp_path / "config.yaml:4:"))
        assert code in finding
        assert words in finding

    @pytest.mark.parametrize(
        ("keep", "code", "words"),
        [
            ("personal: 400 d", "C153", "366 d"),
            ("sensitive: 40 d", "C153", "31 d"),
            ("open: 10 min", "C154", "6 h"),
        ],
    )
    def test_limits_of_classes(self, tmp_path: Path, keep: str, code: str, words: str) -> None:
        """No setting keeps personal data longer than a year, and none can ask for minutes."""
        _, (finding,) = read(tmp_path, f"history:\n  keep: {{{keep}}}\n")
        assert code in finding
        assert words in finding

    def test_all_at_once(self, tmp_path: Path) -> None:
        """Every mistake is shown, in order."""
        _, findings = read(tmp_path, entries("{record: never}", "{kind: street, keep: 1 h}"))
        assert [finding.split()[1] for finding in findings] == ["C150", "C154"]
