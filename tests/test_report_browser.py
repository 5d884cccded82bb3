"""The page of `bon report` in a real browser: it opens, sorts, filters, shows a match, and asks nobody.

Needs Chromium with its driver (Debian: `chromium chromium-driver`) and selenium; skipped without.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from result_factory import double_knockout, double_round_robin, noisy_judge, play

from bon.report.page import write_report
from bon.strategies.round_robin import round_robin
from bon.types import Candidate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bon.types import Result

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed"),
    pytest.mark.skipif(not DRIVER, reason="chromedriver is not installed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
exceptions = pytest.importorskip("selenium.common.exceptions", reason="selenium is not installed")

SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,800",
)
NASTY = [
    "<script>document.title='pwned'</script><img src=http://evil.example/x>",
    "long " * 20_000,
    "שלום עולם, התשובה היא 16",
    "👩‍🚀🏳️‍🌈 sixteen",
]


class Browser:
    """A browser with a page open: what a person does to it, and what it says."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path, *, width: int = 1280) -> None:
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False},
        )
        self.driver.get(path.as_uri())
        self.wait("document.documentElement.dataset.ready === 'yes'")

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(f"return {script}", *arguments)

    def wait(self, condition: str, seconds: float = 15) -> None:
        end = time.monotonic() + seconds
        while not self.js(condition):
            assert time.monotonic() < end, f"waited in vain for {condition}"
            time.sleep(0.02)

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def click(self, selector: str) -> None:
        """Click it, and again where the page replaced it in that moment."""
        for _ in range(20):
            with suppress(exceptions.StaleElementReferenceException):
                self.find(selector).click()
                return
        raise AssertionError(f"{selector} never stands still")

    def press(self, keys: str) -> None:
        webdriver.ActionChains(self.driver).send_keys(keys).perform()

    def choose(self, select: str, value: str) -> None:
        self.click(f"#{select} option[value='{value}']")

    def ids(self) -> list[str]:
        """The prompts in sight, from the top."""
        shown: list[tuple[float, str]] = self.js(
            "[...document.querySelectorAll('.item')].map(e =>"
            " [e.offsetTop, e.querySelector('.id').textContent])"
        )
        return [name for _, name in sorted(shown)]

    def read(self, place: int) -> None:
        """Open the prompt that is so many lines down the file."""
        self.js(f"(location.hash = '#{place + 1}', 0)")
        self.wait(f"document.getElementById('prompt').dataset.place === '{place}'")

    def text(self, selector: str) -> str:
        return str(self.js("document.querySelector(arguments[0]).innerText", selector))

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """What pages asked for; those of the browser itself, which it may show first, are left out."""
        messages = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        return [
            m["params"]["request"]["url"]
            for m in messages
            if m["method"] == "Network.requestWillBeSent"
            and not m["params"]["request"]["url"].startswith("chrome://")
        ]


def page(path: Path, results: list[Result]) -> Path:
    write_report(results, path, "A run")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    options = webdriver.ChromeOptions()
    for switch in (*SWITCHES, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(switch)
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield Browser(driver)
    driver.quit()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five prompts: two knockouts, two cross tables, and nasty texts."""
    results = [
        play(n=8, identity="bees", seed="3", prompt="How many wings have two bees?"),
        play(double_knockout, 6, identity="ants", seed="7", judge=noisy_judge("4", void=0.3)),
        play(double_round_robin, 5, identity="cats", seed="1", texts=["wrong"] * 5),
        play(round_robin, 64, identity="dogs", seed="1"),
        play(n=4, identity="nasty", texts=NASTY, answer=None, seed="2"),
    ]
    return page(tmp_path_factory.mktemp("run") / "report.html", results)


@pytest.fixture
def opened(browser: Browser, run: Path) -> Iterator[Browser]:
    """The page just opened; whatever a test does to it, nothing complains and no request leaves it."""
    browser.open(run)
    yield browser
    assert browser.complaints() == []
    assert {url for url in browser.requests() if not url.startswith("data:")} <= {
        run.as_uri(),
        *(f"{run.as_uri()}#{place}" for place in range(1, 6)),
    }


# --- the list -------------------------------------------------------------------------------------


def test_the_least_certain_prompt_comes_first(opened: Browser) -> None:
    sure = [row["best"] for row in opened.js("JSON.parse(index.textContent).rows")]
    expected = sorted(range(5), key=lambda place: sure[place])
    names = ["bees", "ants", "cats", "dogs", "nasty"]
    assert opened.ids() == [names[place] for place in expected]


def test_prompts_are_sorted_forth_and_back(opened: Browser) -> None:
    opened.choose("sort", "id")
    assert opened.ids() == ["ants", "bees", "cats", "dogs", "nasty"]
    opened.click("#direction")
    assert opened.ids() == ["nasty", "dogs", "cats", "bees", "ants"]


def test_search_looks_at_prompts_ids_and_answers(opened: Browser) -> None:
    opened.find("#search").send_keys("WINGS bees")
    assert opened.ids() == ["bees"]
    assert opened.text("#count") == "1 of 5 prompts"
    opened.find("#search").clear()
    opened.find("#search").send_keys("no such thing")
    assert opened.ids() == []


def test_the_filter_keeps_what_it_says(opened: Browser) -> None:
    opened.choose("filter", "wrong")
    assert "cats" in opened.ids()
    assert "nasty" not in opened.ids()
    opened.choose("filter", "voids")
    assert "ants" in opened.ids()


# --- a prompt -------------------------------------------------------------------------------------


def test_a_click_opens_a_prompt_and_its_bracket(opened: Browser) -> None:
    opened.click("#row-0")
    opened.wait("document.querySelectorAll('.card').length === 7")
    assert opened.text("#prompt h1") == "bees"
    assert len(opened.driver.find_elements("css selector", ".seat.champion")) == 3


def test_64_candidates_have_a_cross_table_of_all_pairs(opened: Browser) -> None:
    opened.read(3)
    assert opened.js("document.querySelectorAll('[data-pair]').length") == 64 * 63


def test_few_candidates_have_a_comparison_graph_of_all_pairs_too(opened: Browser) -> None:
    opened.read(2)
    assert opened.js("document.querySelectorAll('.graph .arrow').length") == 10
    assert opened.js("document.querySelectorAll('.graph .node').length") == 5
    opened.js(
        "document.querySelector('.graph .arrow').dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    opened.wait("document.getElementById('match').open")


@pytest.mark.parametrize("place", [0, 2])
def test_a_match_shows_both_candidates_and_the_reasoning_in_both_orders(
    opened: Browser, place: int
) -> None:
    opened.read(1 if place == 0 else 2)
    opened.click(".card" if place == 0 else "[data-pair='0 1']")
    opened.wait("document.getElementById('match').open")
    assert len(opened.driver.find_elements("css selector", "#match .side-of")) == 2
    assert len(opened.driver.find_elements("css selector", "#match .order .verdict")) >= 2
    assert "Slot one holds" in opened.text("#match")


def test_where_nobody_was_compared_no_strength_is_made_up(browser: Browser, tmp_path: Path) -> None:
    async def nobody(table: Any) -> int:
        return 1

    browser.open(page(tmp_path / "r.html", [play(nobody, 3), play(n=1), play(n=2)]))
    for place in (0, 1):
        browser.read(place)
        browser.wait("document.querySelector('.ranking')")
        text = browser.text("#main")
        assert "0 judge calls ·" in text or "0 judge calls\n" in text
        assert "strength" not in text
        assert "chance" not in text
    browser.read(2)
    browser.wait("document.querySelector('.card')")
    assert "strength" in browser.text("#main")


# --- the keyboard ---------------------------------------------------------------------------------


def test_everything_is_reached_by_keyboard(opened: Browser) -> None:
    keys = webdriver.Keys
    opened.press("/")
    assert opened.js("document.activeElement.id") == "search"
    opened.press("bees" + keys.ESCAPE)
    opened.press("j")
    opened.wait("document.querySelectorAll('.card').length === 7")
    opened.js("(document.querySelector('.card').focus(), 0)")
    opened.press(keys.ENTER)
    opened.wait("document.getElementById('match').open")
    first = opened.text("#match h2")
    opened.press(keys.ARROW_RIGHT)
    assert opened.text("#match h2") != first
    opened.press(keys.ARROW_LEFT)
    assert opened.text("#match h2") == first
    opened.press(keys.ESCAPE)
    assert not opened.js("document.getElementById('match').open")
    opened.press(keys.ESCAPE)
    opened.wait("!document.getElementById('overview').hidden")


def test_arrow_keys_move_through_the_list_and_the_cross_table(opened: Browser) -> None:
    keys = webdriver.Keys
    opened.choose("sort", "place")
    opened.js("(document.getElementById('list').focus(), 0)")
    for place in range(3):
        opened.press(keys.ARROW_DOWN)
        opened.wait(f"document.querySelector('.item.open')?.id === 'row-{place}'")
    opened.wait("document.querySelector('[data-pair]')")
    opened.js("(document.querySelector('[data-pair]').focus(), 0)")
    before = opened.js("document.activeElement.dataset.pair")
    opened.press(keys.ARROW_DOWN)
    after = opened.js("document.activeElement.dataset.pair")
    assert before.split()[1] == after.split()[1]
    assert before != after


# --- untrusted text -------------------------------------------------------------------------------


def test_what_a_candidate_wrote_is_text(opened: Browser) -> None:
    opened.read(4)
    for number in range(3):
        opened.js(f"(document.querySelectorAll('.card')[{number}].click(), 0)")
        opened.wait("document.getElementById('match').open")
        opened.js("(document.getElementById('match').close(), 0)")
    assert opened.driver.title == "A run"
    assert opened.js("document.querySelectorAll('img').length") == 0


def test_long_right_to_left_and_emoji_texts_are_shown_whole(opened: Browser) -> None:
    opened.read(4)
    shown: list[str] = []
    for number in range(2):
        opened.js(f"(document.querySelectorAll('.card')[{number}].click(), 0)")
        opened.wait("document.getElementById('match').open")
        shown += opened.js(
            "[...document.querySelectorAll('#match .side-of .quoted')].map(e => e.textContent)"
        )
        opened.js("(document.getElementById('match').close(), 0)")
    assert set(shown) == set(NASTY)
    direction: Callable[[str], str] = lambda text: opened.js(  # noqa: E731
        "getComputedStyle([...document.querySelectorAll('.says')]"
        ".find(e => e.textContent.startsWith(arguments[0]))).direction",
        text,
    )
    assert direction("שלום") == "rtl"
    assert direction("<script>") == "ltr"


# --- looks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [400, 1000, 1440])
def test_no_width_makes_the_page_scroll_sideways(browser: Browser, run: Path, width: int) -> None:
    browser.open(run, width=width)
    assert browser.js("document.documentElement.scrollWidth") <= width
    for place in range(5):
        browser.read(place)
        assert browser.js("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [400, 800, 1440])
def test_a_match_is_not_covered_by_the_scroll_bar(browser: Browser, run: Path, width: int) -> None:
    browser.open(run, width=width)
    browser.read(1)
    browser.click(".card")
    browser.wait("document.getElementById('match').open")
    right = browser.js("document.querySelector('#match').getBoundingClientRect().right")
    assert right <= browser.js("document.documentElement.clientWidth")


def test_dark_and_light_follow_the_system_until_one_is_chosen(opened: Browser) -> None:
    def background(scheme: str) -> str:
        feature = {"name": "prefers-color-scheme", "value": scheme}
        opened.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        return str(opened.js("getComputedStyle(document.body).backgroundColor"))

    light, dark = background("light"), background("dark")
    assert light != dark
    opened.press("t")
    assert background("dark") == light
    opened.press("t")
    assert background("light") == dark
    opened.js("(localStorage.clear(), 0)")


def test_print_leaves_controls_out_and_lists_the_least_certain(opened: Browser) -> None:
    visible = "getComputedStyle(document.querySelector(arguments[0])).display !== 'none'"
    assert not opened.js(visible, ".least")
    opened.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert opened.js(visible, ".least")
    assert not opened.js(visible, ".side")
    opened.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


# --- size -----------------------------------------------------------------------------------------


def test_ten_thousand_prompts_load_within_three_seconds(browser: Browser, tmp_path: Path) -> None:
    one, rng = play(n=1, answer=None), random.Random(1)
    many = [
        replace(
            one,
            prompt=replace(one.prompt, id=f"p{i:05d}"),
            # packs to the bytes of a knockout of eight with its reasoning, without the time to diagnose one
            candidates=(Candidate(rng.randbytes(2_000).hex()),),
        )
        for i in range(10_000)
    ]
    path = page(tmp_path / "report.html", many)
    start = time.monotonic()
    browser.open(path)
    assert time.monotonic() - start < 3
    assert len(browser.ids()) < 40, "only the rows in sight are in the page"
    browser.find("#search").send_keys("p09999")
    assert browser.ids() == ["p09999"]
    browser.read(9_999)
    assert browser.text("#prompt h1") == "p09999"
    assert browser.complaints() == []
