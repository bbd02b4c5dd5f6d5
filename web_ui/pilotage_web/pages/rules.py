"""Rules: the list with what each has done, one rule as it is written with its truth now, and a box that checks a draft."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

from starlette.exceptions import HTTPException
from starlette.responses import Response

from pilotage import api
from pilotage_web.pages.equipment import path_of
from pilotage_web.request import Visit, action, page
from pilotage_web.rights import Right
from pilotage_web.saying import (
    DOMAINS,
    QUALITIES,
    RESULTS,
    STATES,
    WAYS,
    flip_in_words,
    reason_in_words,
    title,
    verdict_in_words,
    who_in_words,
    word,
)
from pilotage_web.sight import changed
from pilotage_web.texts import Words, mark

TRACES: Final = 15
MOST_REASON: Final = 500
MODES: Final[Mapping[str, str]] = {
    "live": mark("in service"),
    "shadow": mark("in shadow"),
    "off": mark("off"),
}
CHOICES: Final[Mapping[str, tuple[str, str]]] = {
    "enable": ("live", mark("Put it live: what it wants counts")),
    "shadow": ("shadow", mark("Put it into shadow: what it wants is only recorded")),
    "disable": ("off", mark("Put it off: it decides nothing, what it holds is given back")),
    "restore": ("", mark("Give it back to its file")),
}
"""What may be done to a rule by hand: the mode, and how it is said."""
DAY_S: Final = 86_400.0
INSTANCES: Final = 30
MOST_DRAFT: Final = 48 * 1024
SEVERITIES: Final[Mapping[str, str]] = {"error": mark("mistake"), "warning": mark("doubt")}
_TOKEN: Final = re.compile(
    r"""(?P<comment>(?:(?<=\s)|^)\#.*)|(?P<key>(?<![\w.])[\w-]+(?=:(?:\s|$)))|(?P<string>"[^"]*"|'[^']*')"""
)
"""What of a YAML line gets a colour: for the eye alone, it decides nothing."""


def path_of_rule(name: str, **query: str) -> str:
    """Return where the page of a rule is."""
    asked = urlencode({key: value for key, value in query.items() if value})
    return f"/rules/{quote(name, safe='')}" + (f"?{asked}" if asked else "")


# ── the list ─────────────────────────────────────────────────────────────────────────────────


@page("/rules", "rules.html")
async def rules(visit: Visit) -> dict[str, Any]:
    """Show all rules."""
    found = await visit.ask(api.ListRules())
    return await _all(visit, found)


async def _all(visit: Visit, found: Sequence[api.Rule]) -> dict[str, Any]:
    """Ask for what rules have done and taken, and return the list."""
    figures = {f.rule: f for f in await visit.ask(api.ListRuleFigures())}
    status = await visit.ask(api.GetStatus())
    engine = await visit.ask(api.GetFigures())
    return rules_view(found, figures, engine, status.now, visit.words)


def rules_view(
    found: Sequence[api.Rule],
    figures: Mapping[str, api.RuleFigures],
    engine: api.Figures,
    now: float,
    words: Words,
) -> dict[str, Any]:
    """Return what the list shows; `engine` has the processor time of each rule since the start."""
    rows = [_row(rule, figures.get(rule.name), now, words) for rule in found]
    for row in rows:
        spent, p99 = (each.get(row["name"], 0.0) for each in (engine.rules_s, engine.rules_p99_s))
        row["spent"] = f"{words.number(spent, 2 if spent < 1 else 1)} s" if spent else ""
        row["p99"] = f"{words.number(1_000 * p99, 0)} ms" if p99 else "< 10 ms" if spent else ""
    since = min((f.since for f in figures.values()), default=now)
    return {"rows": rows, "since": words.moment(since, now), "draft": "", "checked": None}


def _row(
    rule: api.Rule, figures: api.RuleFigures | None, now: float, words: Words
) -> dict[str, Any]:
    is_at_work = bool(figures is not None and figures.holding)
    state = "on" if is_at_work else "quiet"
    if not rule.enabled:
        state = "off"
    elif rule.mode in ("shadow", "quarantine"):
        state = rule.mode
    return {
        "name": rule.name,
        "title": title(words, rule.titles, rule.title or rule.name),
        "href": path_of_rule(rule.name),
        "owner": word(words, DOMAINS, rule.owner),
        "state": state,
        "state_text": words.say(_RULE_STATES[state]),
        "holding": figures.holding if figures is not None else 0,
        "instances": rule.instances,
        "figures": figures,
        "last": words.moment(figures.last, now) if figures is not None and figures.last else "",
        "errors": figures.errors if figures is not None else 0,
        "is_by_hand": rule.hand is not None,
    }


_RULE_STATES: Final[Mapping[str, str]] = {
    "off": mark("off"),
    "shadow": mark("in shadow"),
    "quarantine": mark("in quarantine"),
    "on": mark("acts now"),
    "quiet": mark("waits"),
}


# ── a draft ──────────────────────────────────────────────────────────────────────────────────


@action("/rules/check", Right.CHECK)
async def check(visit: Visit) -> Response:
    """Check what somebody has written, and show what is wrong with it."""
    draft = visit.form.get("text")
    text = draft.replace("\r\n", "\n") if isinstance(draft, str) else ""
    checked = await visit.ask(api.CheckRules(text=text, file=_file(visit.field("file"))))
    found = await visit.ask(api.ListRules())
    view = await _all(visit, found)
    view |= {"draft": text, "checked": checked_view(checked, text, visit.words)}
    return visit.render("rules.html", **view)


def _file(written: str) -> str:
    return written if re.fullmatch(r"[\w./-]{1,200}", written) else "draft.yaml"


def checked_view(checked: api.CheckedRules, text: str, words: Words) -> dict[str, Any]:
    """Return what is wrong with a draft, each mistake with its line."""
    lines = text.splitlines()
    return {
        "ok": checked.ok,
        "rules": checked.rules,
        "findings": [
            {
                "code": f.code,
                "is_error": f.severity == "error",
                "severity": word(words, SEVERITIES, f.severity),
                "message": f.message,
                "label": f.label,
                "mend": f.mend,
                "line": f.line,
                "column": f.column,
                "before": _piece(lines, f.line, 0, f.column - 1),
                "wrong": _piece(lines, f.line, f.column - 1, f.column - 1 + f.length),
                "after": _piece(lines, f.line, f.column - 1 + f.length, None),
            }
            for f in checked.findings
        ],
    }


def _piece(lines: Sequence[str], line: int, first: int, last: int | None) -> str:
    return lines[line - 1][max(0, first) : last] if 1 <= line <= len(lines) else ""


# ── one rule ─────────────────────────────────────────────────────────────────────────────────


@page("/rules/{rule}", "rule.html")
async def rule(visit: Visit) -> dict[str, Any]:
    """Show a rule as it is written, with the truth of each clause."""
    name = visit.path("rule")
    text = await visit.ask(api.ReadRule(rule=name))
    instance, target = visit.query("instance")[:300], visit.query("target").strip()[:300]
    why, survey = await _why(visit, text, instance, target)
    place = visit.query("before")
    before = int(place) if place.isdecimal() and len(place) < 16 else 0
    status = await visit.ask(api.GetStatus())
    back = visit.query("back")
    since = None if back or before else status.now - DAY_S
    traces = await visit.ask(
        api.ListTraces(rule=name, instance=instance, since=since, before=before, limit=TRACES)
    )
    found = await visit.ask(
        api.ListInstances(rule=name, text=visit.query("q")[:100], limit=INSTANCES)
    )
    figures = next((f for f in await visit.ask(api.ListRuleFigures()) if f.rule == name), None)
    return {
        **rule_view(text, why, survey, visit.words),
        "asked_target": target,
        "asked_instance": instance,
        "q": visit.query("q")[:100],
        "traces": [trace_view(t, status.now, visit.words) for t in traces.traces],
        "older": path_of_rule(name, instance=instance, before=str(traces.next))
        if traces.next
        else path_of_rule(name, instance=instance, target=target, back="1")
        if since is not None
        else "",
        "is_all": not traces.next,
        "instances": [
            {
                "id": i.id,
                "href": path_of_rule(name, instance=i.id),
                "state": word(visit.words, STATES, i.state),
                "since": visit.words.moment(i.since, status.now),
                "is_on": i.state in ("holding", "running"),
            }
            for i in found.instances
        ],
        "has_more_instances": bool(found.next),
        "figures": figures,
        "last": visit.words.moment(figures.last, status.now)
        if figures is not None and figures.last
        else "",
        "counted_since": visit.words.moment(figures.since, status.now) if figures else "",
        **put_view(text, status.now, visit.words),
    }


def put_view(text: api.RuleText, now: float, words: Words) -> dict[str, Any]:
    """Return to what a person has put the rule, and to what else it may be put."""
    hand = text.hand
    standing = hand.mode if hand is not None else text.declared
    return {
        "hand": None
        if hand is None
        else {
            "mode": words.say(MODES[hand.mode]),
            "person": hand.person,
            "reason": hand.reason,
            "since": words.moment(hand.since, now),
        },
        "declared": words.say(MODES[text.declared]),
        "seen": text.standing,
        "choices": [
            (action, words.say(said))
            for action, (mode, said) in CHOICES.items()
            if (hand is not None if mode == "" else mode != standing or hand is None)
        ],
    }


@action("/rules/{rule}/mode", Right.RULES)
async def put(visit: Visit) -> Response:
    """Put a rule live, into shadow or off by hand, or give it back to its file; what was not held is asked once more."""
    name, reason, act = visit.path("rule"), visit.field("reason"), visit.field("act")
    if act not in CHOICES:
        raise HTTPException(422, mark("There is no such choice."))
    here = path_of_rule(name)
    if not reason:
        return visit.back(here, visit.say("Say why: it stands in the journal."), "refused")
    text = await visit.ask(api.ReadRule(rule=name))
    seen = visit.field("seen")
    if seen and seen != text.standing:
        raise await changed(visit, name, here)
    if not visit.field("confirmed"):
        status = await visit.ask(api.GetStatus())
        fields = {"act": act, "reason": reason[:MOST_REASON], "seen": text.standing}
        view = put_view(text, status.now, visit.words)
        said = visit.say(CHOICES[act][1])
        rule_title = title(visit.words, text.titles, text.rule)
        return visit.render(
            "rule_confirm.html", said=said, fields=fields, back=here, rule_title=rule_title, **view
        )
    order = api.OrderRule(
        rule=name,
        action=act,
        person=visit.who.person,
        reason=reason[:MOST_REASON],
        seen=text.standing,
    )
    try:
        receipt = await visit.ask(order)
    except api.ApiError as error:
        if error.code != "stale":
            raise
        raise await changed(visit, name, here) from error
    if not receipt.taken:
        return visit.back(here, receipt.text, "refused")
    return visit.back(here, visit.say("Done."))


@page("/rules/{rule}/now", "_rule_now.html")
async def rule_now(visit: Visit) -> dict[str, Any]:
    """Show the part of the page that changes by itself."""
    text = await visit.ask(api.ReadRule(rule=visit.path("rule")))
    instance, target = visit.query("instance")[:300], visit.query("target").strip()[:300]
    why, survey = await _why(visit, text, instance, target)
    return rule_view(text, why, survey, visit.words) | {
        "asked_target": target,
        "asked_instance": instance,
    }


async def _why(
    visit: Visit, text: api.RuleText, instance: str, target: str
) -> tuple[api.RuleWhy | None, api.RuleSurvey | None]:
    """Return why the instance that is asked for acts or not; of a rule with several, how all of them stand."""
    if instance or target or (text.instances == 1 and text.sort == "hold"):
        if not instance and not target:
            only = await visit.ask(api.ListInstances(rule=text.rule, limit=1))
            instance = only.instances[0].id if only.instances else ""
        question = api.WhyRule(rule=text.rule, instance=instance, target=target)
        return await visit.ask(question), None
    if text.sort == "story":
        return None, None
    return None, await visit.ask(api.SurveyRule(rule=text.rule))


def rule_view(
    text: api.RuleText,
    why: api.RuleWhy | None,
    survey: api.RuleSurvey | None,
    words: Words,
) -> dict[str, Any]:
    """Return what the page shows of a rule: its lines with the truth beside them, and the verdict."""
    clauses = [clause_view(c, words) for c in (why.clauses if why is not None else text.clauses)]
    if survey is not None:
        for clause, count in zip(clauses, survey.counts, strict=False):
            clause["count"] = count
    shown = [c for c in clauses if c["part"] != "where"] or clauses
    near = [] if survey is None else [
        {"id": n.instance, "href": path_of_rule(text.rule, instance=n.instance), "clause": clauses[n.clause]["text"]}
        for n in survey.near
        if n.clause < len(clauses)
    ]  # fmt: skip
    return {
        "rule": text,
        "owner": word(words, DOMAINS, text.owner),
        "title": title(words, text.titles, text.rule),
        "states": [(word(words, STATES, s), n) for s, n in sorted(text.states.items())],
        "lines": lines_view(text, clauses),
        "clauses": shown,
        "why": None if why is None else {
            "verdict": why.verdict,
            "text": verdict_in_words(words, why),
            "instance": why.instance,
            "state": word(words, STATES, why.state),
            "since": words.moment(why.since, why.at) if why.since is not None else "",
            "is_on": why.verdict in ("acts", "partly", "kept", "held", "running"),
            "others": [(o, path_of_rule(text.rule, instance=o)) for o in why.others],
            "effects": [effect_view(e, why.at, words) for e in why.effects],
            "effects_total": why.effects_total,
        },
        "survey": survey,
        "near": near,
    }  # fmt: skip


def clause_view(clause: api.ClauseWhy, words: Words) -> dict[str, Any]:
    """Return one clause: what it is, what it must be, and the values that it reads."""
    truth = {True: "true", False: "false", None: "unknown"}[clause.truth]
    met = "unknown" if clause.truth is None else "met" if clause.truth is clause.needed else "unmet"
    return {
        "text": clause.text,
        "part": clause.part,
        "file": clause.file,
        "line": clause.line,
        "column": clause.column,
        "length": clause.length,
        "needed": clause.needed,
        "truth": truth,
        "met": met,
        "truth_text": words.say(_TRUTHS[truth]),
        "mark": {"met": "✔", "unmet": "✘", "unknown": "?"}[met],
        "flip": flip_in_words(words, clause.flip),
        "count": None,
        "reads": [
            {
                "what": r.what,
                "text": words.say("unknown") if not r.is_known else r.text,
                "href": _point_href(r.point),
                "quality": word(words, QUALITIES, r.quality) if not r.is_known else "",
                "coverage": words.say(
                    "%(share)s %% of the time known", share=round(100 * r.coverage)
                )
                if r.coverage is not None
                else "",
            }
            for r in clause.reads
        ],
    }


_TRUTHS: Final[Mapping[str, str]] = {
    "true": mark("true"),
    "false": mark("false"),
    "unknown": mark("unknown"),
}


def _point_href(point: str) -> str:
    entity, _, name = point.partition(".")
    return path_of("-", entity, point=name) if entity and name and not entity.startswith(("=", "plan:")) else ""  # fmt: skip


def effect_view(effect: api.RuleEffect, now: float, words: Words) -> dict[str, Any]:
    """Return what became of one demand of the rule."""
    return {
        "point": effect.point,
        "href": _point_href(effect.point),
        "text": effect.text,
        "result": word(words, RESULTS, effect.result),
        "wins": effect.result == "wins",
        "who": who_in_words(words, effect.decider),
        "decided": effect.decided_text,
        "until": words.moment(effect.until, now) if effect.until is not None else "",
        "way": word(words, WAYS, effect.way) if effect.way else "",
    }


def trace_view(trace: api.Trace, now: float, words: Words) -> dict[str, Any]:
    """Return one change of state with what it read and what came of it."""
    return {
        "time": words.moment(trace.time, now),
        "decision": trace.decision,
        "instance": trace.instance,
        "before": word(words, STATES, trace.before) if trace.before else "",
        "after": word(words, STATES, trace.after),
        "is_on": trace.after in ("holding", "started"),
        "why": reason_in_words(words, trace.why),
        "reads": [
            (r.what, words.say("unknown") if r.value is None else reason_in_words(words, r.text))
            for r in trace.reads
        ],
        "demands": [
            (d.point, words.say("given up") if d.given_up else d.text) for d in trace.demands
        ],
        "more": trace.demands_total - len(trace.demands),
    }


# ── the lines ────────────────────────────────────────────────────────────────────────────────


def lines_view(text: api.RuleText, clauses: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rule line by line: pieces with their colour, and the clauses that stand on each."""
    found: list[dict[str, Any]] = []
    rows = text.text.splitlines()
    margin = min((len(row) - len(row.lstrip()) for row in rows if row.strip()), default=0)
    for offset, row in enumerate(rows):
        number = text.first_line + offset
        mine = [c for c in clauses if c["line"] == number and c["file"] == text.file]
        found.append({"number": number, "pieces": _pieces(row, mine, margin), "clauses": mine})
    return found


def _pieces(row: str, clauses: Sequence[Mapping[str, Any]], margin: int) -> list[tuple[str, str]]:
    """Return a line as (text, colour): clauses in the colour of their truth, the rest by its syntax."""
    pieces: list[tuple[str, str]] = []
    place = min(margin, len(row) - len(row.lstrip()))
    for clause in sorted(clauses, key=lambda c: c["column"]):
        first = clause["column"] - 1
        last = min(len(row), first + clause["length"])
        if first < place:
            continue
        pieces.extend(_plain(row[place:first]))
        pieces.append((row[first:last], f"clause {clause['met'] if _is_judged(clause) else ''}"))
        place = last
    return [*pieces, *_plain(row[place:])]


def _is_judged(clause: Mapping[str, Any]) -> bool:
    """True when the clause was looked at for an instance: without one it has no truth, and no colour."""
    return bool(clause["flip"])


def _plain(text: str) -> list[tuple[str, str]]:
    pieces: list[tuple[str, str]] = []
    place = 0
    for found in _TOKEN.finditer(text):
        if found.start() > place:
            pieces.append((text[place : found.start()], ""))
        pieces.append((found[0], str(found.lastgroup)))
        place = found.end()
    if place < len(text):
        pieces.append((text[place:], ""))
    return pieces


ROUTES: Sequence[Any] = (rules, check, rule, rule_now, put)
