"""A picture of the page that `bon report` makes, as a browser shows it.

    python benchmarks/screenshot.py results.jsonl                  the overview
    python benchmarks/screenshot.py results.jsonl --id ID          one prompt
    python benchmarks/screenshot.py results.jsonl --id ID --match  its first match, opened

Needs Chromium with its driver (Debian: chromium chromium-driver) and selenium. The page's title is
the file's name, unless --title says otherwise.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from selenium import webdriver

from bon.datasets import read_results
from bon.report.page import write_report
from bon.types import BonError

SWITCHES = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/report.png"))
    parser.add_argument("--id", help="open this prompt")
    parser.add_argument("--match", action="store_true", help="open its first match")
    parser.add_argument("--title")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=860)
    parser.add_argument("--dark", action="store_true")
    arguments = parser.parse_args()
    try:
        place = place_of(arguments.results, arguments.id)
        with TemporaryDirectory() as folder:
            page = Path(folder) / "report.html"
            title = arguments.title or arguments.results.stem
            write_report(read_results(arguments.results), page, title)
            take(page, place, arguments)
    except BonError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def place_of(results: Path, identity: str | None) -> int | None:
    """Where in the file the prompt stands, from 1; raises `BonError` where it is not there."""
    if identity is None:
        return None
    for place, result in enumerate(read_results(results), start=1):
        if result.prompt.id == identity:
            return place
    raise BonError(f"no result has the id {identity!r}")


def take(page: Path, place: int | None, arguments: argparse.Namespace) -> None:
    """Open the page, go where it should, save the picture at twice the density of a plain screen."""
    browser = started()
    try:
        scheme = "dark" if arguments.dark else "light"
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        size = {"width": arguments.width, "height": arguments.height}
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", size | {"deviceScaleFactor": 2, "mobile": False}
        )
        browser.get(page.as_uri())
        wait(browser, "document.documentElement.dataset.ready === 'yes'")
        if place is not None:
            browser.execute_script(f"location.hash = '#{place}'")
            wait(browser, f"document.getElementById('prompt').dataset.place === '{place - 1}'")
        if arguments.match:
            wait(browser, "document.querySelector('[data-pair], .card')")
            browser.execute_script("document.querySelector('[data-pair], .card').click()")
            wait(browser, "document.getElementById('match').open")
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        browser.save_screenshot(str(arguments.output))
    finally:
        browser.quit()


def started() -> Any:
    """A browser without a window; raises `BonError` where Chromium or its driver is missing."""
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        raise BonError("Chromium and its driver are needed (Debian: chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    for switch in SWITCHES:
        options.add_argument(switch)
    options.binary_location = binary
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def wait(browser: Any, condition: str, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not browser.execute_script(f"return Boolean({condition})"):
        if time.monotonic() > end:
            raise BonError(f"the page never came to {condition}")
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
