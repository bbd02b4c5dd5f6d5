"""Tokens of programs."""

from __future__ import annotations

import pytest
from tests.web_ui.people.conftest import NOW

from pilotage_web.people.accounts import AccountError
from pilotage_web.people.records import By
from pilotage_web.people.register import Register
from pilotage_web.people.tokens import LONGEST_S, PREFIX
from pilotage_web.rights import Right

ANN = By("ann", "web 192.0.2.7", post="administration")
DAY = 86_400.0


class TestToken:
    def test_scopes_and_end(self, people: Register) -> None:
        """It may what it was given, until its end."""
        secret = people.tokens.add("open data", "traffic", {Right.SEE}, DAY, ANN, NOW)
        token = people.tokens.of(secret, NOW)

        assert secret.startswith(PREFIX)
        assert token is not None
        assert token.may(Right.SEE)
        assert not token.may(Right.OVERRIDE)
        assert not token.may(Right.PEOPLE)
        assert token.person == "token:open data"
        assert people.tokens.of(secret, NOW + DAY) is None
        assert people.tokens.of(secret + "x", NOW) is None

    @pytest.mark.parametrize(
        ("title", "scopes", "for_s"),
        [
            ("", {Right.SEE}, DAY),
            ("x", set(), DAY),
            ("x", {Right.PEOPLE}, DAY),
            ("x", {Right.SELF}, DAY),
            ("x", {Right.SEE}, 0.0),
            ("x", {Right.SEE}, LONGEST_S + 1),
            ("x", {Right.SEE}, float("inf")),
            ("x", {Right.SEE}, float("nan")),
        ],
    )
    def test_what_is_none(
        self, people: Register, title: str, scopes: set[Right], for_s: float
    ) -> None:
        """A token has a title, scopes of programs, and an end."""
        with pytest.raises(AccountError):
            people.tokens.add(title, "traffic", scopes, for_s, ANN, NOW)
        assert people.tokens.all() == []

    def test_taken_away(self, people: Register) -> None:
        """It is refused from then on; making and taking are told without its secret."""
        secret = people.tokens.add("open data", "traffic", {Right.SEE}, DAY, ANN, NOW)
        (token,) = people.tokens.all()
        people.tokens.remove(token.id, ANN, NOW)

        assert people.tokens.of(secret, NOW) is None
        told = [row for _, row in people.records.waiting()][-2:]
        assert [row.action for row in told] == ["token_added", "token_removed"]
        assert secret not in str(told)
        with pytest.raises(AccountError, match="there is no token"):
            people.tokens.remove(token.id, ANN, NOW)
