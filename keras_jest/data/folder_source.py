"""A folder of pictures with side texts, as a source of entries."""

import collections
import json
import os

from keras_jest.data.entry import Entry
from keras_jest.data.entry import read_part
from keras_jest.data.fingerprint import digest
from keras_jest.data.folder_files import folder_files
from keras_jest.data.folder_files import stats_of
from keras_jest.data.foreign_members import is_note
from keras_jest.data.sample_names import is_image
from keras_jest.data.sample_names import is_text
from keras_jest.data.sample_names import stem_of

MAX_ENDINGS = 10
# Pictures that `decode_image` does not take.
UNREAD_IMAGES = "avif bmp gif heic heif jp2 jxl tif tiff".split()


class FolderSource:
    """The pictures of a folder, by their names up to the last dot.

    Args:
        path: str. The folder.

    Attributes:
        name: str. What it is called in a report.
        bad: list of `(kind, name, key)`, of what is no entry.
        foreign: dict of counts of files that are part of no sample.
        endings: dict of counts of what files of refused samples end in.
    """

    WHAT = "files"
    FIELD = "a field of the JSON"
    hints = (
        ("missing_caption", "Captions in one file are read by `CaptionTable`."),
    )

    def __init__(self, path):
        self.path = path
        self.name = os.path.basename(path)
        files, foreign, unreadable = folder_files(path)
        self.foreign = collections.Counter(foreign)
        self.bad = [("unreadable_folder", self.name, of) for of in unreadable]
        self.endings = collections.Counter()
        self.samples = []
        groups = collections.defaultdict(list)
        for file in files:
            groups[stem_of(file)].append(file)
        for stem in sorted(groups):
            self.samples += self._samples_of(stem, groups[stem])
        self.endings = dict(self.endings.most_common(MAX_ENDINGS))
        self.foreign = dict(self.foreign)

    def _samples_of(self, stem, files):
        """The entries, one a picture, of files that share a stem."""
        by_kind = collections.defaultdict(list)
        for file in files:
            by_kind[kind_of(file)].append(file)
        images, texts = by_kind["image"], by_kind["text"]
        is_sample = images or texts or by_kind["unread"]
        if not is_sample or (not images and all(map(is_note, files))):
            self.foreign["side_file"] += len(files)
            return []
        fault = None
        if not images:
            fault = "missing_image" if texts else "not_a_sample"
            self.endings.update(map(ending_of, by_kind["unread"]))
        elif len(images) > 1:
            fault = "several_images"
        elif len(texts) > 1:
            fault = "several_captions"
        text, fields = (
            of[0] if of else None for of in (texts, by_kind["json"])
        )
        if len(images) > 1:
            return [(file, file, text, fields, fault) for file in images]
        image = images[0] if images else None
        return [(stem, image, text, fields, fault)]

    def __len__(self):
        return len(self.samples)

    def entries(self, start, stop):
        """Yield the entries of some rows."""
        for name, *files, fault in self.samples[start:stop]:
            paths = (of and os.path.join(self.path, of) for of in files)
            yield Entry(name, *paths, fault)

    def read(self, row):
        """Return an entry, and its fields: its JSON and its `"folder"`."""
        (entry,) = self.entries(row, row + 1)
        fields = json.loads(read_part(entry.json)) if entry.json else {}
        return entry, {"folder": os.path.dirname(entry.name), **fields}

    def column(self, name, rows):
        """A field of some rows: list."""
        return [self.read(row)[1].get(name) for row in rows.tolist()]

    def short_names(self, names):
        """They are short already."""
        return names

    def stamp(self):
        """What an index depends on, as JSON has it."""
        files = [of for _, *some, _ in self.samples for of in some if of]
        stats = stats_of([os.path.join(self.path, of) for of in files])
        return {"files": digest("\n".join(files), stats)}


def kind_of(file):
    """Which part of a sample a file is by its ending."""
    ending = ending_of(file)
    if is_image(ending):
        return "image"
    if is_text(ending):
        return "text"
    if ending in UNREAD_IMAGES:
        return "unread"
    return "json" if ending == "json" else "other"


def ending_of(file):
    return os.path.splitext(file)[1][1:].lower()
