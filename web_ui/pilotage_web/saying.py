"""What the engine's answers are in words: values, who wants something, why a point is as it is, what would turn a clause.

One place, so that a page, the interface for programs and a report say the same, in each language.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pilotage import api
from pilotage.model.looks import Look
from pilotage_web.texts import Words, mark

# ── single words ─────────────────────────────────────────────────────────────────────────────

LEVELS: Final[Mapping[str, str]] = {
    "invariant": mark("invariant"),
    "life_safety_manual": mark("life safety, by hand"),
    "life_safety": mark("life safety"),
    "emergency": mark("emergency"),
    "crisis": mark("crisis"),
    "protect": mark("protection"),
    "minimum_time": mark("minimum time"),
    "maintenance": mark("maintenance"),
    "operator": mark("operator"),
    "security": mark("security"),
    "plan": mark("plan"),
    "event": mark("event"),
    "people": mark("people"),
    "service": mark("service"),
    "saving": mark("saving"),
    "schedule": mark("schedule"),
    "base": mark("base"),
    "default": mark("default"),
}
QUALITIES: Final[Mapping[str, str]] = {
    "good": mark("good"),
    "uncertain": mark("uncertain"),
    "bad": mark("bad"),
    "stale": mark("too old"),
    "missing": mark("never heard"),
}
LOOKS: Final[Mapping[str, str]] = {
    Look.IDLE.word: mark("at rest"),
    Look.ACTIVE.word: mark("at work"),
    Look.HELD.word: mark("held by a person"),
    Look.UNLIKE.word: mark("not as wanted"),
    Look.FAULT.word: mark("fault"),
    Look.SILENT.word: mark("silent"),
    Look.ALARM.word: mark("alarm, not acknowledged"),
}
DOMAINS: Final[Mapping[str, str]] = {
    "lighting": mark("lighting"),
    "traffic": mark("traffic"),
    "security": mark("security"),
    "access": mark("access"),
    "buildings": mark("buildings"),
    "emergency": mark("emergency"),
    "fleet": mark("fleet"),
    "parking": mark("parking"),
    "signs": mark("signs"),
    "winter": mark("winter"),
    "mobility": mark("mobility"),
    "roads": mark("roads"),
    "city": mark("city"),
}
LEVEL_NOTES: Final[tuple[tuple[str, str], ...]] = (
    ("life_safety_manual", mark("the command post of the fire brigade or the police")),
    ("life_safety", mark("automatic rules that protect lives")),
    ("emergency", mark("emergency vehicles, evacuation")),
    ("crisis", mark("a crisis plan, by order")),
    ("protect", mark("what keeps the equipment whole")),
    ("minimum_time", mark("the engine alone: a change that comes too early waits")),
    ("maintenance", mark("a technician at work, locked out")),
    ("operator", mark("the control room, always with an end and a reason")),
    ("security", mark("intrusion, alarms")),
    ("plan", mark("snow, event, flood")),
    ("event", mark("road works, matches")),
    ("people", mark("presence, comfort")),
    ("service", mark("buses first, guidance")),
    ("saving", mark("dimming, energy")),
    ("schedule", mark("calendars")),
    ("base", mark("what holds when nobody wants anything else")),
)
"""The sixteen levels in order, and what each is for."""
REASONS: Final[Mapping[str, str]] = {
    "its condition is false": mark("its condition is false"),
    "its condition is unknown": mark("its condition is unknown"),
    "its time is over": mark("its time is over"),
    "its `until` is true": mark("its `until` is true"),
    "held at most": mark("it held as long as it may"),
    "it left the rule's set": mark("it left the rule's set"),
    "the rule was taken out": mark("the rule was taken out"),
    "(personal data, not kept)": mark("(personal data, not kept)"),
    "no answer before its deadline": mark("no answer before its deadline"),
    "the connection was closed while it was sent": mark(
        "the connection was closed while it was sent"
    ),
}
"""What the engine writes into its record in words of its own."""
KINDS: Final[Mapping[str, str]] = {
    "bollard": mark("Retractable bollard"),
    "building": mark("Building"),
    "building_zone": mark("Building zone"),
    "bus": mark("Bus"),
    "cabinet": mark("Lighting cabinet"),
    "camera": mark("Camera"),
    "car_park": mark("Car park"),
    "detector": mark("Traffic detector"),
    "emergency_vehicle": mark("Emergency vehicle"),
    "fire_panel": mark("Fire panel"),
    "gate": mark("Gate"),
    "intrusion_zone": mark("Intrusion zone"),
    "lamp": mark("Light point"),
    "lift": mark("Lift"),
    "lighting_segment": mark("Lighting segment"),
    "message_sign": mark("Message sign"),
    "plough": mark("Plough"),
    "road_station": mark("Road weather station"),
    "route": mark("Winter route"),
    "signal_junction": mark("Signalled junction"),
    "vehicle": mark("Vehicle"),
    "weather_forecast": mark("Weather forecast"),
}
"""The kinds of our own plugins; a vendor's kind is called as its plugin calls it."""
STATES: Final[Mapping[str, str]] = {
    "idle": mark("idle"),
    "pending": mark("waits"),
    "holding": mark("acts"),
    "unknown": mark("does not know"),
    "cooldown": mark("rests"),
    "spent": mark("spent"),
    "running": mark("under way"),
    "started": mark("started"),
    "ended": mark("ended"),
    "stopped": mark("stopped"),
    "missed": mark("missed"),
    "abandoned": mark("abandoned"),
    "off": mark("off"),
    "absent": mark("not in the set"),
}
WAYS: Final[Mapping[str, str]] = {
    "idle": mark("nothing to send"),
    "waiting": mark("waits for its turn"),
    "sent": mark("sent, not confirmed yet"),
    "done": mark("confirmed"),
    "failed": mark("does not follow"),
    "local": mark("changed at the equipment"),
    "unheard": mark("not heard since"),
    "passed_on": mark("passed on to its members"),
}
RESULTS: Final[Mapping[str, str]] = {
    "wins": mark("decides"),
    "limited": mark("held back by what stands above"),
    "next": mark("dominated, would take over"),
    "dominated": mark("dominated"),
    "shadow": mark("in shadow: only recorded"),
}
OUTCOMES: Final[Mapping[str, str]] = {
    "": mark("under way"),
    "done": mark("confirmed"),
    "refused": mark("refused by the equipment"),
    "expired": mark("never left in time"),
    "failed": mark("does not follow"),
    "unknown": mark("nobody knows"),
    "superseded": mark("replaced by another order"),
}
ACTIONS: Final[Mapping[str, str]] = {
    **{key: text for key, text in OUTCOMES.items() if key},
    "set": mark("taken by hand"),
    "released": mark("given back"),
    "ended": mark("ended by itself"),
    "sent": mark("told"),
    "local": mark("changed at the equipment"),
}
"""What a line of the audit says of a piece of equipment."""


def word(words: Words, table: Mapping[str, str], key: str) -> str:
    """Return a word of a table in a language; what is not in it stays as it is."""
    return words.say(table[key]) if key in table else key


def kind_in_words(words: Words, kind: str, title: str) -> str:
    """Return what a kind is called; one that is not known here as its plugin calls it."""
    return words.say(KINDS[kind]) if kind in KINDS else title or kind


def title(words: Words, titles: Mapping[str, str] | None, name: str) -> str:
    """Return what a city calls something in a language; its name when it calls it nothing."""
    return words.name(titles) if titles else name


# ── values ───────────────────────────────────────────────────────────────────────────────────


def value_in_words(words: Words, value: Any, unit: str, text: str) -> str:
    """Return a value as people read it; `text` is what the engine says of it, for what is no number or truth."""
    if isinstance(value, bool):
        return words.say("yes") if value else words.say("no")
    if isinstance(value, (int, float)) and ":" not in text:
        return words.tie(f"{words.number(value)} {unit}".rstrip())
    if value is None:
        return words.say("nothing") if text == "nothing" else words.say("unknown")
    return words.tie(text)


def reason_in_words(words: Words, said: str) -> str:
    """Return what the engine wrote into its record, in the reader's language where it is known."""
    return words.say(REASONS[said]) if said in REASONS else said


def levels_in_words(words: Words) -> list[tuple[int, str, str]]:
    """Return the sixteen levels: number, name, and what it is for."""
    rows = enumerate(LEVEL_NOTES, 1)
    return [(number, word(words, LEVELS, name), words.say(note)) for number, (name, note) in rows]


# ── who ──────────────────────────────────────────────────────────────────────────────────────


def who_in_words(words: Words, who: api.Wanter) -> str:
    """Return who wants something, in two or three words: a line of a table."""
    name = title(words, who.titles, who.name)
    match who.sort:
        case "person":
            return words.say("operator %(name)s", name=who.name)
        case "plan":
            return words.say("plan “%(name)s”, level %(level)s", name=name, level=who.level)
        case "rule":
            return words.say("rule “%(name)s”", name=name)
        case "invariant":
            return words.say("invariant “%(name)s”", name=name)
        case "group":
            return words.say("group %(name)s", name=who.name)
        case "minimum_time":
            return words.say("minimum time")
        case _:
            return words.say("default")


# ── the sentence ─────────────────────────────────────────────────────────────────────────────


def sentence(words: Words, why: api.PointWhy) -> str:
    """Return in plain words why a point is as it is, and what it would be otherwise: it can be read out on the telephone."""
    if not why.is_commandable:
        return _reported(words, why)
    if not why.is_decided:
        return words.say("Nobody has wanted anything of it yet: the equipment is left alone.")
    said = words.say(
        "%(state)s, because %(reason)s.", state=_state(words, why), reason=_reason(words, why)
    )
    rest = _otherwise(words, why)
    whole = f"{said} {rest}" if rest else said
    if why.is_past:
        return words.say(
            "On %(day)s at %(time)s: %(said)s",
            day=words.day(why.at),
            time=words.clock(why.at),
            said=whole,
        )
    return whole


def _reported(words: Words, why: api.PointWhy) -> str:
    value = value_in_words(words, why.value, why.unit, why.value_text)
    if why.time is None:
        return words.say("Nothing has been heard of it.")
    if why.value is None:
        return words.say(
            "Unknown: the last report is from %(time)s (%(quality)s).",
            time=words.moment(why.time, why.at),
            quality=word(words, QUALITIES, why.quality),
        )
    return words.say(
        "It reports %(value)s, heard %(age)s ago.", value=value, age=words.words(why.age_s)
    )


def _state(words: Words, why: api.PointWhy) -> str:
    """Return what is wanted, and how far the equipment is with it."""
    wanted = value_in_words(words, why.wanted, why.unit, why.text)
    now = value_in_words(words, why.value, why.unit, why.value_text)
    way = why.way
    match way.state if way is not None else "":
        case "done":
            return words.say("At %(wanted)s, confirmed", wanted=wanted)
        case "sent" if way is not None and way.sent_at is not None:
            return words.say(
                "Wanted at %(wanted)s, sent at %(time)s and not confirmed yet",
                wanted=wanted,
                time=words.moment(way.sent_at, why.at),
            )
        case "failed":
            return words.say(
                "Wanted at %(wanted)s, but the equipment does not follow (it reports %(now)s)",
                wanted=wanted,
                now=now,
            )
        case "local":
            return words.say(
                "Wanted at %(wanted)s, but changed at the equipment itself (it reports %(now)s)",
                wanted=wanted,
                now=now,
            )
        case "unheard":
            return words.say("Wanted at %(wanted)s, and the equipment is silent now", wanted=wanted)
        case "waiting":
            return words.say(
                "Wanted at %(wanted)s, and waiting for its turn to be sent", wanted=wanted
            )
        case "passed_on":
            return words.say("Wanted at %(wanted)s, and passed on to its members", wanted=wanted)
        case _:
            return words.say("Wanted at %(wanted)s", wanted=wanted)


def _reason(words: Words, why: api.PointWhy) -> str:
    """Return who decides, and since when or until when."""
    who = why.who
    name = title(words, who.titles, who.name)
    winner = why.winner
    since = winner.since if winner is not None and winner.since is not None else why.since
    when = words.moment(since, why.at)
    match who.sort:
        case "person":
            reason = winner.reason if winner is not None else ""
            until = words.moment(winner.until if winner is not None else None, why.at)
            return words.say(
                "the operator %(name)s wants it until %(until)s (“%(reason)s”)",
                name=who.name,
                until=until,
                reason=reason,
            )
        case "plan":
            return _plan(words, why, name, when)
        case "rule":
            return words.say(
                "the rule “%(name)s” has wanted it since %(time)s", name=name, time=when
            )
        case "invariant":
            return words.say("the invariant “%(name)s” stands above every demand", name=name)
        case "group":
            return words.say(
                "its group %(name)s has passed it on since %(time)s", name=who.name, time=when
            )
        case "minimum_time":
            return words.say("its minimum time is not over yet")
        case _:
            return words.say("nobody wants anything of it now (its default)")


def _plan(words: Words, why: api.PointWhy, name: str, when: str) -> str:
    who = why.who
    if not who.by:
        return words.say(
            "the plan “%(name)s” (level %(level)s) has wanted it since %(time)s",
            name=name,
            level=who.level,
            time=when,
        )
    if who.by == who.name:
        return words.say(
            "the plan “%(name)s”, brought to level %(level)s by its conditions, has wanted it since %(time)s",
            name=name,
            level=who.level,
            time=when,
        )
    return words.say(
        "the plan “%(name)s”, set to level %(level)s by %(by)s, has wanted it since %(time)s",
        name=name,
        level=who.level,
        by=who.by,
        time=when,
    )


def _otherwise(words: Words, why: api.PointWhy) -> str:
    """Return what would be wanted without whoever decides."""
    other = why.otherwise
    if other is None:
        return ""
    value = value_in_words(words, other.value, why.unit, other.text)
    who = who_in_words(words, other.who)
    if other.value == why.wanted:
        return words.say(
            "Without that it would be the same: %(value)s (%(who)s).", value=value, who=who
        )
    return words.say("Without that: %(value)s (%(who)s).", value=value, who=who)


# ── rules ────────────────────────────────────────────────────────────────────────────────────


def flip_in_words(words: Words, flip: api.Flip | None) -> str:
    """Return what would turn a clause around."""
    if flip is None:
        return ""
    values = {"left": flip.left, "right": flip.right}
    match flip.how:
        case "below":
            return words.say("%(left)s below %(right)s", **values)
        case "at_most":
            return words.say("%(left)s at or below %(right)s", **values)
        case "above":
            return words.say("%(left)s above %(right)s", **values)
        case "at_least":
            return words.say("%(left)s at or above %(right)s", **values)
        case "becomes":
            return words.say("%(left)s becomes %(right)s", **values)
        case "no_longer":
            return words.say("%(left)s is no longer %(right)s", **values)
        case "true":
            return words.say("%(left)s becomes true", left=flip.left)
        case "false":
            return words.say("%(left)s becomes false", left=flip.left)
        case _:
            return words.say("a known value of %(left)s", left=flip.left)


def verdict_in_words(words: Words, why: api.RuleWhy) -> str:
    """Return in one sentence why an instance of a rule acts or not."""
    due = words.moment(why.due, why.at)
    match why.verdict:
        case "acts":
            return words.say("It acts: its condition is true, and what it wants decides.")
        case "partly":
            return words.say("It acts, and a higher demand decides some of what it wants.")
        case "dominated":
            return _dominated(words, why)
        case "kept":
            return _until(
                words, why, words.say("It still holds although its condition has ended"), due
            )
        case "held":
            return _until(
                words, why, words.say("It still holds although its condition is unknown"), due
            )
        case "pending":
            return words.say("Its condition is true; it acts at %(time)s if that lasts.", time=due)
        case "unknown":
            return words.say("It does not act: a value that it needs is unknown.")
        case "resting":
            return words.say("It rests after its last action, until %(time)s.", time=due)
        case "spent":
            return words.say(
                "It has held as long as it may; it begins anew when its condition has been false."
            )
        case "absent" if not why.instance and why.others:
            return words.say("Choose one of its instances.")
        case "absent":
            return words.say("It is not about this: it is not in the rule's set now.")
        case "foreign":
            return words.say("The rule has nothing to do with this.")
        case "off" if why.why:
            return words.say("The rule is off: %(why)s", why=why.why)
        case "off":
            return words.say("The rule is off.")
        case "quarantine":
            return words.say(
                "The rule is in quarantine: it cost too much, and what it wanted is given up."
            )
        case "waits":
            return words.say("It waits for: %(event)s", event=why.why)
        case "running":
            return words.say("It is under way.")
        case _:
            return _not_met(words, why)


def _not_met(words: Words, why: api.RuleWhy) -> str:
    """Return which clauses are in the way, two at the most."""
    wrong = [c for c in why.clauses if c.truth is not None and c.truth is not c.needed]
    said = [
        words.say("%(clause)s is true", clause=c.text)
        if c.truth
        else words.say("%(clause)s is false", clause=c.text)
        for c in wrong[:2]
    ]
    if not said:
        return words.say("It does not act: not every clause is as it must be.")
    return words.say("It does not act: %(clauses)s.", clauses=", ".join(said))


def _until(words: Words, why: api.RuleWhy, text: str, due: str) -> str:
    return (
        words.say("%(said)s, until %(time)s.", said=text, time=due)
        if why.due is not None
        else f"{text}."
    )


def _dominated(words: Words, why: api.RuleWhy) -> str:
    effect = next((e for e in why.effects if e.result != "wins"), None)
    if effect is None:
        return words.say("Its condition is true, but a higher demand decides.")
    values = {"who": who_in_words(words, effect.decider), "level": effect.decided_level}
    if effect.until is None:
        return words.say(
            "Its condition is true, but a higher demand decides: %(who)s (level %(level)s).",
            **values,
        )
    return words.say(
        "Its condition is true, but a higher demand decides: %(who)s (level %(level)s), until %(time)s.",
        **values,
        time=words.moment(effect.until, why.at),
    )
