"""What a rule file may say, what becomes of it in the tree, and that all its mistakes come at once."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent, indent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.language import reader, reader_steps, reader_tests
from pilotage.language.reader import read_rules
from pilotage.language.syntax import (
    AlarmStep,
    Attribute,
    CallStep,
    Compare,
    ExpectOther,
    ExpectPoint,
    ExpectRule,
    ExpectSent,
    ForEachStep,
    IfStep,
    IncidentStep,
    LetStep,
    Logic,
    Name,
    NoteStep,
    NotifyStep,
    Number,
    PlanStep,
    Raw,
    Rule,
    RuleFile,
    SetOf,
    SetStep,
    Step,
    WaitForStep,
    WaitStep,
    Word,
)
from pilotage.model.diagnostics import Finding

REFERENCE = Path(__file__).resolve().parents[4] / "shared" / "language" / "reference"
NAMES = ["bus_priority", "intrusion", "lighting", "winter"]


def reference(name: str) -> str:
    """Return the text of a reference file; without the design pages the suite is no use."""
    path = REFERENCE / f"{name}.yaml"
    assert path.is_file(), f"the design pages are missing: {path}"
    return path.read_text(encoding="utf-8")


def read(text: str) -> RuleFile:
    """Return the tree of a text without findings."""
    tree, findings = read_rules(text, "x.yaml")
    assert findings == [], "\n".join(finding.render({"x.yaml": text}) for finding in findings)
    assert tree is not None
    return tree


def found_in(text: str) -> list[Finding]:
    """Return the findings of a text."""
    return read_rules(text, "x.yaml")[1]


def rule_text(body: str) -> str:
    """Return a file with one rule."""
    return "rules:\n  r:\n    title: T\n    owner: o\n" + indent(dedent(body), "    ")


def rule(body: str) -> Rule:
    """Return the only rule of a file."""
    (only,) = read(rule_text(body)).rules
    return only


def hold(body: str = "") -> str:
    """Return the body of a hold with more keys."""
    return "while: a\n" + dedent(body) + "hold: [{set: x.level, to: 30 %}]\n"


def steps(body: str) -> tuple[Step, ...]:
    """Return the steps of a story."""
    return rule("when: a becomes b\ndo:\n" + indent(dedent(body), "  ")).do


def texts(words: tuple[Word, ...]) -> list[str]:
    """Return the texts of words."""
    return [word.text for word in words]


class TestReferenceFiles:
    @pytest.mark.parametrize("name", NAMES)
    def test_no_finding(self, name: str) -> None:
        """The files of the language's design read without any finding."""
        text = reference(name)
        tree, findings = read_rules(text, f"{name}.yaml")
        assert [finding.render({f"{name}.yaml": text}) for finding in findings] == []
        assert tree is not None
        assert tree.source == text

    def test_lighting(self) -> None:
        """Holds keep their conditions, demands and ramps; a derived value its coverage."""
        tree = read(reference("lighting"))
        (quiet_flow,) = tree.derive
        assert (quiet_flow.name.text, quiet_flow.coverage) == ("quiet_flow", 0.8)
        dim, light = tree.rules
        assert isinstance(dim.while_, Logic)
        assert isinstance(dim.until, Logic)
        (demand,) = dim.hold
        assert isinstance(demand.set, Attribute)
        assert demand.to is not None
        assert isinstance(demand.to.expression, Number)
        assert demand.ramp is not None
        assert (demand.ramp.up_s, demand.ramp.down_s) == (1.0, 60.0)
        assert light.keep is not None
        assert light.keep.seconds == 90.0
        assert light.if_unknown is not None
        assert light.if_unknown.text == "hold"

    def test_lighting_tests(self) -> None:
        """Tests keep their world, what lasted, and each moment in order."""
        test = read(reference("lighting")).tests[0]
        assert test.name.text == "a quiet street dims and wakes for a pedestrian"
        assert texts(test.use) == ["dim-quiet-streets", "light-up-for-pedestrians"]
        assert test.clock is not None
        assert test.clock.text == "2026-01-15 23:00"
        (entity,) = test.world
        assert [(value.point, value.value) for value in entity.values] == [
            ("dimmable", True),
            ("pedestrian_detected", False),
            ("lights.level", "100 %"),
        ]
        (past,) = test.past
        assert (past.assignment.entity, past.assignment.point) == ("seg-12", "traffic.flow")
        assert (past.assignment.text, past.for_s) == ("40 veh/h", 1200.0)
        assert [step.at_s for step in test.steps] == [1, 61, 70, 72, 75, 160, 226]
        (expected,) = test.steps[0].expect
        assert isinstance(expected, ExpectPoint)
        assert (expected.entity, expected.point) == ("seg-12", "lights.level")
        assert expected.wanted is not None
        assert expected.wanted.text == "30 %"

    def test_bus_priority(self) -> None:
        """Held requests keep what is sent along and how it is verified."""
        tree = read(reference("bus_priority"))
        (only,) = tree.rules
        (_, junctions), (_, buses) = only.for_each
        assert junctions.kind is not None
        assert (junctions.kind.text, buses.within_m) == ("signal_junction", 150.0)
        (demand,) = only.hold
        assert demand.request is not None
        assert [name.text for name, _ in demand.with_] == ["eta", "line"]
        assert demand.expect is not None
        assert texts(demand.expect.status) == ["queued", "activated"]
        assert (demand.expect.within_s, demand.expect.retry) == (3.0, 1)
        assert only.cooldown is not None
        assert (only.cooldown.after.seconds, texts(only.cooldown.per)) == (90.0, ["junction"])
        sent = tree.tests[0].steps[2].expect[1]
        assert isinstance(sent, ExpectSent)
        assert texts(sent.lines) == ["request J-12.priority for bus-7"]
        cooled = tree.tests[0].steps[6].expect[1]
        assert isinstance(cooled, ExpectRule)
        assert (texts(cooled.instance), cooled.state.text) == (["J-12", "bus-9"], "cooldown")

    def test_intrusion(self) -> None:
        """A story keeps its steps in order, and the steps inside them."""
        tree = read(reference("intrusion"))
        (only,) = tree.rules
        assert only.runs is not None
        assert (only.runs.mode, texts(only.runs.per)) == ("one", ["zone"])
        incident, let, if_, each, notify = only.do
        assert isinstance(incident, IncidentStep)
        assert incident.as_ is not None
        assert incident.as_.text == "incident"
        assert isinstance(let, LetStep)
        assert isinstance(if_, IfStep)
        assert isinstance(if_.then[0], NoteStep)
        assert isinstance(each, ForEachStep)
        assert each.together
        first, second = each.do
        assert isinstance(first, SetStep)
        assert first.at_most is not None
        assert first.at_most.seconds == 1800.0
        assert isinstance(first.on_failure[0], NoteStep)
        assert isinstance(second, SetStep)
        assert isinstance(second.to.expression, Name)
        assert isinstance(notify, NotifyStep)
        assert isinstance(notify.otherwise[0], NotifyStep)
        (alarm,) = tree.alarms
        assert alarm.latched
        assert texts(alarm.out_of_service_by) == ["security-chief"]

    def test_winter(self) -> None:
        """A plan keeps parameters, activation and levels; an invariant its assumptions."""
        tree = read(reference("winter"))
        (plan,) = tree.plans
        assert [parameter.name.text for parameter in plan.parameters] == [
            "crews",
            "light_level",
            "main_routes",
            "all_routes",
        ]
        assert isinstance(plan.parameters[2].default, SetOf)
        assert plan.activation is not None
        assert plan.activation.confirm is not None
        assert plan.activation.confirm.from_level == 3
        assert [level.level for level in plan.levels] == [1, 2, 3]
        dispatch = plan.levels[1].on_enter[0]
        assert isinstance(dispatch, ForEachStep)
        call = dispatch.do[0]
        assert isinstance(call, CallStep)
        assert isinstance(call.on_failure[0], AlarmStep)
        sign = plan.levels[2].hold[1]
        assert sign.to is not None
        assert (sign.to.expression, sign.to.text) == (None, "SNOW. ESSENTIAL TRIPS ONLY")
        assert sign.to.problem is not None
        assert len(plan.levels[2].checklist) == 2
        assert len(tree.invariants[1].assume) == 3


class TestForms:
    def test_source_text_of_yaml_values(self) -> None:
        """A plain YAML boolean or number is an expression as it is written."""
        only = rule("while: true\nhold: [{set: x.level, to: 30}]\n")
        assert only.while_ is not None
        assert only.hold[0].to is not None
        assert isinstance(only.hold[0].to.expression, Number)

    def test_quotes_change_nothing(self) -> None:
        """An expression may stand in YAML quotes; its places follow."""
        only = rule("while: \"a < 'b'\"\nhold: [{set: x.level, to: 'off'}]\n")
        assert isinstance(only.while_, Compare)
        assert (only.while_.at.line, only.while_.at.column) == (5, 13)
        assert only.hold[0].to is not None
        assert isinstance(only.hold[0].to.expression, Name)

    def test_unless(self) -> None:
        """`unless` is one exception or a list of them."""
        assert len(rule(hold("unless: b\n")).unless) == 1
        assert len(rule(hold("unless: [b, c.d == 'x']\n")).unless) == 2

    def test_cooldown(self) -> None:
        """A cooldown is a duration, or a map that says what rests."""
        assert rule(hold("cooldown: 90 s\n")).cooldown is not None
        both = rule(
            hold(
                "for_each: {b: {kind: bus}, j: {kind: junction}}\ncooldown: {after: 1 min, per: [b, j]}\n"
            )
        )
        assert both.cooldown is not None
        assert texts(both.cooldown.per) == ["b", "j"]

    @pytest.mark.parametrize(
        ("written", "mode", "count", "per"),
        [
            ("one", "one", 1, []),
            ("one per zone", "one", 1, ["zone"]),
            ("one per zone, bus", "one", 1, ["zone", "bus"]),
            ("restart", "restart", 1, []),
            ("queue 5", "queue", 5, []),
            ("parallel 10", "parallel", 10, []),
        ],
    )
    def test_runs(self, written: str, mode: str, count: int, per: list[str]) -> None:
        """`runs` is a small sentence."""
        runs = rule(f"when: a becomes b\nruns: {written}\ndo: [{{wait: 1 s}}]\n").runs
        assert runs is not None
        assert (runs.mode, runs.count, texts(runs.per)) == (mode, count, per)

    def test_modes(self) -> None:
        """A rule may be off or in the shadow."""
        only = rule(hold("enabled: false\nmode: shadow\ndescription: |\n  Why it is so.\n"))
        assert (only.enabled, only.shadow, only.description) == (False, True, "Why it is so.\n")

    def test_titles(self) -> None:
        """A title is one text, or one per language."""
        tree = read(
            "rules:\n  r:\n    title: {fr: Rue, en: Street}\n    owner: o\n    while: a\n    hold: [{set: x, to: 1}]\n"
        )
        title = tree.rules[0].title
        assert title is not None
        assert (title.in_language("fr"), title.in_language("de")) == ("Rue", "Street")

    def test_sets(self) -> None:
        """A set is a map with a kind, or an expression."""
        only = rule(
            hold(
                "for_each: {b: {kind: bus, where: b.late, within: 1.5 km, of: j}, r: plan.routes}\n"
            )
        )
        (_, buses), (_, routes) = only.for_each
        assert buses.within_m == 1500.0
        assert routes.expression is not None

    def test_values(self) -> None:
        """`to` is kept as an expression and as a text; the point's type decides later."""
        only = rule(
            "while: a\nhold:\n  - {set: x.text, to: 'Works {zone.name}'}\n  - {set: x.list, to: [a, b]}\n  - {set: x.text, to: {template: '{{ a }}'}}\n"
        )
        first, second, third = (demand.to for demand in only.hold)
        assert first is not None
        assert first.expression is None
        assert len(first.as_text.parts) == 2
        assert second is not None
        assert second.expression is not None
        assert third is not None
        assert third.as_text.template == "{{ a }}"

    def test_empty_files_and_sections(self) -> None:
        """A file, or a section, whose content is commented out declares nothing."""
        for text in ("", "# nothing\n", "version: 1\n", "version: 1\nrules:\n#  dim:\n"):
            assert read(text).rules == ()

    def test_bytes(self) -> None:
        """A file may be handed over as it was read from the disk."""
        tree, findings = read_rules(reference("lighting").encode(), "x.yaml")
        assert tree is not None
        assert findings == []


class TestSteps:
    def test_all_kinds(self) -> None:
        """Each step is known by its own key, wherever it stands in the map."""
        found = steps(
            """
            - {to: 1, at_most: 5 s, set: x.level}
            - {call: fleet.stand_by, with: {crews: 4, where: {kind: route}}}
            - {notify: {to: guard, text: Hello}}
            - {open_incident: {type: fire, severity: high, title: Fire}}
            - {note: Hello}
            - {let: {cams: {kind: camera}, n: 1 + 2}}
            - {if: a, then: [{wait: 1 s}], else: [{wait: 2 s}]}
            - {for_each: {b: {kind: bus}}, do: [{wait: 1 s}]}
            - {wait: 2 min 30 s}
            - {wait_for: a, timeout: 5 s, else: [{wait: 1 s}]}
            - {plan: snow, level: 2, reason: "because {a}"}
            - {plan: {name: snow, level: 2}}
            - {alarm: {name: n, severity: low, text: T}}
            """
        )
        assert [type(step) for step in found] == [
            SetStep, CallStep, NotifyStep, IncidentStep, NoteStep, LetStep, IfStep, ForEachStep, WaitStep, WaitForStep,
            PlanStep, PlanStep, AlarmStep,
        ]  # fmt: skip
        call = found[1]
        assert isinstance(call, CallStep)
        assert [type(value) for _, value in call.with_] == [Raw, SetOf]

    def test_several_receivers(self) -> None:
        """`notify` goes to one or several."""
        one, several = steps("- {notify: {to: a, text: T}}\n- {notify: {to: [a, b-c], text: T}}\n")
        assert isinstance(one, NotifyStep)
        assert isinstance(several, NotifyStep)
        assert (texts(one.to), texts(several.to)) == (["a"], ["a", "b-c"])


class TestTests:
    def test_everything(self) -> None:
        """Tests take devices, relations, orders, and ask for alarms, plans, incidents and values."""
        tree = read(
            dedent(
                """
                tests:
                  one of each:
                    use: snow
                    clock: 2026-01-15 23:00:30
                    world:
                      area.7: {kind: area, lamps: [lamp-1, lamp-2], name: "7"}
                    past: [{area.7.traffic.flow: 3 for 2 min}]
                    devices: {area.7.level: {slow: 5 s}, lamp-1: "slow: 2 s", lamp-2: lie}
                    steps:
                      - at: 0 s
                        set: {area.7.level: 30}
                        orders:
                          - plan: {name: snow, level: 2, by: m.garcia}
                          - release: area.7.level
                      - at: 1 min
                        expect:
                          - {alarm: intrusion, for: area.7, state: raised}
                          - {plan: snow, level: 2}
                          - {incident: fire, state: open}
                          - {value: quiet_flow, for: [area.7], state: 3 veh/h}
                          - {sent: nothing}
                """
            )
        )
        (test,) = tree.tests
        (entity,) = test.world
        assert [(name.text, texts(members)) for name, members in entity.relations] == [
            ("lamps", ["lamp-1", "lamp-2"])
        ]
        assert entity.values[0].value == "7"
        assert (test.past[0].assignment.entity, test.past[0].assignment.value) == ("area.7", 3)
        assert [mode.text for _, mode in test.devices] == ["slow: 5 s", "slow: 2 s", "lie"]
        first, second = test.steps
        assert (first.set[0].entity, first.set[0].point, first.set[0].value) == (
            "area.7",
            "level",
            30,
        )
        assert [(name, dict(arguments)) for name, arguments, _ in first.orders] == [
            ("plan", {"name": "snow", "level": 2, "by": "m.garcia"}),
            ("release", {"name": "area.7.level"}),
        ]
        others = [each for each in second.expect if isinstance(each, ExpectOther)]
        assert [(each.subject, each.name.text, each.state.text) for each in others] == [
            ("alarm", "intrusion", "raised"),
            ("plan", "snow", "2"),
            ("incident", "fire", "open"),
            ("value", "quiet_flow", "3 veh/h"),
        ]


class TestFindings:
    def test_all_at_once_in_order(self) -> None:
        """One pass tells every mistake of a file, from top to bottom."""
        text = rule_text(
            "while: a &&\nkepp: 90 s\nkeep: 90\nhold:\n  - {set: x, to: 1, ramp: fast}\n"
        )
        findings = found_in(text + "  s: {}\nrulez: {}\n")
        places = [(finding.at.line, finding.at.column) for finding in findings]
        assert places == sorted(places)
        assert [finding.code for finding in findings] == [
            "E151", "E110", "E118", "E112", "E111", "E111", "E116", "E110",
        ]  # fmt: skip

    def test_good_parts_remain(self) -> None:
        """A mistake takes only its own piece out of the tree."""
        text = (
            rule_text("while: a &&\nhold: [{set: x, to: 1}]\n")
            + "  good:\n    title: T\n    owner: o\n    while: b\n    hold: [{set: y, to: 1}]\n"
        )
        tree, findings = read_rules(text, "x.yaml")
        assert len(findings) == 1
        assert tree is not None
        bad, good = tree.rules
        assert bad.while_ is None
        assert len(bad.hold) == 1
        assert good.while_ is not None

    def test_one_mistake_one_finding(self) -> None:
        """What the loader refused is not told a second time."""
        assert [
            finding.code
            for finding in found_in(rule_text("while: &x a\nuntil: *x\nhold: [{set: x, to: 1}]\n"))
        ] == ["E106", "E106"]

    def test_unreadable(self) -> None:
        """A file that is no YAML has no tree."""
        tree, findings = read_rules("rules: [", "x.yaml")
        assert tree is None
        assert len(findings) == 1

    def test_endless_findings(self) -> None:
        """After two hundred findings the rest is left out, and that is said."""
        findings = found_in("".join(f"key{n}: 1\n" for n in range(1000)))
        assert len(findings) == 201
        assert findings[-1].code == "E140"

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("until", "b"),
            ("for", "5 s"),
            ("keep", "5 s"),
            ("at_most", "5 s"),
            ("hold_at_most", "5 s"),
            ("hold", "[{set: x, to: 1}]"),
        ],
    )
    def test_keys_of_holds(self, key: str, value: str) -> None:
        """A story has no keys of holds."""
        findings = found_in(rule_text(f"when: a becomes b\n{key}: {value}\ndo: [{{wait: 1 s}}]\n"))
        assert [finding.code for finding in findings] == ["E117"]

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("if", "b"),
            ("do", "[{wait: 1 s}]"),
            ("runs", "one"),
            ("if_interrupted", "resume"),
            ("max_late", "1 h"),
        ],
    )
    def test_keys_of_stories(self, key: str, value: str) -> None:
        """A hold has no keys of stories."""
        findings = found_in(rule_text(hold(f"{key}: {value}\n")))
        assert [finding.code for finding in findings] == ["E117"]


# ── random files ─────────────────────────────────────────────────────────────────────────────

_KEYS = sorted(
    {
        *reader._SECTIONS, *reader._RULE_KEYS, *reader._DERIVE_KEYS, *reader._PLAN_KEYS, *reader._ACTIVATION_KEYS,
        *reader._LEVEL_KEYS, *reader._ALARM_KEYS, *reader._INVARIANT_KEYS, *reader._PARAMETER_KEYS,
        *reader_steps._STEPS, *reader_steps._HOLD_KEYS, *reader_tests._TEST_KEYS, *reader_tests._STEP_KEYS,
        "kind", "where", "within", "of", "after", "per", "template", "up", "down", "slow", "point", "sent", "a.b",
    }
)  # fmt: skip
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**20),
    st.sampled_from(
        [
            "a",
            "1 s",
            "a.b > 3",
            "30 %",
            "",
            "{x}",
            "{",
            "a for 3 s",
            "slow: 1 s",
            "nothing",
            "one per x",
        ]
    ),
    st.text(alphabet="ab {}'\"%.\n", max_size=6),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_KEYS), inner, max_size=5)
    ),
    max_leaves=30,
)
_NAMED = st.dictionaries(
    st.sampled_from(["a", "b-c", "d e"]),
    st.dictionaries(st.sampled_from(_KEYS), _VALUES, max_size=8),
    max_size=2,
)


class TestGarbage:
    @settings(max_examples=300, deadline=None)
    @given(
        st.dictionaries(st.sampled_from(reader._SECTIONS), st.one_of(_VALUES, _NAMED), max_size=7)
    )
    def test_any_shape(self, content: dict[str, object]) -> None:
        """Known keys in any shape never make the reader raise; findings come in order."""
        _, findings = read_rules(json.dumps(content), "x")
        places = [(finding.at.line, finding.at.column) for finding in findings]
        assert places == sorted(places)
        assert all(finding.mend for finding in findings)

    @settings(max_examples=200, deadline=None)
    @given(st.sampled_from(NAMES), st.data())
    def test_damaged_reference(self, name: str, data: st.DataObject) -> None:
        """A reference file with a damage anywhere is read or answered, never raised upon."""
        text = reference(name)
        start = data.draw(st.integers(0, len(text)))
        length = data.draw(st.integers(0, 30))
        inserted = data.draw(
            st.sampled_from(
                ["", " ", "\n", ":", "- ", "{", "}", "'", '"', "&&", "30", "\t", "#", "é"]
            )
        )
        damaged = text[:start] + inserted + text[start + length :]
        for finding in found_in(damaged):
            finding.render({"x.yaml": damaged})

    @settings(max_examples=200, deadline=None)
    @given(st.text(max_size=100))
    def test_any_text(self, text: str) -> None:
        """No text makes the reader raise."""
        read_rules(text, "x")


class TestSize:
    def test_a_large_file(self) -> None:
        """A file near one mebibyte with two thousand rules is read whole."""
        body = "".join(
            f"  rule-{n}:\n    title: T\n    owner: o\n    for_each:\n      s: {{kind: k, where: s.on}}\n"
            f"    while: s.flow < {n + 1} veh/h and not s.blocked\n    hold:\n      - set: s.level\n        to: 30 %\n"
            "        ramp: {up: 1 s, down: 60 s}\n"
            for n in range(2000)
        )
        assert len(read("rules:\n" + body).rules) == 2000
