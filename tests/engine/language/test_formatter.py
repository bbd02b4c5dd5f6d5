"""The shape of rule files: what changes, what never does."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.language import formatter, reader, reader_steps, reader_tests
from pilotage.language.formatter import ORDERS, format_rules
from pilotage.language.loader import load, plain

ROOT = Path(__file__).parents[3]
FILES = sorted(
    path
    for pattern in ("rules/*.yaml", "plugins/*/rules/*.yaml", "engine/pilotage/*/*/rules/*.yaml")
    for path in ROOT.glob(pattern)
)


def formatted(text: str) -> str:
    after, findings = format_rules(text, "a.yaml")
    assert after is not None, [finding.render({"a.yaml": text}) for finding in findings]
    again, _ = format_rules(after, "a.yaml")
    assert again == after, "formatting what was formatted changes it"
    return after


def rule(body: str) -> str:
    return "rules:\n  r:\n" + indent(dedent(body), "    ")


class TestOrder:
    def test_keys_of_a_rule(self) -> None:
        """The order is that of the guide; comments behind a line stay with it."""
        text = rule("""\
            hold: [{set: a.b, to: 1, priority: saving}]
            if_unknown: release   # never dark on a doubt
            while: is_night
            owner: x
            title: R
            """)

        assert formatted(text) == rule("""\
            title: R
            owner: x
            while: is_night
            if_unknown: release   # never dark on a doubt
            hold: [{set: a.b, to: 1, priority: saving}]
            """)

    def test_comments_above_a_key_move_with_it(self) -> None:
        """What stands above a key speaks of it."""
        text = rule("""\
            # why it is so
            while: is_night
            title: R
            owner: x
            hold:
              # the level
              - to: 30 %
                # of the street
                set: a.b
                priority: saving
            """)

        assert formatted(text) == rule("""\
            title: R
            owner: x
            # why it is so
            while: is_night
            hold:
              # the level
              # of the street
              - set: a.b
                to: 30 %
                priority: saving
            """)

    def test_sections(self) -> None:
        """Sections have an order, and the head of the file stays at its head."""
        text = "# about the file\nrules:\n# of the language\nversion: 1\n"

        assert formatted(text) == ("# about the file\n# of the language\nversion: 1\n\nrules:\n")

    def test_steps_begin_with_what_they_do(self) -> None:
        """A step's first key says which step it is."""
        text = rule("""\
            title: R
            owner: x
            when: at 22:30
            do:
              - timeout: 5 min
                else:
                - note: late
                wait_for: is_night
            """)

        assert "  - wait_for: is_night\n        timeout: 5 min\n" in formatted(text)

    def test_free_names_keep_their_order(self) -> None:
        """Variables, values and readings stand as they were written."""
        text = rule("""\
            title: R
            owner: x
            when: at 22:30
            do:
              - let:
                  z: 1
                  a: 2
            """)

        assert formatted(text) == text


class TestLayout:
    def test_indentation_and_blank_lines(self) -> None:
        """Two columns a level, a list one level deeper than its key, one blank line between rules."""
        text = (
            "\n\nrules:\n\n   a:\n      title:   A\n      owner: x\n      when: at 22:30\n      do:\n"
            "      -  note: x   \n   b:\n      title: B\n      owner: x\n\n\n\n      when: at 22:30\n"
            "      do: [{note: x}]"
        )

        assert formatted(text) == (
            "rules:\n  a:\n    title: A\n    owner: x\n    when: at 22:30\n    do:\n      - note: x\n"
            "\n  b:\n    title: B\n    owner: x\n\n    when: at 22:30\n    do: [{note: x}]\n"
        )

    def test_texts_over_several_lines(self) -> None:
        """Folded and literal texts move as a whole and say the same; # and blank lines in them are text."""
        text = rule("""\
            title: R
            owner: x
            description: |
                  one
                    # two

                  three
            while: >-
               is_night
               or is_night
            hold:
            - {set: a.b,
               to: 1, priority: saving}
            """)

        assert formatted(text) == rule("""\
            title: R
            owner: x
            description: |
              one
                # two

              three
            while: >-
              is_night
              or is_night
            hold:
              - {set: a.b,
                 to: 1, priority: saving}
            """)

    def test_comments_keep_their_owner(self) -> None:
        """A comment further right than the next key belongs to what is above it."""
        text = (
            "rules:\n  a:\n    title: A\n    owner: x\n    when: at 22:30\n    do:\n      - note: x\n"
            "        # after the note\n      # after the steps\n    # after the keys\n"
            "\n  # before b\n  b: {title: B, owner: x, when: every 5 min, do: [{note: x}]}\n# the end\n"
        )

        assert formatted(text) == text

    def test_windows_line_ends(self) -> None:
        """Every line ends as on Unix."""
        assert "\r" not in formatted("version: 1\r\n\r\nrules:\r\n")

    def test_a_file_without_content(self) -> None:
        """Comments alone stay, an empty file stays empty."""
        assert formatted("# only this   \n\n") == "# only this\n"
        assert formatted("") == ""


class TestSafety:
    @pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
    def test_our_files(self, path: Path) -> None:
        """What our files say stays, to the last comment."""
        before = path.read_text(encoding="utf-8")

        after = formatted(before)

        assert plain(load(after, "")[0]) == plain(load(before, "")[0])
        assert sorted("".join(after.split())) == sorted("".join(before.split()))

    def test_mistakes(self) -> None:
        """A file with a mistake is left alone, and the mistake is told."""
        after, findings = format_rules("rules: {a: {titel: x}}\n", "a.yaml")

        assert after is None
        assert [finding.code for finding in findings][:1] == ["E111"]

    def test_what_would_change_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever goes wrong in here, a file that would mean something else is not written."""
        lossy = formatter._Formatter.file

        def loses_a_comment(self: formatter._Formatter, root: object) -> str:
            return lossy(self, root).replace("# why", "")  # type: ignore[arg-type]

        monkeypatch.setattr(formatter._Formatter, "file", loses_a_comment)
        after, findings = format_rules("version: 1  # why\nrules:\n", "a.yaml")

        assert after is None
        assert findings[0].message == "this file cannot be formatted without changing it"

    @given(st.data())
    @settings(max_examples=60, deadline=None)
    def test_any_layout_comes_to_the_same(self, data: st.DataObject) -> None:
        """However wide the levels, wherever the blank lines: the shape is one."""
        width = data.draw(st.integers(1, 7))
        lines = []
        for line in formatted(FILES[0].read_text(encoding="utf-8")).splitlines():
            depth = len(line) - len(line.lstrip())
            lines.append(" " * (depth // 2 * width) + line.lstrip() if depth % 2 == 0 else line)
            if data.draw(st.integers(0, 30)) == 0 and line.strip().endswith(":"):
                lines.append(" " * data.draw(st.integers(0, 9)))
        text = "\n".join(lines)
        if width == 1 or format_rules(text, "a.yaml")[0] is None:
            return  # a map behind a dash needs two columns: such a text is no YAML
        assert plain(load(formatted(text), "")[0]) == plain(load(text, "")[0])


class TestOrders:
    def test_same_keys_as_the_reader(self) -> None:
        """Each list of keys has just those that the reader knows."""
        known = {
            "file": reader._SECTIONS,
            "derive": reader._DERIVE_KEYS,
            "rule": reader._RULE_KEYS,
            "plan": reader._PLAN_KEYS,
            "activation": reader._ACTIVATION_KEYS,
            "level": reader._LEVEL_KEYS,
            "alarm": reader._ALARM_KEYS,
            "invariant": reader._INVARIANT_KEYS,
            "demand": reader_steps._HOLD_KEYS,
            "test": reader_tests._TEST_KEYS,
            "moment": reader_tests._STEP_KEYS,
        }

        for name, keys in known.items():
            assert sorted(ORDERS[name]) == sorted(keys), name
        assert sorted(formatter.MARKERS) == sorted(reader_steps._STEPS)
        further = {key for _, keys in reader_steps._STEPS.values() for key in keys}
        assert further <= set(formatter._STEP_ORDER)
