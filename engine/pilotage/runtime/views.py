"""What the control socket shows of the core: its live state as the answers of `pilotage.api`; changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from pilotage import api
from pilotage.core.arbiter import PriorityArray
from pilotage.core.engine import Engine
from pilotage.core.explain import level_word
from pilotage.language.program import RuleProgram
from pilotage.model.values import as_plain


class CityViews:
    """Reads a running engine; call it between two ticks only."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def point_view(self, point: str) -> dict[str, Any]:
        """Return what is wanted of a point, by whom, and all demands on it."""
        array = self._engine.cells[point].array
        if array is None:
            return {}
        return {
            "wanted": as_plain(array.wanted) if array.is_decided else None,
            "winner": _winner(array) if array.is_decided else "",
            "demands": [
                api.Demand(
                    owner=demand.by,
                    level=demand.level,
                    value=as_plain(demand.value),
                    reason=demand.reason,
                    since=demand.since,
                    until=demand.until,
                )
                for demand in array.in_order()
            ],
        }

    def rule_views(self) -> list[api.Rule]:
        """Return all rules of the program, in its order."""
        return [self._rule(rule) for rule in self._engine.program.rules]

    def rule_view(self, name: str) -> api.RuleDetail:
        """Return a rule with its instances.

        Raises:
            LookupError: There is no such rule.
        """
        rule = next((r for r in self._engine.program.rules if r.name == name), None)
        if rule is None:
            raise LookupError(
                f'there is no rule "{name}"; `pilotage status` and `pilotage check` know them'
            )
        return api.RuleDetail(self._rule(rule), self._instances(rule))

    def explain_point(self, point: str) -> Any:
        """Return who decides a point and why, with the sentence under `text`."""
        found = self._engine.explainer.point(point)
        if found is None:
            raise LookupError(f'there is no point "{point}"')
        return found

    def explain_rule(self, rule: str, instance: str) -> Any:
        """Return why an instance of a rule is in its state.

        Raises:
            LookupError: There is no such rule, or no such instance of it.
        """
        found = self._engine.explainer.rule(rule, instance)
        if found is None:
            known = ", ".join(i.id for i in self.rule_view(rule).instances[:5])
            hint = f"; there are {known} …" if known else ""
            raise LookupError(f'the rule "{rule}" has no instance "{instance}"{hint}')
        return found

    def _rule(self, rule: RuleProgram) -> api.Rule:
        states = Counter(self._states(rule))
        return api.Rule(
            name=rule.name,
            title=rule.title,
            titles=dict(rule.decl.title.texts) if rule.decl.title else {},
            owner=rule.decl.owner.text if rule.decl.owner else "",
            file=str(rule.decl.name.at),
            enabled=self._engine.modes.of(rule) != "off"
            and rule.name not in self._engine.switched_off,
            hand=hand_of_rule(self._engine, rule.name),
            declared=self._engine.modes.declared(rule),
            standing=self._engine.modes.standing(rule),
            mode=self._mode(rule),
            instances=states.total(),
            states=dict(states),
        )

    def _mode(self, rule: RuleProgram) -> str:
        if rule.name in self._engine.quarantined:
            return "quarantine"
        return "shadow" if self._engine.modes.of(rule) == "shadow" else "live"

    def _states(self, rule: RuleProgram) -> Iterator[str]:
        """Return the state of each instance; nothing is made of them, since there may be tens of thousands."""
        if rule.when is not None:
            return ("running" for _ in self._engine.stories.runs(rule.name))
        room = self._engine.shadow if self._mode(rule) == "shadow" else self._engine.evaluator
        return (found.state for found in room.instances(rule.name))

    def _instances(self, rule: RuleProgram) -> list[api.Instance]:
        if rule.when is not None:
            runs = self._engine.stories.runs(rule.name)
            return [api.Instance(id=run.instance, state="running") for run in runs]
        room = self._engine.shadow if self._mode(rule) == "shadow" else self._engine.evaluator
        return [
            api.Instance(id=found.label, state=found.state, since=found.since)
            for found in room.instances(rule.name)
        ]


def hand_of_rule(engine: Engine, name: str) -> api.RuleHand | None:
    """Return to what a person has put a rule, None when it is as its file says."""
    hand = engine.modes.by_hand.get(name)
    if hand is None:
        return None
    return api.RuleHand(mode=hand.mode, person=hand.person, reason=hand.reason, since=hand.since)


def _winner(array: PriorityArray) -> str:
    """Return who decides: the demand's name, or the level that stands above all demands."""
    if array.winner is not None and array.winner.level == array.level:
        return array.winner.by
    return array.owner or level_word(array.level)
