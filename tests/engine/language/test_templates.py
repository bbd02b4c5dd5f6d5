"""Templates for people: plain values, a small allowed part of Jinja2, bounded in cost."""

from __future__ import annotations

import pytest

from pilotage.language.templates import LONGEST, inspect, render


class TestInspect:
    @pytest.mark.parametrize(
        ("text", "paths"),
        [
            ("Hello", []),
            ("{{ a }} and {{ a }}", ["a"]),
            ("{{ street.name | upper }}", ["street.name"]),
            ("{% if a > 3 %}{{ b }}{% endif %}", ["a", "b"]),
            ("{{ a.b.c }} {{ a.b }}", ["a.b", "a.b.c"]),
        ],
    )
    def test_names(self, text: str, paths: list[str]) -> None:
        """An allowed template names what it shows, each once."""
        why, found = inspect(text)
        assert (why, sorted(found)) == ("", paths)

    @pytest.mark.parametrize(
        "text",
        [
            "{% for x in y %}{{ x }}{% endfor %}",
            "{% set a = 1 %}",
            "{% include 'x' %}",
            "{% import 'x' as y %}",
            "{% macro m() %}{% endmacro %}",
            "{{ a() }}",
            "{{ a['b'] }}",
            "{{ 'a' * 100000000 }}",
            "{{ 9 ** 9 ** 9 }}",
            "{{ a | attr('x') }}",
            "{{ a | format(b) }}",
            "{{ [1, 2] }}",
            "{{ a ~ b }}",
            "{{ a",
            "{{" + "(" * 500 + "a" + ")" * 500 + "}}",
            "x" * (LONGEST + 1),
            "{{ a }}" * 300,
        ],
    )
    def test_refused(self, text: str) -> None:
        """Loops, calls, items, powers and whatever could grow are refused with a reason."""
        why, paths = inspect(text)
        assert why and paths == []


class TestRender:
    def test_values(self) -> None:
        """Names are filled in; what is unknown reads so."""
        text = "{{ street.name }}: {{ street.x }}"
        assert render(text, {"street.name": "High", "street.x": None}) == "High: unknown"

    def test_name_and_its_parts(self) -> None:
        """A thing and a point of it may be shown in one text."""
        text = "{{ zone }} in {{ zone.building }}"
        inspected = inspect(text)
        assert inspected == ("", inspected[1])
        assert render(text, {"zone": "North", "zone.building": "Hall"}) == "North in Hall"

    def test_bounded(self) -> None:
        """However long the values, the text ends."""
        assert len(render("{{ a }}{{ a }}", {"a": "x" * 3000})) == LONGEST
