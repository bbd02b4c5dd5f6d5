"""What the loader promises: YAML 1.2 core types, a place for everything, and never an exception."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.language.loader import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_NODES,
    ListNode,
    MapNode,
    Node,
    ScalarNode,
    load,
    plain,
)
from pilotage.model.diagnostics import Span

REFERENCE = Path(__file__).resolve().parents[4] / "shared" / "language" / "reference"


def tree(text: str) -> Node:
    """Return the tree of a text without findings."""
    node, findings = load(text, "x.yaml")
    assert findings == []
    assert node is not None
    return node


def value_of(text: str) -> ScalarNode:
    """Return the scalar under the key `a`."""
    root = tree(text)
    assert isinstance(root, MapNode)
    node = root.get("a")
    assert isinstance(node, ScalarNode)
    return node


def codes(text: str | bytes) -> list[str]:
    """Return the codes of all findings of a text."""
    return [finding.code for finding in load(text, "x.yaml")[1]]


def pointed_at(node: ScalarNode, source: str, offset: int, length: int = 1) -> str:
    """Return the piece of the source that a place within a scalar shows."""
    at = node.place(offset, length)
    return source.splitlines()[at.line - 1][at.column - 1 : at.column - 1 + at.length]


class TestCoreTypes:
    @pytest.mark.parametrize(
        ("written", "value"),
        [
            ("22:30", "22:30"),
            ("on", "on"),
            ("yes", "yes"),
            ("no", "no"),
            ("True", True),
            ("false", False),
            ("null", None),
            ("~", None),
            ("", None),
            ("010", 10),
            ("0o10", 8),
            ("0x1F", 31),
            ("-7", -7),
            ("1e3", 1000.0),
            (".5", 0.5),
            ("1_000", "1_000"),
            ("12:30:45", "12:30:45"),
            ("2026-01-15 23:00", "2026-01-15 23:00"),
            ("30 %", "30 %"),
            ("'true'", "true"),
            ('"7"', "7"),
            ("=", "="),
        ],
    )
    def test_scalar(self, written: str, value: object) -> None:
        """A scalar has the type that the core schema of YAML 1.2.2 (10.3.2) gives it, and no other."""
        found = value_of(f"a: {written}\n").value
        assert (found, type(found)) == (value, type(value))

    def test_plain(self) -> None:
        """A tree turns into plain Python values; keys are always texts."""
        assert plain(tree("1: [a, 2, {b: null}]\nc: 0.5\n")) == {
            "1": ["a", 2, {"b": None}],
            "c": 0.5,
        }

    def test_empty(self) -> None:
        """A file without content is None, and no mistake."""
        assert load("", "x") == (None, [])
        assert load("# only a remark\n", "x") == (None, [])


class TestPlaces:
    def test_keys_values_items(self) -> None:
        """Every key, value and item knows line and column, counted from 1."""
        root = tree("rules:\n  dim:\n    - to: 30 %\n")
        assert isinstance(root, MapNode)
        key, rules = root.entries[0]
        assert key.at == Span("x.yaml", 1, 1, 5)
        assert isinstance(rules, MapNode)
        items = rules.get("dim")
        assert isinstance(items, ListNode)
        (item,) = items.items
        assert isinstance(item, MapNode)
        assert item.entries[0][0].at == Span("x.yaml", 3, 7, 2)
        assert item.entries[0][1].at == Span("x.yaml", 3, 11, 4)

    def test_wide_characters(self) -> None:
        """Columns count characters, not bytes."""
        assert value_of("é: 1\na: ü x\n").place(2, 1).column == 6
        root = tree("{é😀: µg, a: b}")
        assert isinstance(root, MapNode)
        assert root.entries[1][0].at.column == 10

    @pytest.mark.parametrize("written", ["is_night and x", "'is_night and x'", '"is_night and x"'])
    def test_one_line(self, written: str) -> None:
        """Inside a plain or quoted scalar of one line every place is exact."""
        source = f"k: 1\na: {written}  # remark\n"
        assert pointed_at(value_of(source), source, 9, 3) == "and"

    def test_escapes(self) -> None:
        """Escapes in quotes shift the places behind them."""
        source = 'a: "x\\ty \\u00e9 z"\n'
        node = value_of(source)
        assert node.text == "x\ty é z"
        assert pointed_at(node, source, 6) == "z"
        source = "a: 'it''s x'\n"
        assert pointed_at(value_of(source), source, 5) == "x"

    def test_folded_and_literal_blocks(self) -> None:
        """A place in a block is on the line where it was written."""
        source = "a: >-\n    one two\n    three\n\n    four\n"
        node = value_of(source)
        assert node.text == "one two three\nfour"
        assert (node.place(8).line, pointed_at(node, source, 8, 5)) == (3, "three")
        assert (node.place(14).line, pointed_at(node, source, 14, 4)) == (5, "four")
        source = "a: |\n   one\n     two\n"
        node = value_of(source)
        assert (node.place(6).line, pointed_at(node, source, 6, 3)) == (3, "two")

    def test_several_plain_lines(self) -> None:
        """A scalar that goes on over lines keeps the place of each word."""
        source = "a: one two\n  three  four\nb: 1\n"
        node = value_of(source)
        assert node.text == "one two three  four"
        assert pointed_at(node, source, 8, 5) == "three"
        assert pointed_at(node, source, 15, 4) == "four"

    def test_windows_line_ends(self) -> None:
        """Lines that end with CR LF are counted once."""
        source = "b: 1\r\na: >-\r\n  one\r\n  two\r\n"
        node = value_of(source)
        assert node.at.line == 2
        assert (node.place(4).line, node.place(4).column) == (4, 3)

    @settings(max_examples=200, deadline=None)
    @given(st.text(alphabet="ab \t'\"\\é\n:#-", max_size=40))
    def test_double_quoted_text(self, text: str) -> None:
        """Each letter of a quoted text is found where it stands in the source."""
        escaped = (
            text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
        )
        source = f'a: "{escaped}"\n'
        node = value_of(source)
        assert node.text == text
        for offset, character in enumerate(text):
            if character in "abé:#-' ":
                assert pointed_at(node, source, offset) == character


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("a: &x 1\n", "E106"),
            ("a: *x\n", "E106"),
            ("<<: {}\n", "E106"),
            ("a: !t 1\n", "E107"),
            ("a: !!python/object/apply:os.system [x]\n", "E107"),
            ("a: !!str 1\n", "E107"),
            ("%YAML 1.1\n---\na: 1\n", "E108"),
            ("%TAG ! x\n---\na: 1\n", "E108"),
            ("a: 1\n---\nb: 1\n", "E108"),
            ("a: 1\na: 2\n", "E105"),
            ("{a: 1, a: 2}", "E105"),
            ("? [a]\n: 1\n", "E109"),
            ("\ta: 1\n", "E104"),
            ("a:\n\t- 1\n", "E104"),
            ("\ufeffa: 1\n", "E103"),
            ("a: \x07\n", "E103"),
            ("a: \x85\n", "E103"),
            ("a: \u2028\n", "E103"),
            ("a: \x00\n", "E103"),
            ("a: \ud800\n", "E102"),
            ("a: @x\n", "E100"),
            ("a: b: c\n", "E100"),
            ("a: [1\n", "E100"),
            ("a: 'x\n", "E100"),
            ("a: " + "1" * 101 + "\n", "E109"),
        ],
    )
    def test_refused(self, text: str, code: str) -> None:
        """What rule files do not have is refused with one finding."""
        assert code in codes(text)

    def test_bytes(self) -> None:
        """Bytes are read as UTF-8 only; the place of the first wrong one is told."""
        node, (finding,) = load(b"a: 1\nb: caf\xe9\n", "x")
        assert node is None
        assert (finding.code, finding.at.line, finding.at.column) == ("E102", 2, 7)
        assert plain(load("a: é\n".encode(), "x")[0]) == {"a": "é"}

    def test_duplicate_names_both_places(self) -> None:
        """Of two equal keys the first is kept, and the finding names both places."""
        node, (finding,) = load("a: 1\nb: 2\na: 3\n", "x")
        assert plain(node) == {"a": 1, "b": 2}
        assert finding.at.line == 3
        assert "line 1, column 1" in finding.label

    def test_several_at_once(self) -> None:
        """Findings that leave the file readable come together, in order."""
        assert codes("a: &x 1\nb: *x\nb: 2\n") == ["E106", "E106", "E105"]


class TestLimits:
    def test_depth(self) -> None:
        """Twenty levels are read, one more is refused at its place."""
        assert codes("[" * MAX_DEPTH + "]" * MAX_DEPTH) == []
        node, (finding,) = load("[" * 20_000, "x")
        assert node is None
        assert (finding.code, finding.at.column) == ("E101", MAX_DEPTH + 1)

    def test_nodes(self) -> None:
        """A file with too many keys and values is given up."""
        assert codes("[" + "a," * (MAX_NODES + 1) + "]") == ["E101"]

    def test_size(self) -> None:
        """A file over one mebibyte is not even parsed."""
        assert codes("#" * (MAX_BYTES + 1)) == ["E101"]
        assert codes("é" * (MAX_BYTES // 2 + 1)) == ["E101"]

    def test_alias_bomb(self) -> None:
        """Aliases are refused before they multiply."""
        bomb = "a: &a [x, x]\n" + "".join(
            f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
        )
        assert set(codes(bomb)) == {"E106"}

    def test_endless_findings(self) -> None:
        """A file full of mistakes ends after a list that somebody can read."""
        assert len(codes("[" + "*x, " * 5_000 + "]")) <= 201


class TestGarbage:
    @settings(max_examples=300, deadline=None)
    @given(st.text(max_size=200))
    def test_any_text(self, text: str) -> None:
        """No text makes the loader raise; what is no tree has a finding."""
        node, findings = load(text, "x")
        plain(node)
        assert all(finding.at.line >= 1 and finding.at.column >= 1 for finding in findings)

    @settings(max_examples=300, deadline=None)
    @given(st.text(alphabet=list("ab01 \n\t:-[]{},'\"|>&*!%@#?<\\~."), max_size=80))
    def test_nearly_yaml(self, text: str) -> None:
        """Nor does what looks like YAML; each scalar's places lie in the file."""
        node, _ = load(text, "x")
        rows = text.splitlines() or [""]
        for scalar in scalars(node):
            for offset in range(len(scalar.text)):
                at = scalar.place(offset)
                assert 1 <= at.line <= len(rows) + 1

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=100))
    def test_any_bytes(self, raw: bytes) -> None:
        """Bytes neither."""
        load(raw, "x")


def scalars(node: Node | None) -> list[ScalarNode]:
    """Return all scalars of a tree."""
    if isinstance(node, ScalarNode):
        return [node]
    if isinstance(node, ListNode):
        return [found for item in node.items for found in scalars(item)]
    if isinstance(node, MapNode):
        return [found for entry in node.entries for each in entry for found in scalars(each)]
    return []


class TestReferenceFiles:
    @pytest.mark.parametrize("name", ["bus_priority", "intrusion", "lighting", "winter"])
    def test_places_of_all_scalars(self, name: str) -> None:
        """Every scalar of the reference files stands exactly where its node says."""
        path = REFERENCE / f"{name}.yaml"
        assert path.is_file(), f"the design pages are missing: {path}"
        source = path.read_text(encoding="utf-8")
        rows = source.splitlines()
        for scalar in scalars(tree(source)):
            at = scalar.place(0, len(scalar.text))
            assert rows[at.line - 1][at.column - 1 :].startswith(scalar.text)
