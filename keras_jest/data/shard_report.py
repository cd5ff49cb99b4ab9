"""Says what of the records is bad or lost, and raises if it is too much."""

import collections
import warnings

from keras_jest.data.short_name import short_name

MAX_SHOWN = 5
UNSORTED = (
    "The members of an unsorted sample are no neighbours: sort by name "
    "(`tar --sort=name`)."
)


def check_share(max_bad_share):
    """Raise unless a share is one."""
    if not 0 <= max_bad_share <= 1:
        raise ValueError(
            "Expected `max_bad_share` in [0, 1]. Received: "
            f"max_bad_share={max_bad_share}"
        )


def report_bad(
    index, names, max_bad_share, reader="TarShards", what="shards", hints=()
):
    """Warn of bad and lost samples; raise if they are too many.

    Args:
        index: `RecordIndex`.
        names: list of str. The shards' names.
        max_bad_share: float in [0, 1]. What is borne, with the estimate.
        reader: str. The class that reads them.
        what: str. What is to be mended.
        hints: sequence of `(kind, sentence)`, what may be behind one.

    Raises:
        ValueError: More is bad or lost.
    """
    lost = sum(index.report["lost"])
    missing = len(index.bad) + lost
    kinds = {kind for kind, _, _ in index.bad}
    more = [sentence for kind, sentence in hints if kind in kinds]
    found = " ".join([*describe(index, names, lost), *more])
    if missing > max_bad_share * (len(index) + missing):
        raise ValueError(
            f"Expected at most max_bad_share={max_bad_share} of the samples to "
            f"be bad or lost. Mend the {what}, leave them out or raise "
            f"`max_bad_share`. Received: {found}"
        )
    if found:
        # The caller of the reader, a class, is where it is mended.
        level = 3 if reader == "TarShards" else 4
        warnings.warn(f"{reader} skips {found}", stacklevel=level)


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
            "After the keys, which end at the "
            f"{'first' if names else 'last'} dot of a file name, refused "
            f"samples had {shown}."
        )
    if "unsorted" in counts:
        yield UNSORTED
    if "inner_pair" in foreign:
        yield (
            f"{foreign['inner_pair']} pictures with captions of their own that "
            "are parts of other samples by the first dot of their names."
        )
