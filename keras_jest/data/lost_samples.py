"""Estimates how many samples are missing from shards beyond the bad ones."""

import math


def estimate_lost(scans):
    """Return about how many more samples each shard held than were counted.

    - A hole held as many as its bytes take up elsewhere in the shard, or in
      the others where nothing is left of it.
    - A shard without an end, or without samples, held as many as the mean of
      those that are whole. Where none is, one that ends within a sample is
      taken to be cut in the middle: all places are as likely.

    Args:
        scans: list of `ShardScan`s.

    Returns:
        A list of ints. What is in `bad` is not in it.
    """
    size = bytes_per_sample(scans)
    totals = []
    for scan in scans:
        own = bytes_per_sample([scan]) or size
        lost = sum(lost_in_hole(hole, own) for hole in scan.holes)
        totals.append(counted(scan) + lost)
    mean = round(mean_shard(scans, totals))
    return [
        (total if scan.is_whole else max(total, mean)) - counted(scan)
        for scan, total in zip(scans, totals, strict=True)
    ]


def counted(scan):
    """Return how many samples of a shard are kept or listed as bad."""
    return scan.num_samples + len(scan.bad)


def bytes_per_sample(scans):
    """Return the mean size in a tar of the samples found, or 0."""
    covered = sum(scan.covered for scan in scans)
    found = sum(num_covered(scan) for scan in scans)
    return covered / found if found else 0


def num_covered(scan):
    """Return how many samples lie in the covered bytes, of torn ones half."""
    torn = sum(hole.counted for hole in scan.holes)
    named = sum(1 for sample in scan.bad if sample.key)
    return scan.num_samples + named - torn / 2


def lost_in_hole(hole, size):
    """Return how many samples of `size` bytes a hole had beyond the counted.

    Of one that it tore apart, which is counted, half is taken to lie in it.
    """
    if not size:
        return 0
    torn = hole.counted / 2 if hole.counted else 1
    return max(0, math.floor(hole.num_bytes / size - torn + 0.5))


def mean_shard(scans, totals):
    """Return how many samples a shard holds in the mean, 0 if none has any."""
    pairs = list(zip(scans, totals, strict=True))
    known = [total for scan, total in pairs if scan.is_whole]
    if not known:
        known = [
            total * (2 if scan.is_cut else 1)
            for scan, total in pairs
            if scan.covered
        ]
    return sum(known) / len(known) if known else 0
