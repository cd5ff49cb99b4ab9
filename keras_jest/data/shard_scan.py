"""The account of one shard: its sound samples, its bad ones, the rest."""

import collections
from typing import NamedTuple

import numpy as np

from keras_jest.data.bad_sample import BadSample
from keras_jest.data.foreign_members import is_side_file
from keras_jest.data.sample_groups import ARCHIVE_FAULTS
from keras_jest.data.sample_names import lost_keys
from keras_jest.data.sample_names import paired_stems
from keras_jest.data.sample_names import split_name
from keras_jest.data.sample_names import stem_of
from keras_jest.data.tar_members import TarMember

READ_APART = ("json", "txt")
INCOMPLETE = ("missing_image", "missing_caption")
MAX_ENDINGS = 10


class Sample(NamedTuple):
    """A sound sample: its key and the members to read; `json` may be None."""

    key: str
    image: TarMember
    text: TarMember
    json: TarMember | None


class ShardScan:
    """What was found in a shard.

    Args:
        shard: str. Its name in the report.

    Attributes: from the holes on they are known when it was closed.
        samples: list of `Sample`s, until it is closed.
        bad: list of `BadSample`s, one for each picture.
        endings: Counter of what follows the keys of refused groups.
        foreign: Counter of members that are no part of a sample, by kind.
        holes: list of `Hole`s.
        covered: int. The bytes in which samples, sound or bad, were found.
        is_whole: bool. Whether it has samples, and its end.
        is_cut: bool. Whether it ends within a sample.
        num_samples: int.
        spans: Array of shape `(num_samples, 3, 2)`, int64, as in `ShardIndex`.
        keys: bytes. All keys in UTF-8, end to end.
        key_sizes: Array of shape `(num_samples,)`, int64.
    """

    def __init__(self, shard):
        self.shard = shard
        self.samples = []
        self.bad = []
        self.endings = collections.Counter()
        self.foreign = collections.Counter()

    def refuse(self, kind, group, hole):
        """Count the pictures of a group as bad.

        If something is missing, the hole beside it has torn it apart.
        """
        keys = lost_keys(group)
        if hole and kind in (*INCOMPLETE, hole.kind):
            kind, hole.counted = hole.kind, hole.counted + len(keys)
        elif kind in (*INCOMPLETE, "several_images"):
            self.endings.update(list(group.members))
        self.bad += [BadSample(kind, self.shard, key) for key in keys]

    def keep(self, sample, group):
        """Take a sound sample; count the pairs of other names within it."""
        self.samples.append(sample)
        if len(group.members) > 3:
            inner = paired_stems(group) - {stem_of(sample.image.name)}
            self.foreign.update(inner_pair=len(inner))

    def close(self, groups, keys):
        """Add what the groups' account says, all of them having been seen."""
        self._count_strays(groups.strays, keys)
        self.foreign.update(groups.foreign)
        self.holes, self.covered = groups.holes, groups.covered
        is_empty = not (self.samples or self.bad)
        if is_empty and self.holes:
            self.holes[0].kind = "unreadable_shard"
        elif is_empty:
            self.bad.append(BadSample("empty_shard", self.shard, ""))
        self.is_whole = not (is_empty or groups.cut)
        torn = groups.cut and self.holes[-1].counted > 0
        self.is_cut = not is_empty and (torn or groups.cut_inside)
        for hole in self.holes:
            if not hole.counted:
                self.bad.append(BadSample(hole.kind, self.shard, ""))
        self._pack_samples()
        self.endings = dict(self.endings.most_common(MAX_ENDINGS))
        self.foreign = dict(+self.foreign)

    def _pack_samples(self):
        """Keep arrays alone: a million samples would take a gigabyte."""
        keys = [sample.key.encode("utf-8") for sample in self.samples]
        spans = [spans_of(sample) for sample in self.samples]
        self.num_samples = len(spans)
        self.spans = np.array(spans, "int64").reshape(-1, 3, 2)
        self.keys = b"".join(keys)
        self.key_sizes = np.array([len(key) for key in keys], "int64")
        self.samples = None

    def _count_strays(self, strays, keys):
        """Count members of no group; join those that stand apart."""
        apart = []
        for key, members in strays.items():
            names = [m.name for m in members if m.fault not in ARCHIVE_FAULTS]
            endings = [split_name(name)[1] for name in names]
            if key in keys:
                apart += [key for ending in endings if ending in READ_APART]
            elif all(map(is_side_file, names)):
                self.foreign["side_file"] += len(names)
            else:
                self.bad.append(BadSample("not_a_sample", self.shard, key))
                self.endings.update(endings)
        self.bad = join_apart(self.bad, self.shard, apart)


def spans_of(sample):
    """Return offset and size of picture, caption and JSON."""
    members = (sample.image, sample.text, sample.json)
    return [(m.offset, m.size) if m else (0, 0) for m in members]


def join_apart(bad, shard, apart):
    """Count a sample whose members are no neighbours once, as `unsorted`.

    `apart` are the keys of those of which more is known to be elsewhere.
    """
    kinds = collections.defaultdict(set)
    for sample in bad:
        kinds[sample.key].add(sample.kind)
    unsorted = [key for key in kinds if kinds[key].issuperset(INCOMPLETE)]
    unsorted = dict.fromkeys(unsorted + apart)
    rest = [
        sample
        for sample in bad
        if sample.kind not in INCOMPLETE or sample.key not in unsorted
    ]
    return rest + [BadSample("unsorted", shard, key) for key in unsorted]
