"""The page of `bon serve` in a real browser: it shows tournaments as they run, and asks nobody else.

Needs Chromium with its driver (Debian: `chromium chromium-driver`) and selenium; skipped without.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fakes import reply
from serving import Serving, serving
from test_report_browser import CHROMIUM, DRIVER, Browser, browser, webdriver  # noqa: F401

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed"),
    pytest.mark.skipif(not DRIVER, reason="chromedriver is not installed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
NASTY = "<script>document.title='pwned'</script><img src=http://evil.example/x> 3"
LONG = 10_000_000


def candidates(request: Any) -> Any:
    texts = [NASTY, "It is 9.", "It is 5.", "It is 7."]
    return reply(*(texts[i % 4] for i in range(request.sampling.n)))


@pytest.fixture
def server() -> Iterator[Serving]:
    with serving(candidates) as running:
        yield running


@pytest.fixture
def opened(browser: Browser, server: Serving) -> Browser:  # noqa: F811
    show(browser, server)
    return browser


def show(browser: Browser, server: Serving, path: str = "/") -> None:  # noqa: F811
    browser.driver.get("about:blank")  # the page before asks a server that has gone
    browser.driver.get_log("browser")
    browser.driver.get_log("performance")
    browser.driver.get(f"{server.url}{path}")


def ask(server: Serving, text: str = "A number?", **settings: Any) -> None:
    body = {"model": "bon-4-knockout", "messages": [{"role": "user", "content": text}]}
    httpx.post(f"{server.url}/v1/chat/completions", json={**body, **settings}, timeout=60)


def test_a_tournament_that_is_over_shows_its_bracket_and_its_reasoning(
    opened: Browser, server: Serving
) -> None:
    ask(server)
    opened.wait("document.querySelectorAll('.item').length === 1")
    opened.click(".item")
    opened.wait("document.querySelectorAll('.card').length === 3")
    assert "Winner" in opened.text("#prompt")
    opened.click(".card")
    opened.wait("document.getElementById('match').open")
    assert "prefers" in opened.text("#match")


def test_a_bracket_grows_while_the_page_is_open(opened: Browser, server: Serving) -> None:
    server.judge.turns = lambda request: 1 if len(server.judge.requests) == 1 else LONG
    asking = threading.Thread(target=ask, args=(server,), kwargs={"bon": {"deadline": 30}})
    asking.start()
    opened.wait("document.querySelectorAll('.item').length === 1")
    opened.click(".item")
    opened.wait("document.getElementById('prompt').dataset.state === 'judging'", 25)
    opened.wait("document.querySelectorAll('.card').length === 1")
    asking.join()
    opened.wait("document.getElementById('prompt').dataset.state === 'done'", 30)


def test_what_clients_and_models_wrote_is_text(opened: Browser, server: Serving) -> None:
    ask(server, NASTY)
    opened.wait("document.querySelectorAll('.item').length === 1")
    opened.click(".item")
    opened.wait("document.querySelectorAll('.card').length === 3")
    assert "<script>" in opened.text("#prompt")
    assert opened.driver.title == "bon serve"
    assert opened.js("document.querySelectorAll('img').length") == 0
    assert opened.complaints() == []
    assert all(url.startswith(server.url) for url in opened.requests())


def test_with_a_key_the_page_asks_for_it_and_keeps_it_out_of_the_address(
    browser: Browser,  # noqa: F811
) -> None:
    with serving(candidates, api_key="sesame") as server:
        show(browser, server)
        browser.wait("!document.getElementById('ask').hidden")
        browser.find("#key").send_keys("sesame" + webdriver.Keys.ENTER)
        browser.wait("document.documentElement.dataset.ready === 'yes'")
        assert browser.js("document.getElementById('ask').hidden")
        assert "sesame" not in browser.driver.current_url


def test_the_api_page_is_whole_in_itself(browser: Browser, server: Serving) -> None:  # noqa: F811
    show(browser, server, "/docs")
    assert "/v1/chat/completions" in browser.text("main")
    assert browser.complaints() == []
    assert all(url.startswith(server.url) for url in browser.requests())
