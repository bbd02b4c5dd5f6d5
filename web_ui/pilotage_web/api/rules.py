"""Rules: what they are, why they act or not, what they did, and whether a draft is right."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from pilotage import api
from pilotage_web.request import Visit
from pilotage_web.rights import Right
from pilotage_web.saying import verdict_in_words
from pilotage_web.sight import IF_MATCH, matched
from pilotage_web.typed import Page, get, post

Id = Annotated[str, Meta(max_length=300)]
Limit = Annotated[int, Meta(ge=1, le=500)]
Cursor = Annotated[str, Meta(pattern=r"^[0-9]{0,15}$", description="`next` of the page before")]
Time = Annotated[float, Meta(ge=0, le=4e9, description="seconds since 1970")]


class RuleRow(Struct):
    """A rule, what it has done, and what it costs.

    By samples of 10 ms: `processor_s` since the start, `p99_s` in 99 of 100 seconds at most, in seconds a second.
    """

    rule: api.Rule
    figures: api.RuleFigures
    processor_s: float = 0.0
    p99_s: float = 0.0


class RuleQuery(Struct, forbid_unknown_fields=True):
    """Of which instance (its entities' ids, with commas), or of which target: why does the rule do nothing to it?"""

    instance: Id = ""
    target: Id = ""


class InstanceQuery(Struct, forbid_unknown_fields=True):
    """Which instances: `q` is looked for in the id."""

    q: Id = ""
    state: Annotated[str, Meta(max_length=30)] = ""
    after: Id = ""
    limit: Limit = 50


class TraceQuery(Struct, forbid_unknown_fields=True):
    """Of which instance and time; `after` is the `next` of the page that came before."""

    instance: Id = ""
    since: Time | None = None
    until: Time | None = None
    after: Cursor = ""
    limit: Limit = 20


class RuleAnswer(Struct):
    """Why an instance acts or not: in one sentence of the reader's language, and as data."""

    sentence: str
    why: api.RuleWhy


class Draft(Struct, forbid_unknown_fields=True):
    """Rules that somebody writes; with the name of one of the city's files they stand in its place."""

    text: Annotated[str, Meta(max_length=48_000)]
    file: Annotated[str, Meta(pattern=r"^[\w./-]{1,200}$")] = "draft.yaml"


class Put(Struct, forbid_unknown_fields=True):
    """To what a rule is put: `file` gives it back to what its file says. `seen` is its `standing`: when it is another by now, 409."""

    mode: Literal["live", "shadow", "off", "file"]
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    seen: Annotated[str, Meta(max_length=200)] = ""


ACTIONS: Final = {"live": "enable", "shadow": "shadow", "off": "disable", "file": "restore"}


@get("/rules")
async def list_rules(visit: Visit) -> Page[RuleRow]:
    """All rules with their states and figures."""
    figures = {f.rule: f for f in await visit.ask(api.ListRuleFigures())}
    rules = await visit.ask(api.ListRules())
    spent = await visit.ask(api.GetFigures())
    return Page(
        [
            RuleRow(
                rule,
                figures[rule.name],
                spent.rules_s.get(rule.name, 0.0),
                spent.rules_p99_s.get(rule.name, 0.0),
            )
            for rule in rules
            if rule.name in figures
        ]
    )


@get("/rules/{rule}", standing=lambda rule: rule.standing)
async def get_rule(visit: Visit, rule: str) -> api.RuleText:
    """A rule as it is written, with its clauses at their places in the file."""
    return await visit.ask(api.ReadRule(rule=rule))


@get("/rules/{rule}/why")
async def why_rule(visit: Visit, rule: str, query: RuleQuery) -> RuleAnswer:
    """Why an instance of a rule acts or not; with `target`: why the rule does nothing to it."""
    why = await visit.ask(api.WhyRule(rule=rule, instance=query.instance, target=query.target))
    return RuleAnswer(verdict_in_words(visit.words, why), why)


@get("/rules/{rule}/survey")
async def survey_rule(visit: Visit, rule: str) -> api.RuleSurvey:
    """How the clauses of a rule stand over all its instances, and which of them nearly act."""
    return await visit.ask(api.SurveyRule(rule=rule))


@get("/rules/{rule}/instances")
async def rule_instances(visit: Visit, rule: str, query: InstanceQuery) -> Page[api.InstanceRow]:
    """The instances of a rule with their states, in order of id."""
    found = await visit.ask(
        api.ListInstances(
            rule=rule, text=query.q, state=query.state, after=query.after, limit=query.limit
        )
    )
    return Page(found.instances, found.next)


@get("/rules/{rule}/traces")
async def rule_traces(visit: Visit, rule: str, query: TraceQuery) -> Page[api.Trace]:
    """When a rule changed its state, what it read then, and what came of it; the newest first."""
    found = await visit.ask(
        api.ListTraces(
            rule=rule,
            instance=query.instance,
            since=query.since,
            until=query.until,
            before=int(query.after or 0),
            limit=query.limit,
        )
    )
    return Page(found.traces, str(found.next or ""))


@post("/rules/{rule}/mode", Right.RULES, conditional=True)
async def put_rule(visit: Visit, rule: str, body: Put) -> api.Receipt:
    """Put a rule live, into shadow or off by hand, or give it back to its file.

    It lasts over reloads and restarts. Answered once the order is on disk.
    """
    seen = body.seen
    if IF_MATCH in visit.request.headers:
        seen = matched(visit, (await visit.ask(api.ReadRule(rule=rule))).standing)
    return await visit.ask(
        api.OrderRule(
            rule=rule,
            action=ACTIONS[body.mode],
            person=visit.who.person,
            reason=body.reason,
            seen=seen,
        )
    )


@post("/rules/check", Right.CHECK, is_order=False)
async def check_rules(visit: Visit, body: Draft) -> api.CheckedRules:
    """Check rules beside the city's own, and put them nowhere. Each finding has its line, its column and its mend."""
    return await visit.ask(api.CheckRules(text=body.text, file=body.file))


ROUTES = (
    list_rules,
    get_rule,
    why_rule,
    survey_rule,
    rule_instances,
    rule_traces,
    check_rules,
    put_rule,
)
