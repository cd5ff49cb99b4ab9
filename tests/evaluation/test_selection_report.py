"""The page holds what it should, whatever the captions say."""

import base64
import html.parser
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from made_run import SETTINGS
from made_run import MadeRun
from made_run import make_records
from PIL import Image

from keras_jest.data import CaptionedFolder
from keras_jest.data import TarShards
from keras_jest.evaluation import report_galleries
from keras_jest.evaluation import selection_report
from keras_jest.evaluation import selection_tables
from keras_jest.evaluation.shown_text import shown_text

for name in ("pyarrow", "jinja2", "matplotlib"):
    pytest.importorskip(name)
pytestmark = pytest.mark.once

HOSTILE = [
    "<script>document.title = 'taken'</script>",
    '"><img src=x onerror="alert(\'x\')">',
    "{{ 7 * 7 }} {% raw %} &amp; &lt;b&gt;",
    "\u202eright to left\u2066 \u05d0\u05d1",
    "nul \x00 bell \x07 half \ud800 end",
    "$\\frac{1}$ _underscore 你好 🦊",
    "long " * 5_000,
]
SECTIONS = ["learnability", "kept", "matrix", "pictures", "groups"]


class Page(html.parser.HTMLParser):
    """What a page is made of, as a parser of HTML reads it."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.sources, self.ids, self.texts = set(), [], [], []
        self.text = path.read_text("utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.add(tag)
        assert not any(name.startswith("on") for name in attrs)
        addresses = [attrs[of] for of in ("src", "href") if of in attrs]
        assert all(of.startswith(("data:", "#")) for of in addresses)
        if tag == "img":
            self.sources += addresses
        if tag == "section":
            self.ids.append(attrs["id"])

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture
def records():
    return make_records(captions=HOSTILE)


def write(records, tmp_path, columns=("source",), num_shown=24, **kwargs):
    log = MadeRun(records).write(tmp_path / "log", **kwargs)
    path = tmp_path / "page.html"
    selection_report(log, records, path, columns, num_shown)
    return Page(path)


def test_the_page_holds_all_and_asks_for_nothing(records, tmp_path):
    records[0]["source"] = HOSTILE[0]
    records[3]["source"] = HOSTILE[5]
    page = write(records, tmp_path, num_shown=40)
    assert page.ids == SECTIONS
    assert "script" not in page.tags and "link" not in page.tags
    assert "url(" not in page.text
    for caption in HOSTILE:
        assert shown_text(caption) in page.texts
    # Below the first 32 no character has a place in HTML but these.
    assert not set(map(chr, range(32))) & set(page.text) - {"\n"}
    assert "missing" not in page.text.partition("<body>")[2]
    kinds = [of.partition(";")[0] for of in page.sources]
    assert kinds.count("data:image/svg+xml") == 4
    # Of 40 records 2 are never seen, and some are always kept or dropped.
    assert kinds.count("data:image/jpeg") > 40
    for source in page.sources:
        data = base64.b64decode(source.partition(",")[2])
        if "jpeg" in source[:20]:
            Image.open(io.BytesIO(data)).load()
    assert sorted(of.name for of in tmp_path.iterdir()) == [
        "log",
        "log.steps",
        "page.html",
    ]


def test_galleries_are_in_order(records, tmp_path):
    run = MadeRun(records, num_steps=30)
    log = run.write(tmp_path / "log")
    table = selection_tables(log, records)["records"]
    kept, seen = (table[of].to_pylist() for of in ("kept", "seen"))
    most, dropped, never = (
        rows.tolist() for *_, rows in report_galleries.chosen_records(table)
    )
    assert sorted(never) == [38, 39]
    assert [kept[of] for of in most] == sorted(filter(None, kept))[::-1]
    left = [seen[of] - kept[of] for of in dropped]
    assert left == sorted(left)[::-1] and left[-1] > 0
    assert len(left) == sum(a > b for a, b in zip(seen, kept, strict=True))


def test_a_card_tells_what_is_known_of_its_record(records, tmp_path):
    log = MadeRun(records).write(tmp_path / "log")
    page = tmp_path / "page.html"
    tables = selection_report(log, records, page, num_shown=40)
    text = page.read_text("utf-8")
    for line in tables["records"].to_pylist():
        if line["seen"]:
            card = text.partition(f'title="{line["key"]}">')[2]
            assert card.startswith(f"<bdi>{line['record']:03d}</bdi><br>")
            numbers = f"kept {line['kept']}, left out {line['dropped']}"
            if line["score"] is not None:
                numbers += f"<br>score {line['score']:+.2f}"
            assert card.partition("</div>")[0].endswith(numbers)


def test_sections_say_of_how_many_steps_they_know(records, tmp_path):
    run = MadeRun(records)
    run.write(tmp_path / "log")
    run.seen, run.shots = run.seen[:5], run.shots[:5]
    run.rows, run.scores = run.rows[:5], run.scores[:5]
    run.kept, run.seen_scores = run.kept[:5], run.seen_scores[:5]
    run.write(tmp_path / "short")
    (tmp_path / "short.steps").replace(tmp_path / "log.steps")
    page = tmp_path / "page.html"
    selection_report(tmp_path / "log", records, page, ["class"])
    text = page.read_text("utf-8")
    assert text.count("Only 5 of 9 steps tell which rows were seen") == 2


@pytest.mark.parametrize(
    "score, expected",
    [
        ("learnability", "both curves fall"),
        ("easy_reference", "Minus the reference"),
        ("hard_learner", "The learner&#39;s loss on a row"),
        ({"class_name": "mine"}, "does not read counts 0"),
    ],
)
def test_the_page_says_what_the_score_was(
    records, tmp_path, monkeypatch, score, expected
):
    policy = {"class_name": "Policy"}
    policy["config"] = {"score": score, "gain": 2.0, "trainable": True}
    monkeypatch.setitem(SETTINGS, "selection", policy)
    write(records, tmp_path)
    text = (tmp_path / "page.html").read_text("utf-8")
    assert text.count(expected) == 1
    title = "Learnability" if score == "learnability" else "Scores"
    assert f"<h2>{title}</h2>" in text
    assert "gain 2.0" in text and "trainable" not in text
    assert "by the sigmoid loss" in text


def test_sections_say_what_would_fill_them(records, tmp_path):
    page = write(records, tmp_path, (), keep_seen=False, snapshots=False)
    text = " ".join(page.texts)
    assert page.ids == SECTIONS
    assert text.count("snapshot_every=500") == 1
    assert text.count("keep_seen=True") == 1
    assert "the first has: class, source." in text
    assert "Never kept" in text and "Never seen" not in text


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_run_that_scored_nothing_is_told_as_that(records, tmp_path):
    run = MadeRun(records)
    nothing = np.float32("nan")
    run.scores = [np.full(4, nothing)] * len(run.scores)
    run.seen_scores = [nothing] * len(run.scores)
    log = run.write(tmp_path / "log", snapshots=False)
    tables = selection_report(log, records, tmp_path / "page.html")
    text = " ".join(Page(tmp_path / "page.html").texts)
    assert text.count("This run scored nothing") == 1
    assert "earlier version" not in text
    for name in ("steps", "records"):
        assert tables[name]["score"].null_count == len(tables[name])


def test_a_picture_that_is_gone_has_a_place(records, tmp_path):
    """Of shards that were lost since, and of what is no picture."""
    tar = tmp_path / "00000.tar"
    with tarfile.open(tar, "w") as file:
        for row, record in enumerate(records):
            for end, data in (
                ("png", record["image"]),
                ("txt", b"caption"),
                ("json", json.dumps({"class": row % 5}).encode()),
            ):
                member = tarfile.TarInfo(f"{row:03d}.{end}")
                member.size = len(data)
                file.addfile(member, io.BytesIO(data))
    shards = TarShards(tar, verbose=0)
    known = [{"key": f"{row:03d}", "shard": "00000.tar"} for row in range(40)]
    log = MadeRun(known).write(tmp_path / "log")
    page = tmp_path / "page.html"
    tables = selection_report(log, shards, page, ["shard", "class"])
    assert report_galleries.UNREADABLE not in page.read_text("utf-8")
    groups = tables["groups"].to_pylist()
    assert {of["value"] for of in groups} == {"00000.tar", *"01234"}
    os.truncate(tar, 2048)
    cards = report_galleries.galleries(tables["records"], shards, 5)[0].cards
    assert [of["picture"] for of in cards] == [None] * 5
    assert cards[0]["trouble"] == report_galleries.UNREADABLE
    lost = [{**of, "text": "caption", "image": b"none"} for of in known]
    selection_report(log, lost, page)
    assert page.read_text("utf-8").count(report_galleries.UNREADABLE) > 10


def test_the_first_picture_may_be_gone(records, tmp_path):
    for record in records:
        (tmp_path / f"{record['key']}.png").write_bytes(record["image"])
        (tmp_path / f"{record['key']}.txt").write_text("a caption")
    folder = CaptionedFolder(tmp_path, verbose=0)
    known = [{"key": of["key"]} for of in records]
    log = MadeRun(known).write(tmp_path / "log")
    (tmp_path / "000.png").unlink()
    selection_report(log, folder, tmp_path / "page.html")
    assert "Sources and classes" in (tmp_path / "page.html").read_text()


def test_a_picture_that_a_new_reader_does_not_find(records, tmp_path):
    """It is told as lost, and the page shows all others."""
    run = MadeRun(records)
    log = run.write(tmp_path / "log")
    counts = np.bincount(np.concatenate(run.kept), minlength=40)
    lost = int(np.flatnonzero(counts == 1)[0])
    others = [*records[:lost], *records[lost + 1 :]]
    selection_report(log, others, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text("utf-8")
    assert text.count("records that are not there any more: 1.") == 1


def test_a_page_that_is_too_large_has_fewer_pictures(
    records, tmp_path, monkeypatch
):
    """Half as many, until it is not: here of 4 figures and 40 pictures."""
    module = sys.modules[selection_report.__module__]
    monkeypatch.setattr(module, "MOST_BYTES", 260_000)
    page = write(records, tmp_path)
    assert len(page.text.encode()) < 260_000
    assert 4 < len(page.sources) < 44
    monkeypatch.setattr(module, "MOST_BYTES", 20_000)
    with pytest.warns(UserWarning, match="Name fewer columns"):
        write(records, tmp_path)


def test_nothing_is_written_if_something_is_wrong(records, tmp_path):
    log = MadeRun(records).write(tmp_path / "log")
    page = tmp_path / "page.html"
    page.write_text("older")
    for arguments, message in (
        ((log, records[:5], page), "not among these 5"),
        ((log, records, page, ["colour"]), "colour"),
        ((page, records, page), "wrote"),
        ((log, records, page, (), 0), "num_shown=0"),
        ((log, records, tmp_path / "none" / "page.html"), "folder"),
    ):
        with pytest.raises(ValueError, match=message):
            selection_report(*arguments)
    assert page.read_text() == "older"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("os.replace", None)
        with pytest.raises(TypeError):
            selection_report(log, records, page)
    assert page.read_text() == "older"
    assert not list(tmp_path.glob("*.part"))


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LOOK = """
<script>
addEventListener("load", () => {
  const images = [...document.images];
  const found = {
    broken: images.filter(of => !of.naturalWidth).length,
    images: images.length,
    visible: [...document.querySelectorAll("section")].filter(
      of => of.checkVisibility() && of.offsetHeight > 60
        && of.offsetWidth > 300).map(of => of.id),
    wide: document.documentElement.scrollWidth > innerWidth,
  };
  document.title = "found:" + JSON.stringify(found) + ":";
});
</script></body>"""


@pytest.mark.slow
def test_a_browser_shows_it(records, tmp_path):
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"there is no browser: one of {BROWSERS}")
    page = write(records, tmp_path)
    told = look(browser, tmp_path / "page.html", tmp_path)
    assert "CONSOLE" not in told.stderr
    # The page allows no script: the one that looks needs a page that does.
    text = re.sub('<meta http-equiv="Content-Security.*', "", page.text)
    (tmp_path / "look.html").write_text(text.replace("</body>", LOOK), "utf-8")
    told = look(browser, tmp_path / "look.html", tmp_path)
    assert "CONSOLE" not in told.stderr
    found = re.search(r"<title>found:(.*?):</title>", told.stdout)
    assert json.loads(found[1]) == {
        "broken": 0,
        "images": len(page.sources),
        "visible": SECTIONS,
        "wide": False,
    }


def look(browser, page, folder):
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    options += ["--enable-logging=stderr", f"--user-data-dir={folder}/profile"]
    return subprocess.run(
        [browser, *options, page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
