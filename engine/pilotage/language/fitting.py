"""A typed value as another type or in another unit, or the finding that says why it cannot be."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pilotage.language import check_findings as say
from pilotage.language import typed
from pilotage.language.typed import Const, Read, Typed
from pilotage.language.wording import pretty
from pilotage.model.units import Unit, conversion
from pilotage.model.values import Base, ValueType

if TYPE_CHECKING:
    from pilotage.language.resolver import Resolver


def fit(resolver: Resolver, node: Typed, wanted: ValueType) -> Typed | None:
    """Return a typed expression as a wanted type (its unit converted), or None after reporting."""
    if wanted.base is Base.ANY:
        return node
    if wanted.base is Base.NUMBER and node.type.base is Base.NUMBER:
        return in_unit(resolver, node, wanted.unit)
    if wanted.base is Base.ENUM and node.type.base in (Base.ENUM, Base.TEXT):
        return fit_enum(resolver, node, wanted)
    if wanted.base is Base.POSITION and node.type.base is Base.ENTITY:
        return resolver.place(node)
    if not _may_stand_for(node, wanted):
        resolver.report(say.wrong_type(node.at, wanted, node.type))
        return None
    return node


def _may_stand_for(node: Typed, wanted: ValueType) -> bool:
    own = node.type
    if wanted.base is Base.ENTITY and own.base is Base.SET and isinstance(node, typed.Nearest):
        return wanted.kind in ("", own.kind)  # nearest(1, …) stands for the one
    if wanted.base is Base.TEXT and own.base is Base.ENUM:
        return True
    if wanted.base is own.base and wanted.base in (Base.ENTITY, Base.SET):
        return not wanted.kind or not own.kind or wanted.kind == own.kind
    return wanted.base is own.base


def fit_enum(resolver: Resolver, node: Typed, wanted: ValueType) -> Typed | None:
    """Return a word or an enumeration as a member of another, or None after reporting."""
    if isinstance(node, Const):
        if node.value in wanted.members:
            return replace(node, type=wanted)
        resolver.report(say.not_a_member(node.at, str(node.value), wanted.members))
        return None
    if node.type.base is Base.TEXT:
        resolver.report(say.wrong_type(node.at, wanted, node.type))
        return None
    if not set(node.type.members) & set(wanted.members):
        resolver.report(say.text_with_unit(node.at, wanted, node.type))
        return None
    return node


def same_unit(resolver: Resolver, left: Typed, right: Typed) -> tuple[Typed, Typed] | None:
    """Return two numbers in one unit: that of the side which is no literal, else of the left one."""
    if isinstance(left, Const) and not isinstance(right, Const):
        fitted = in_unit(resolver, left, right.type.unit, compared=right)
        return None if fitted is None else (fitted, right)
    fitted = in_unit(resolver, right, left.type.unit, compared=left)
    return None if fitted is None else (left, fitted)


def in_unit(
    resolver: Resolver, node: Typed, unit: Unit, compared: Typed | None = None
) -> Typed | None:
    """Return a number in a unit; a literal is converted here, anything else when it is evaluated."""
    own = node.type.unit
    if isinstance(node, Const) and not own.symbol and unit.symbol and node.value != 0:
        resolver.report(say.needs_unit(node.at, node.value, unit))
        return None
    if isinstance(node, Const) and not own.symbol:
        return replace(node, type=ValueType(Base.NUMBER, unit))
    if own.dimension != unit.dimension:
        _report_dimensions(resolver, node, unit, compared)
        return None
    if own.offset != unit.offset and (own.offset or not isinstance(node, Const)):
        at = node.at if isinstance(node, Const) or compared is None else compared.at
        value = node.value if isinstance(node, Const) else None
        resolver.report(say.difference_of_temperatures(at, value))
        return None
    _doubt_share(resolver, node, unit, compared)
    factor, addend = conversion(own, unit)
    if factor == 1.0 and addend == 0.0:
        return node
    type_ = ValueType(Base.NUMBER, unit)
    if isinstance(node, Const):
        return replace(node, type=type_, value=float(f"{node.value * factor + addend:.12g}"))
    return typed.Convert(node.at, type_, node, factor, addend)


def _doubt_share(resolver: Resolver, node: Typed, unit: Unit, compared: Typed | None) -> None:
    """Warn of `park.free < 5 %`: a count is compared with a share."""
    is_share = isinstance(node, Const) and node.type.unit.symbol == "%" and not unit.symbol
    if is_share and isinstance(compared, Read) and isinstance(node, Const):
        high = compared.spec.high
        if high is not None and high > 1.0:
            resolver.report(say.percent_of_a_count(node.at, pretty(compared), node.value))


def _report_dimensions(resolver: Resolver, node: Typed, unit: Unit, compared: Typed | None) -> None:
    if compared is None:
        resolver.report(say.unit_mismatch(node.at, unit, node.type))
        return
    resolver.report(
        say.dimensions_differ(node.at, _described(compared), _described(node), compared.type.unit)
    )


def _described(node: Typed) -> str:
    """`flow (veh/h)`, `speed (80 km/h)`: what E305 shows."""
    unit = node.type.unit
    if isinstance(node, Const):
        return f"{title_of(unit)} ({node.value:g}{' ' if unit.symbol else ''}{unit})"
    return f"{title_of(unit)} ({unit})" if unit.symbol else title_of(unit)


def title_of(unit: Unit) -> str:
    """Return what a unit measures, in words."""
    return "percentage" if unit.symbol == "%" else unit.dimension.title
