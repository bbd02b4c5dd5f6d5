"""Who uses no mouse, sees other colours, needs larger letters or stillness: every page, with a city at work behind it."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, StorageState
from tests.faults.city import temporary_folder, until
from tests.web_ui.browser.conftest import (
    PHONE,
    NewPage,
    axe,
    is_too_wide,
    shot,
    sign_in,
    until_true,
)
from tests.web_ui.browser.test_every_page import prefer
from tests.web_ui.browser.town import RULES, Town

from pilotage import api

pytestmark = pytest.mark.ui

PAGES: Final = (
    *(
        "/",
        "/wall",
        "/alarms",
        "/alarms?state=all",
        "/alarms/broken-lamp[L-3]",
        "/plans",
        "/plans/snow",
    ),
    *("/equipment", "/equipment/lamp/L-7", "/equipment/lamp/L-7?at=2020-01-01T00:00", "/rules"),
    *(
        "/rules/lamps-that-burn",
        "/journal",
        "/journal/handover",
        "/reports",
        "/reports/new",
        "/incidents",
    ),
    *(
        "/health",
        "/account",
        "/account/second",
        "/sign-in/again",
        "/accessibility",
        "/nothing/here",
        "/users",
    ),
)
OF_ADMIN: Final = ("/users", "/users/visitor", "/tokens", "/alarms", "/plans")
OF_NOBODY: Final = ("/sign-in", "/sign-in/link/none", "/accessibility")

FOCUSABLE: Final = """() => {
  const inside = 'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]';
  const all = [...document.querySelectorAll(inside)].filter((each) => !each.disabled && each.tabIndex >= 0 && each.checkVisibility()
    && !each.closest('details:not([open]) > :not(summary)'));
  const groups = new Set();
  window.wanted = all.filter((each) => {
    if (each.type !== 'radio') return true;
    const group = (each.form ? each.form.id + each.form.action : '') + each.name;
    if (groups.has(group)) return false;
    groups.add(group);
    return true;
  });
  window.reached = new Set();
  window.unseen = [];
  return window.wanted.length;
}"""
STEP: Final = """() => {
  const at = document.activeElement;
  if (!at || at === document.body) return;
  const style = getComputedStyle(at);
  if (style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 1)
    window.unseen.push(at.outerHTML.slice(0, 120));
  window.reached.add(at);
  if (at.type === 'radio') for (const each of document.getElementsByName(at.name)) if (each.form === at.form) window.reached.add(each);
}"""
LEFT: Final = "window.wanted.filter((each) => !window.reached.has(each)).map((each) => each.outerHTML.slice(0, 120))"
MOVES: Final = """[...document.querySelectorAll('*')].filter((each) => {
  const style = getComputedStyle(each);
  return style.animationName !== 'none' || style.transitionDuration.split(',').some((time) => parseFloat(time) > 0);
}).map((each) => each.outerHTML.slice(0, 80))"""
CUT: Final = """[...document.querySelectorAll('main button, main a, main td, main th, main label, main p, main h1, main h2')]
  .filter((each) => each.checkVisibility() && each.scrollWidth > each.clientWidth + 1
    && ['hidden', 'clip'].includes(getComputedStyle(each).overflowX) && !each.closest('.visually-hidden'))
  .map((each) => each.outerHTML.slice(0, 100))"""


@pytest.fixture(scope="module")
def busy(town: Town) -> Iterator[None]:
    """A city at work: alarms new, taken and shelved, a plan and an override, an incident, lines and a call."""
    for number in (3, 4, 5, 6):
        town.report(f"L-{number}", fail=True)
    who: dict[str, Any] = {"person": "nadia", "post": "security"}
    town.ask(api.SetPlan(plan="snow", level=1, person="nadia", reason="verglas"))
    town.ask(
        api.SetOverride(
            point="L-7.level", value="30 %", for_s=900.0, person="nadia", reason="travaux"
        )
    )
    town.ask(api.WriteNote(text="Verglas pont de l'Ouche", **who))
    yield
    for number in (3, 4, 5, 6):
        town.report(f"L-{number}", fail=False)
    with contextlib.suppress(api.ApiError):
        town.ask(api.ReleaseOverride(point="L-7.level", person="nadia"))
    town.ask(api.SetPlan(plan="snow", level=0, person="nadia", reason="fini"))


@pytest.fixture(scope="module")
def admin(town: Town, browser: Browser) -> StorageState:
    """What the browser of an admin keeps."""
    main = "import sys; from pilotage.cli import main; sys.exit(main())"
    words = ["user", "add", "chef", "--admin", "--name", "Claire Chef", "-c", "config.yaml"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    said = subprocess.run(
        [sys.executable, "-c", main, *words],
        cwd=town.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    context = browser.new_context()
    page = context.new_page()
    (path,) = re.findall(r"/sign-in/link/\S+", said.stdout)
    page.goto(town.url + path)
    page.click("main button")
    page.wait_for_load_state()
    kept = context.storage_state()
    context.close()
    return kept


def opened(page: Page, path: str) -> None:
    """Open a page, and what is folded on it."""
    page.goto(path)
    page.evaluate("for (const each of document.querySelectorAll('main details')) each.open = true")
    page.wait_for_timeout(100)


def name_of(path: str) -> str:
    return re.sub(r"\W+", "-", path).strip("-") or "now"


class TestNoBarrier:
    @pytest.mark.parametrize("language", ["fr", "en"])
    @pytest.mark.parametrize("theme", ["dark", "light"])
    def test_axe(
        self, new_page: NewPage, busy: None, admin: StorageState, theme: str, language: str
    ) -> None:
        """axe-core finds nothing on any page, for operators, admins and strangers, with everything unfolded; none is wider than 320 px."""
        page, chief = new_page("/accessibility"), new_page("/accessibility", storage_state=admin)
        stranger = new_page("/sign-in", storage_state=None)
        wrong: list[str] = []
        for each, paths in ((page, PAGES), (chief, OF_ADMIN), (stranger, OF_NOBODY)):
            if each is not stranger:
                prefer(each, language, theme)
            for path in paths:
                each.set_viewport_size({"width": 1280, "height": 800})
                opened(each, path)
                shot(each, f"open-{name_of(path)}-{language}-{theme}")
                wrong += [f"{path}: {found}" for found in axe(each)]
                each.set_viewport_size({"width": 320, "height": 640})
                wrong += [f"{path}: wider than 320 px"] * is_too_wide(each)
        prefer(page, "fr", "dark")
        assert wrong == [], "\n".join(wrong)


def holders(town: Town, entity: str) -> list[api.OverrideShown]:
    """Return the overrides of a piece of equipment."""
    return [held for held in town.ask(api.ListOverrides()) if held.entity == entity]


class TestKeyboard:
    def test_everything_is_reached(
        self, new_page: NewPage, busy: None, admin: StorageState
    ) -> None:
        """The tab key reaches all that can be used on each page, says where it is, and is caught nowhere."""
        wrong: list[str] = []
        for page, paths in (
            (new_page("/accessibility"), PAGES),
            (new_page("/accessibility", storage_state=admin), OF_ADMIN),
        ):
            for path in paths:
                opened(page, path)
                count = page.evaluate(FOCUSABLE)
                page.evaluate("document.activeElement.blur()")
                for _ in range(min(count + 4, 160)):
                    page.keyboard.press("Tab")
                    page.evaluate(STEP)
                unseen = set(page.evaluate("window.unseen"))
                wrong += [f"{path}: no outline: {each}" for each in unseen]
                if count < 150:
                    wrong += [f"{path}: not reached: {each}" for each in page.evaluate(LEFT)]
        assert wrong == [], "\n".join(wrong)

    def test_alarms(self, new_page: NewPage, busy: None, town: Town) -> None:
        """Take, acknowledge and shelve an alarm, and open an incident of it, by letters."""
        page = new_page("/alarms?state=all")

        def state() -> tuple[str, str]:
            alarm = next(a for a in town.ask(api.ListAlarms()) if a.id == first)
            return alarm.state, alarm.taken_by

        page.keyboard.press("j")
        first = str(page.evaluate("document.activeElement.id")).removeprefix("line-")
        for key, wanted in (("t", ("raised", "visitor")), ("a", ("acknowledged", "visitor"))):
            page.locator(f"[id='line-{first}']").focus()
            with page.expect_navigation():
                page.keyboard.press(key)
            assert state() == wanted
        page.locator(f"[id='line-{first}']").focus()
        page.keyboard.press("s")
        page.keyboard.type("travaux")
        with page.expect_navigation():
            page.keyboard.press("Enter")
        assert state()[0] == "shelved"
        page.locator(f"[id='line-{first}']").focus()
        with page.expect_navigation():
            page.keyboard.press("i")
        assert "/incidents/" in page.url

    def test_plan_in_four_keys(self, new_page: NewPage, busy: None, town: Town) -> None:
        """g, p, the plan's number, and Enter held: the plan stands at the level that was offered."""
        town.ask(api.SetPlan(plan="snow", level=0, person="nadia", reason="fini"))
        page = new_page("/")
        page.wait_for_selector("html[data-link=live]")
        page.keyboard.press("g")
        with page.expect_navigation():
            page.keyboard.press("p")
        page.wait_for_selector("html[data-link=live]")
        page.keyboard.press("1")
        with page.expect_navigation():
            page.keyboard.down("Enter")
        page.keyboard.up("Enter")
        page.wait_for_selector("html[data-link=live]")
        (plan,) = town.ask(api.ListPlans())
        assert plan.level == 1

    def test_override(self, new_page: NewPage, busy: None, town: Town) -> None:
        """A lamp is taken by hand and given back."""
        page = new_page("/equipment/lamp/L-9")
        page.wait_for_selector("html[data-link=live]")
        page.locator("input[name=value]").focus()
        page.keyboard.type("40")
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Tab")
        page.keyboard.type("essai")
        page.keyboard.press("Tab")
        with page.expect_navigation():
            page.keyboard.down("Enter")
        page.keyboard.up("Enter")
        until(lambda: holders(town, "L-9"), "nobody holds it", 5.0)
        (held,) = holders(town, "L-9")
        assert held.person == "visitor"
        page.locator("form[action$='/release'] button").focus()
        with page.expect_navigation():
            page.keyboard.press("Enter")
        page.wait_for_selector("html[data-link=live]")
        assert not any(o.entity == "L-9" for o in town.ask(api.ListOverrides()))

    def test_writing(self, new_page: NewPage, busy: None, town: Town) -> None:
        """A line of the journal, a call, the handover and a draft of a rule are written without a mouse."""
        page = new_page("/journal")
        page.keyboard.press("/")
        page.keyboard.type("Patrouille 3 sur place")
        with page.expect_navigation():
            page.keyboard.press("Enter")
        assert "Patrouille 3 sur place" in page.inner_text("main")
        page.goto("/reports/new")
        page.keyboard.type("Darcy nord")
        page.wait_for_timeout(600)
        page.keyboard.press("Tab")
        page.locator("input[name=what]").first.focus()
        page.keyboard.press("Space")
        page.locator("textarea[name=details]").focus()
        page.keyboard.type("un arbre sur la chaussée")
        with page.expect_navigation():
            page.keyboard.press("Control+Enter")
        page.goto("/reports")
        page.locator("main th a").first.click()
        assert "un arbre sur la chaussée" in page.inner_text("main")
        page.goto("/journal/handover")
        page.locator("input[name=remark]").focus()
        page.keyboard.type("calme")
        with page.expect_navigation():
            page.keyboard.press("Enter")
        assert "calme" in page.inner_text("main")

    def test_single_keys_off(self, new_page: NewPage, busy: None) -> None:
        """Who types by voice turns single keys off: then no letter leads away, and `n` shows nothing."""
        page = new_page("/alarms")
        page.locator(".bar-person summary").focus()
        page.keyboard.press("Enter")
        page.locator("[data-name=keys]").focus()
        page.keyboard.press("Space")
        page.goto("/alarms")
        page.keyboard.press("g")
        page.keyboard.press("p")
        page.wait_for_timeout(400)
        assert page.url.endswith("/alarms")

    def test_new_lines_are_counted(self, new_page: NewPage, busy: None, town: Town) -> None:
        """While a line has the focus the list stays, and a bar says how many are new; `n` shows them."""
        page = new_page("/journal")
        page.wait_for_selector("html[data-link=live]")
        before = page.locator(".log > li").count()
        page.locator(".log a").first.focus()
        for text in ("eins", "zwei"):
            town.ask(api.WriteNote(text=text, person="nadia", post="security"))
        until_true(page, "document.getElementById('changed').textContent.includes(': 2')")
        assert page.locator(".log > li").count() == before
        page.keyboard.press("n")
        until_true(page, "document.querySelector('.log').textContent.includes('zwei')")


TONES: Final = """
window.tones = 0;
const start = OscillatorNode.prototype.start;
OscillatorNode.prototype.start = function (...words) { window.tones += 1; return start.apply(this, words); };
"""


BRIGHT: Final = """\
  bright-lamp:
    title: {en: Too bright, fr: Trop claire}
    owner: lighting
    severity: critical
    for_each: {lamp: {kind: lamp}}
    raise_while: lamp.level > 99 %
plans:
"""


class TestSound:
    def test_one_tone_for_all_windows(self, browser: Browser) -> None:
        """Nothing sounds until somebody allows it; then a new group of priority 1 is one tone, in one of the windows."""
        with temporary_folder() as folder:
            rules = RULES.replace("severity: high", "severity: critical")
            town = Town(folder, rules=rules.replace("plans:\n", BRIGHT, 1))
            try:
                town.start()
                for number in range(6):
                    town.report(f"L-{number}", level=60)
                context = browser.new_context(
                    base_url=town.url, storage_state=sign_in(town, browser)
                )
                context.add_init_script(TONES)
                pages = [context.new_page() for _ in range(2)]
                for page in pages:
                    page.goto("/alarms")
                    page.wait_for_selector("html[data-link=live]")
                town.report("L-1", fail=True)
                until_true(pages[0], "document.querySelectorAll('[data-line]').length === 1")
                assert [page.evaluate("window.tones") for page in pages] == [0, 0]
                pages[0].click(".bar-person summary")
                pages[0].check("[data-name=sound]")
                until_true(pages[0], "window.tones === 1")
                pages[1].click("h1")
                town.report("L-2", level=100)
                until_true(pages[0], "document.querySelectorAll('[data-line]').length === 2")
                pages[0].wait_for_timeout(1_500)
                assert sum(page.evaluate("window.tones") for page in pages) == 2
                context.close()
            finally:
                town.stop()


class TestBar:
    def test_one_line(self, new_page: NewPage, admin: StorageState) -> None:
        """At 1,280 px the bar is one line, also in French and with a long name; on a telephone it is not wider than the screen."""
        page = new_page("/health", storage_state=admin)
        prefer(page, "fr", "dark")
        page.evaluate(
            "document.querySelector('.bar-post').nextSibling.textContent = ' Jean-Baptiste Poquelin de Molière'"
        )
        assert page.evaluate("document.querySelector('.bar').offsetHeight") < 56
        page.set_viewport_size(PHONE)
        page.click(".bar-person summary")
        assert not is_too_wide(page)


class TestOtherEyes:
    def test_still(self, new_page: NewPage, busy: None) -> None:
        """Nothing moves for who asked the system for stillness."""
        page = new_page("/", reduced_motion="reduce")
        wrong = []
        for path in PAGES[:14]:
            page.goto(path)
            wrong += [f"{path}: {each}" for each in page.evaluate(MOVES)]
        assert wrong == []

    def test_double_letters(self, new_page: NewPage, busy: None) -> None:
        """With letters twice as large nothing is cut off, and no page scrolls sideways."""
        page = new_page("/")
        wrong = []
        for path in PAGES:
            page.goto(path)
            page.evaluate("document.documentElement.style.fontSize = '200%'")
            page.wait_for_timeout(80)
            shot(page, f"double-{name_of(path)}")
            wrong += [f"{path}: wider than 1,280 px"] * is_too_wide(page)
            wrong += [f"{path}: cut off: {each}" for each in page.evaluate(CUT)]
        assert wrong == []

    def test_forced_colours(self, new_page: NewPage, busy: None) -> None:
        """With colours of the system's own, shapes stay: the legend, priorities, the link's mark, the current page."""
        page = new_page("/", forced_colors="active")
        until_true(page, "document.getElementById('map').dataset.ready === 'looks'")
        shot(page, "forced-now")
        same = page.evaluate(
            """[...document.querySelectorAll('.legend .look:not(.look-ring), .link-mark')].filter((each) =>
              getComputedStyle(each).backgroundColor === getComputedStyle(document.body).backgroundColor
              && getComputedStyle(each).backgroundImage === 'none').map((each) => each.className)"""
        )
        assert same == []
        lines = page.evaluate(
            """[...document.querySelectorAll('.bar-links a')].map((each) => getComputedStyle(each).borderBottomColor)"""
        )
        assert len(set(lines)) == 2, "the current page is told from the others"
        page.goto("/plans")
        page.evaluate("document.querySelector('button.hold').classList.add('is-held')")
        bar = "getComputedStyle(document.querySelector('button.hold'), '::before').backgroundColor"
        ground = "getComputedStyle(document.querySelector('button.hold')).backgroundColor"
        assert page.evaluate(bar) != page.evaluate(ground)
        shot(page, "forced-plans")

    @pytest.mark.parametrize("kind", ["protanopia", "deuteranopia", "tritanopia", "achromatopsia"])
    def test_looks_with_other_eyes(self, new_page: NewPage, busy: None, kind: str) -> None:
        """Priorities are told apart by number and shape: each has its own outline, whatever the colours."""
        page = new_page("/alarms?state=all")
        page.context.new_cdp_session(page).send(
            "Emulation.setEmulatedVisionDeficiency", {"type": kind}
        )
        shot(page, f"eyes-{kind}")
        shapes = page.evaluate(
            """[1, 2, 3, 4].map((number) => {
              const mark = document.createElement('span');
              mark.className = 'prio prio-' + number;
              document.querySelector('main').append(mark);
              const style = getComputedStyle(mark);
              return style.clipPath + style.borderRadius + style.outlineStyle;
            })"""
        )
        assert len(set(shapes)) == 4
