"""Make the packaged pictograms from npm packages.

    npm install --no-package-lock
    pip install -r requirements.txt
    python build.py

writes sheets of drawings (`train-0.webp`, ...) and what they show
(`pictograms.json`) into `keras_jest/datasets/files`.
The same versions give the same bytes. Takes some minutes.

Splits: Twemoji is the test. Of each emoji that two or more of the other
vendors drew, one drawing is curated; all the others are train. Pictures that
are equal to the last pixel are kept once.
"""

import argparse
import collections
import hashlib
import json
import multiprocessing
import pathlib

import drawing
import emoji

HERE = pathlib.Path(__file__).resolve().parent
FILES = HERE.parents[1] / "keras_jest" / "datasets" / "files"
SPLITS = ["train", "curated", "test"]
TEST_VENDOR = "twemoji"
PER_SHEET = drawing.SHEET**2
# An emoji that is "black" or "white" may well be drawn without colour.
COLOURS = emoji.COLOURS - {"black", "white"}


def number_from(*words):
    """A number that stays the same on every machine."""
    return int(hashlib.sha256(" ".join(words).encode()).hexdigest(), 16)


def all_drawings(node_modules, concepts, vendors):
    """(vendor, code points, SVG) of all that is to be drawn.

    A blue book in black and white is not blue: such drawings are left out.
    """
    index = emoji.named_emoji(node_modules, concepts)
    for vendor, fields in vendors.items():
        without_colour = fields["style"] == "black and white"
        drawings = emoji.read_drawings(
            node_modules, fields["package"], concepts, index
        )
        for code, svg in drawings.items():
            words = concepts[code]["name"].lower().split()
            if not (without_colour and COLOURS.intersection(words)):
                yield vendor, code, svg


def make_row(job):
    vendor, code, svg = job
    return {"vendor": vendor, "code": code, "picture": drawing.draw(svg)}


def without_equal_pictures(rows, concepts):
    """One row of those that show the same pixels: a test row if there is one,
    the flag with the shortest name, else the first in emoji order."""
    places = {code: place for place, code in enumerate(concepts)}

    def rank(row):
        fields = concepts[row["code"]]
        length = len(fields["name"]) if fields["group"] == "flags" else 0
        return row["vendor"] != TEST_VENDOR, length, places[row["code"]]

    seen, kept = set(), []
    for row in sorted(rows, key=rank):
        pixels = row["picture"].tobytes()
        if pixels not in seen:
            kept.append(row)
        seen.add(pixels)
    return kept


def assign_splits(rows):
    """Set `row["split"]` of all rows."""
    drawn_by = collections.defaultdict(list)
    for row in rows:
        row["split"] = "test" if row["vendor"] == TEST_VENDOR else "train"
        if row["split"] == "train":
            drawn_by[row["code"]].append(row)
    for code, candidates in drawn_by.items():
        if len(candidates) > 1:
            candidates.sort(key=lambda row: number_from(row["vendor"], code))
            candidates[0]["split"] = "curated"


def write(rows, concepts, vendors, folder):
    """The pictures as sheets, what they show as one JSON."""
    rows.sort(key=lambda row: number_from("order", row["vendor"], row["code"]))
    used = {row["code"] for row in rows}
    tables = {
        "vendors": [{"vendor": key, **vendors[key]} for key in vendors],
        "emoji": [
            {"codepoints": code, **fields}
            for code, fields in concepts.items()
            if code in used
        ],
    }
    folder.mkdir(exist_ok=True)
    for split in SPLITS:
        members = [row for row in rows if row["split"] == split]
        tables[split] = [f"{row['vendor']}-{row['code']}" for row in members]
        pictures = [row["picture"] for row in members]
        for number, first in enumerate(range(0, len(pictures), PER_SHEET)):
            drawing.save_sheet(
                pictures[first : first + PER_SHEET],
                folder / f"{split}-{number}.webp",
            )
    (folder / "pictograms.json").write_text(json_lines(tables), "utf-8")


def json_lines(tables):
    """JSON with one record a line, so that a change of one shows as one."""
    parts = []
    for title, records in tables.items():
        lines = [json.dumps(r, ensure_ascii=False) for r in records]
        parts.append(f"{json.dumps(title)}: [\n" + ",\n".join(lines) + "\n]")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--node-modules", type=pathlib.Path, default=HERE / "node_modules"
    )
    parser.add_argument("--out", type=pathlib.Path, default=FILES)
    arguments = parser.parse_args()
    vendors = json.loads((HERE / "vendors.json").read_text("utf-8"))
    concepts = emoji.read_emoji(arguments.node_modules)
    jobs = list(all_drawings(arguments.node_modules, concepts, vendors))
    with multiprocessing.Pool(2) as pool:
        rows = pool.map(make_row, jobs, chunksize=32)
    visible = [row for row in rows if drawing.is_visible(row["picture"])]
    kept = without_equal_pictures(visible, concepts)
    assign_splits(kept)
    write(kept, concepts, vendors, arguments.out)
    counts = collections.Counter((r["split"], r["vendor"]) for r in kept)
    for (split, vendor), count in sorted(counts.items()):
        print(f"{split:8} {vendor:13} {count:5}")
    print(f"blank {len(rows) - len(visible)}", end=", ")
    print(f"equal {len(visible) - len(kept)}, kept {len(kept)}")


if __name__ == "__main__":
    main()
