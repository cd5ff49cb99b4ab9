"""The site is built, and all its pages are walked: links, pictures, console."""

import html.parser
import os
import pathlib
import subprocess
import urllib.parse

import pytest
from browser import BROWSERS
from browser import find_browser
from browser import walk

pytestmark = [pytest.mark.once, pytest.mark.slow]

ROOT = pathlib.Path(__file__).parents[2]
MKDOCS = ROOT / ".venv-docs" / "bin" / "mkdocs"
# Loads what a page is made of, as opposed to what it points to.
LOADING = {"img", "script", "link", "iframe", "source"}


def lacks(what):
    """Skip, but not in CI, where all that is tested must be there."""
    if os.environ.get("CI"):
        pytest.fail(f"CI lacks {what}")
    pytest.skip(f"there is no {what}: pages are not looked at")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if not MKDOCS.exists():
        lacks("mkdocs in .venv-docs (`make docs` makes it)")
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [MKDOCS, "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


class Page(html.parser.HTMLParser):
    """The ids of a page, and what it loads and points to."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.loads = set(), [], []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids |= {attrs[of] for of in ("id", "name") if attrs.get(of)}
        address = attrs.get("src") or attrs.get("href")
        if address and tag in LOADING:
            self.loads.append(address)
        elif address:
            self.links.append(address)


def pages_of(site):
    files = [of for of in site.rglob("*.html") if of.name != "404.html"]
    return {of.relative_to(site).as_posix(): Page(of) for of in sorted(files)}


def broken_links(site, pages):
    """Where a page points to what is not there, file or heading."""
    for name, page in pages.items():
        for address in page.links + page.loads:
            part = urllib.parse.urlsplit(address)
            if part.scheme or part.netloc:
                continue
            path = site / pathlib.Path(name).parent
            path = path / urllib.parse.unquote(part.path)
            target = path.resolve() if part.path else site / name
            if not target.is_file():
                yield name, address
            elif part.fragment and target.suffix == ".html":
                inside = pages.get(target.relative_to(site).as_posix())
                fragment = urllib.parse.unquote(part.fragment)
                if inside and fragment not in inside.ids:
                    yield name, address


def test_every_link_leads_somewhere(site):
    pages = pages_of(site)
    assert len(pages) > 70
    assert list(broken_links(site.resolve(), pages)) == []


def test_what_functions_return_is_text(site):
    """Not a type that ends at the first colon, with its markdown raw."""
    page = (site / "api" / "keras_jest.data.super_batches.html").read_text()
    returned = page.partition("<strong>Returns:</strong>")[2][:300]
    assert returned.startswith("</p>\n<p>A <code>grain.IterDataset</code> of")
    methods = (site / "api" / "keras_jest.JESTModel.html").read_text("utf-8")
    assert '<span class="n">selection</span>' in methods
    assert '<span class="bp">self</span>' not in methods


def test_pages_load_nothing_from_the_network(site):
    for name, page in pages_of(site).items():
        away = [of for of in page.loads if urllib.parse.urlsplit(of).netloc]
        assert away == [], name
    for file in site.rglob("*.css"):
        assert "//fonts." not in file.read_text("utf-8")


def test_a_browser_shows_all_pages(site, tmp_path):
    browser = find_browser()
    if browser is None:
        lacks(f"browser, one of {BROWSERS}")
    pages = list(pages_of(site))
    found, missing, console = walk(browser, site, pages, (1280, 400), tmp_path)
    assert missing == [] and console == []
    assert [of["page"] for of in found[::2]] == pages
    for of in found:
        assert of["broken"] == [] and not of["too_wide"], of
        assert of["letters"] > 300, of
    guides = [of for of in found if "choosing_a_selection" in of["page"]]
    assert all(of["images"] for of in guides)


def test_a_browser_tells_what_is_broken(tmp_path):
    browser = find_browser()
    if browser is None:
        lacks(f"browser, one of {BROWSERS}")
    (tmp_path / "page.html").write_text(
        "<p style='width: 900px'>Text</p><img src='none.png'>"
        "<script>console.error('of the page')</script>"
    )
    profile = tmp_path / "profile"
    found, missing, console = walk(
        browser, tmp_path, ["page.html"], (1280, 400), profile
    )
    assert missing and set(missing) == {"/none.png"}
    assert any("of the page" in line for line in console)
    assert [of["too_wide"] for of in found] == [False, True]
    assert [len(of["broken"]) for of in found] == [1, 1]


def test_pages_can_be_read_and_searched_as_files(site, tmp_path):
    browser = find_browser()
    if browser is None:
        lacks(f"browser, one of {BROWSERS}")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    options += ["--enable-logging=stderr", f"--user-data-dir={tmp_path}"]
    told = subprocess.run(
        [
            browser,
            *options,
            "--virtual-time-budget=20000",
            f"{(site / 'index.html').as_uri()}?q=learnability",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in told.stderr
    assert (
        "keras_jest.selection.learnability.html"
        in told.stdout.partition("md-search-result__list")[2].partition(
            "</nav>"
        )[0]
    )
