"""A sign that nobody writes on is dark."""

from __future__ import annotations

from pilotage.model.entities import Kind


class TestMessageSign:
    def test_dark_by_default(self, kinds: dict[str, Kind]) -> None:
        """No stale message: dark by default, and dark when it loses us."""
        text = kinds["message_sign"].point("text")
        assert text is not None
        assert (text.default, text.value_on_loss) == ("", "")
