"""Says what of the shards is bad or lost, and raises if it is too much."""

import collections
import warnings

from keras_jest.data.short_name import short_name

MAX_SHOWN = 5


def report_bad(index, names, max_bad_share):
    """Warn of bad and lost samples; raise if they are too many.

    Args:
        index: `ShardIndex`.
        names: list of str. The shards' names.
        max_bad_share: float in [0, 1]. What is borne, with the estimate.

    Raises:
        ValueError: More is bad or lost.
    """
    lost = sum(index.report["lost"])
    missing = len(index.bad) + lost
    found = " ".join(describe(index, names, lost))
    if missing > max_bad_share * (len(index) + missing):
        raise ValueError(
            f"Expected at most max_bad_share={max_bad_share} of the samples to "
            "be bad or lost. Mend the shards, leave them out or raise "
            f"`max_bad_share`. Received: {found}"
        )
    if found:
        # The caller of `TarShards` is where it is mended.
        warnings.warn(f"TarShards skips {found}", stacklevel=3)


def describe(index, names, lost):
    """Yield sentences about what is missing, none if all is sound."""
    bad, foreign = index.bad, index.report["foreign"]
    counts = dict(collections.Counter(kind for kind, _, _ in bad))
    if bad:
        shown = [tuple(map(short_name, sample)) for sample in bad[:MAX_SHOWN]]
        total = len(index) + len(bad) + lost
        yield f"{len(bad)} bad samples of {total}: {counts}, such as {shown}."
    if lost:
        shares = dict(zip(names, index.report["lost"], strict=True))
        worst = sorted(filter(shares.get, shares), key=shares.get)[::-1]
        shown = {short_name(name): shares[name] for name in worst[:MAX_SHOWN]}
        yield (
            f"By estimate about {lost} more are lost in holes and behind cuts "
            f"of {len(worst)} shards: {shown}."
        )
    if index.report["endings"]:
        shown = list(map(short_name, index.report["endings"]))[: 2 * MAX_SHOWN]
        yield (
            "After the keys, which end at the first dot of a file name, "
            f"refused samples had {shown}."
        )
    if "unsorted" in counts:
        yield (
            "The members of an unsorted sample are no neighbours: sort by name "
            "(`tar --sort=name`)."
        )
    if "inner_pair" in foreign:
        yield (
            f"{foreign['inner_pair']} pictures with captions of their own that "
            "are parts of other samples by the first dot of their names."
        )
