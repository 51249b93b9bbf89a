"""report.html as readers meet it: in a real Chromium, wide and on a phone, dark, in print, and without scripts."""

import os
import re
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from pypdf import PdfReader

from tests.reporting.conftest import FAILED, RESUMED, MadePage, MadeUp

# A browser is a process.
pytestmark = pytest.mark.slow

NAMES = ("chromium", "chromium-browser", "google-chrome")
ROWS, OF_ONE = 95, 19


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"none of {', '.join(NAMES)} is installed; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        # Chromium refuses its sandbox to root.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


class Reader:
    """A page with what it complained of and what it asked of the network."""

    def __init__(self, browser: Browser, path: Path, width: int, scripts: bool = True, **settings: str) -> None:
        context = browser.new_context(viewport={"width": width, "height": 900}, java_script_enabled=scripts, **settings)
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        if scripts:
            self.page.wait_for_selector("html[data-ready]", timeout=60_000)

    def rows(self, table: str) -> Locator:
        return self.page.locator(f"#table-{table} tbody tr")

    def column(self, table: str, header: str) -> list[str]:
        """The texts of a column from top to bottom."""
        names = [re.sub(r"\s*[↕↑↓]", "", text).strip() for text in self.headers(table)]
        return self.page.locator(f"#table-{table} tbody td:nth-child({names.index(header) + 1})").all_inner_texts()

    def headers(self, table: str) -> list[str]:
        return self.page.locator(f"#table-{table} thead th").all_inner_texts()

    def ready(self, group: str) -> Locator:
        """A group of charts, drawn."""
        return self.page.locator(f'.interactive[data-group="{group}"][aria-busy="false"]')


@pytest.fixture(scope="module")
def wide(browser: Browser, made_page: MadePage) -> Reader:
    return Reader(browser, made_page.path, 1280)


def test_it_complains_of_nothing_and_asks_for_nothing(wide: Reader, made_page: MadePage) -> None:
    assert wide.complaints == []
    outside = [url for url in wide.requests if not url.startswith("data:") and url != made_page.path.as_uri()]
    assert outside == []
    assert made_page.path.stat().st_size < 6e6


def test_every_table_has_all_its_rows(wide: Reader, made_page: MadePage) -> None:
    counts = {
        "cost": 12,
        "comparison-final": 19,
        "nearest": 12,
        "consistency": 6,
        "agreement": 2,
        "versions": 10,
        "failures": 2,
        "data": 1,
        "hardware": 1,
    }
    for name, least in counts.items():
        assert wide.rows(name).count() >= least, name
    for name in ("runs", "times"):
        assert wide.rows(name).count() == len(made_page.plan.runs)
    for name in made_page.plan.ablations:
        assert wide.page.locator(f"#table-ablation-{name} caption").inner_text()
    assert wide.page.locator("img:not([alt]), img[alt='']").count() == 0
    broken = (
        "[...document.images].filter((image) => image.complete && !image.naturalWidth && image.offsetParent).length"
    )
    assert wide.page.evaluate(broken) == 0


def test_provenance_tells_what_failed_and_what_went_on(wide: Reader) -> None:
    failures = wide.page.locator("#table-failures").inner_text()
    assert FAILED in failures and "the disk is <full>" in failures
    assert RESUMED in failures and "after step 120" in failures
    wide.page.locator("summary", has_text="Times").click()
    assert "2023-11-14 22:13:20" in wide.column("times", "training from")
    wide.page.locator("summary", has_text="Times").click()


def test_the_comparison_begins_with_one_metric_and_library_and_shows_others_on_demand(wide: Reader) -> None:
    choices = wide.page.locator("#comparison > .choices")
    assert wide.rows("comparison").count() == OF_ONE
    assert "19 of 95 rows, all digits, td, FID, clean-fid" in choices.inner_text()
    # What is the same everywhere takes no room.
    assert not {"data", "metric", "library"} & {name.strip(" ↕\n\xa0") for name in wide.headers("comparison")}
    choices.get_by_label("metric").select_option("KID")
    choices.get_by_label("library").select_option("torch-fidelity")
    assert wide.rows("comparison").count() == OF_ONE
    choices.get_by_label("formulation").select_option("vp")
    assert "3 of 95 rows, all digits, vp, td, KID, torch-fidelity" in choices.inner_text()
    choices.get_by_role("button").click()
    assert wide.rows("comparison").count() == ROWS
    assert set(wide.column("comparison", "metric")) == {"FID", "KID", "precision"}
    assert set(wide.column("comparison", "library")) == {"clean-fid", "torch-fidelity"}
    # A metric of one library is not hidden by the other.
    choices.get_by_label("library").select_option("clean-fid")
    choices.get_by_label("metric").select_option("precision")
    assert "19 of 95 rows, all digits, td, precision, torch-fidelity" in choices.inner_text()


def test_a_click_on_a_header_sorts_by_number(wide: Reader) -> None:
    wide.page.locator("#comparison > .choices button").click()
    header = wide.page.locator("#table-comparison th", has_text=re.compile("^baseline"))
    header.click()
    # DataTables sorts after the click, in a task of its own, and says so on the header in the same task.
    expect(header).to_have_attribute("aria-sort", "ascending")
    rising = [float(text.split(" ± ")[0]) for text in wide.column("comparison", "baseline")]
    assert rising == sorted(rising) and len(rising) == ROWS
    texts = wide.column("comparison", "baseline")
    assert texts != sorted(texts)  # words would come in another order
    header.click()
    expect(header).to_have_attribute("aria-sort", "descending")
    assert [float(text.split(" ± ")[0]) for text in wide.column("comparison", "baseline")] == rising[::-1]
    last = wide.page.locator("#table-comparison th", has_text="seeds to decide")
    last.click()
    expect(last).to_have_attribute("aria-sort", "ascending")
    seeds = wide.column("comparison", "seeds to decide")
    known = [int(text) for text in seeds if text.isdigit()]
    assert known == sorted(known) and "—" in seeds and max(known) >= 10


def comparison_of(made: MadePage) -> pd.DataFrame:
    """The comparison for people."""
    return MadeUp(made.plan, made.path.parents[1]).table("comparison").readable


def test_charts_follow_their_switches_and_tell_their_numbers(wide: Reader, made_page: MadePage) -> None:
    charts = wide.ready("comparison")
    assert charts.locator(".cell").count() == 6 and charts.locator("svg").count() == 12
    assert (charts.locator("svg").first.text_content() or "").count("FID") == 1
    before = charts.locator(".mark-line path").first.get_attribute("d")
    charts.locator(".mark-symbol path").first.hover()
    told = wide.page.locator("#vg-tooltip-element.visible")
    told.wait_for()
    row = comparison_of(made_page).iloc[0]
    assert str(row.baseline) in told.inner_text() and "seeds" in told.inner_text() and "NFE" in told.inner_text()
    charts.get_by_label("metric").select_option("kid")
    charts = wide.ready("comparison")
    charts.locator("svg text", has_text="KID").first.wait_for()
    assert charts.locator("svg text", has_text="FID").count() == 0
    assert charts.locator(".mark-line path").first.get_attribute("d") != before
    charts.get_by_label("metric").select_option("precision")
    charts.locator("svg text", has_text="precision (higher is better)").first.wait_for()
    assert charts.get_by_label("library").input_value() == "torch-fidelity"
    assert charts.get_by_label("library").locator("option[disabled]").all_inner_texts() == ["clean-fid"]
    assert wide.complaints == []


def test_cost_against_quality_and_ablations_have_charts(wide: Reader, made_page: MadePage) -> None:
    cost = wide.ready("cost")
    assert cost.locator("svg").count() == 2 and cost.locator(".legend li").count() == 6
    # KID is negative at times, hence has no ratio.
    metrics = cost.get_by_label("metric").locator("option").all_inner_texts()
    assert metrics == ["FID (lower is better)", "precision (higher is better)"]
    for name in made_page.plan.ablations:
        assert wide.ready(f"ablation-{name}").locator("svg").count() == 2


def test_a_phone_scrolls_down_only(browser: Browser, made_page: MadePage) -> None:
    reader = Reader(browser, made_page.path, 390)
    assert reader.page.evaluate("document.documentElement.scrollWidth") <= 390
    reader.page.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
    assert reader.page.evaluate("document.documentElement.scrollWidth") <= 390
    widths = reader.page.evaluate("[...document.querySelectorAll('.chart svg')].map((svg) => svg.clientWidth)")
    assert widths and max(widths) <= 390 - 32 and min(widths) > 250
    assert reader.complaints == []


def test_dark_mode(browser: Browser, made_page: MadePage, wide: Reader) -> None:
    dark = Reader(browser, made_page.path, 1280, color_scheme="dark")

    def shades(reader: Reader, selector: str, colour: str) -> int:
        """The sum of red, green and blue."""
        style = f"getComputedStyle(document.querySelector('{selector}')).{colour}"
        return sum(map(int, re.findall(r"\d+", reader.page.evaluate(style))[:3]))

    for selector, colour in (("body", "color"), (".chart svg .role-axis-label text", "fill")):
        assert shades(dark, selector, colour) > 600 and shades(wide, selector, colour) < 150
    assert shades(dark, "body", "backgroundColor") < 150
    inverted = "getComputedStyle(document.querySelector('figure.{} img')).filter"
    assert "invert" in dark.page.evaluate(inverted.format("chart"))
    assert dark.page.evaluate(inverted.format("samples")) == "none"
    assert dark.complaints == []


def test_print_has_all_rows_and_pictures_and_folds(browser: Browser, made_page: MadePage, tmp_path: Path) -> None:
    reader = Reader(browser, made_page.path, 1280, color_scheme="dark")
    reader.page.pdf(path=tmp_path / "page.pdf", format="A4")
    pages = PdfReader(tmp_path / "page.pdf").pages
    text = " ".join(unicodedata.normalize("NFKC", " ".join(page.extract_text() for page in pages)).split())
    table = comparison_of(made_page)
    assert len(table) == ROWS
    for row in table.itertuples(index=False):
        # A narrow cell is broken behind a hyphen.
        line = " ".join(str(value) for value in row).replace("- ", "-")
        assert line in text.replace("- ", "-"), line
    assert "the disk is <full>" in text and "machine" in text and "scikit-learn==" in text
    # Every picture, none of which was on the screen while there were charts instead.
    shown = sum(1 for page in pages for name in page["/Resources"].get("/XObject", {}))
    assert shown >= 3 + 3 * len(made_page.plan.experiment.pairs) + len(made_page.plan.ablations)
    assert "Shift and wheel" not in text
    assert reader.rows("comparison").count() == OF_ONE  # as before


def test_without_scripts_all_is_there(browser: Browser, made_page: MadePage) -> None:
    reader = Reader(browser, made_page.path, 1280, scripts=False)
    assert reader.rows("comparison").count() == ROWS
    reader.page.locator("#nearest summary").click()  # folds need no script
    assert reader.page.locator("figure:visible").count() == reader.page.locator("figure").count() > 20
    assert reader.page.locator(".interactive:visible").count() == 0
    assert "FID" in (reader.page.locator("#nfe img").get_attribute("alt") or "")
