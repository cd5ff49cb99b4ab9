"""Counts of a run: by record, by step, and by group over time."""

import numpy as np

NUM_BINS = 60


class Tally:
    """Adds up what was seen and what was kept.

    What was seen comes first. Records that are not there any more, -1, count
    in their steps alone.

    Args:
        num_records: int.
        steps: int array, the steps of the log, ascending.
        codes: dict, by the name of a column, of int arrays of shape
            `(num_records,)`: the group of each record.
    """

    def __init__(self, num_records, steps, codes):
        self.steps, self.codes = steps, codes
        self.kept = np.zeros(num_records, "int64")
        self.seen = self.dropped = None
        self.score_sums = np.zeros(num_records)
        self.num_scores = np.zeros(num_records, "int64")
        self.by_step = {
            "kept": np.zeros(len(steps), "int64"),
            "seen": np.full(len(steps), -1),
            "score": np.zeros(len(steps)),
            "num_scores": np.zeros(len(steps), "int64"),
            "seen_score": np.full(len(steps), np.nan),
            "first_time": np.zeros(len(steps), "int64"),
            "lost": np.zeros(len(steps), "int64"),
        }
        edges = np.linspace(0, len(steps), min(NUM_BINS, len(steps)) + 1)
        self.bin_starts = edges[:-1].astype("int64")
        self.groups = {"kept": self._no_groups(), "seen": self._no_groups()}

    def _no_groups(self):
        shape = len(self.bin_starts)
        return {
            name: np.zeros((shape, of.max() + 1), "int64")
            for name, of in self.codes.items()
        }

    def add_picks(self, picks):
        """Take in `Picks`, whole steps and later than all before."""
        lines = np.searchsorted(self.steps, picks.step)
        finite = np.isfinite(picks.score)
        by_step = self.by_step
        np.add.at(by_step["kept"], lines, 1)
        np.add.at(by_step["num_scores"], lines, finite)
        np.add.at(by_step["score"], lines, np.where(finite, picks.score, 0.0))
        by_step["seen_score"][lines] = picks.seen_score
        known = picks.record >= 0
        np.add.at(by_step["lost"], lines[~known], 1)
        self.add_scores(picks.record, picks.score)
        self._add_kept(lines[known], picks.record[known])

    def _add_kept(self, lines, kept):
        records, first = np.unique(kept, return_index=True)
        is_new = self.kept[records] == 0
        np.add.at(self.by_step["first_time"], lines[first[is_new]], 1)
        np.add.at(self.kept, kept, 1)
        if self.seen is not None:
            is_told = self.by_step["seen"][lines] >= 0
            np.subtract.at(self.dropped, kept[is_told], 1)
        self._add_groups("kept", lines, kept)

    def add_seen(self, step, records):
        """Take in the records of a super-batch of the log."""
        line = np.searchsorted(self.steps, step)
        if line == len(self.steps):
            return
        if self.seen is None:
            self.seen, self.dropped = np.zeros((2, len(self.kept)), "int64")
        self.by_step["seen"][line] = len(records)
        known = records[records >= 0]
        np.add.at(self.seen, known, 1)
        np.add.at(self.dropped, known, 1)
        self._add_groups("seen", np.full(len(known), line), known)

    def add_scores(self, records, scores):
        """Take in scores; those that are not finite are left out."""
        finite = np.isfinite(scores) & (records >= 0)
        np.add.at(self.score_sums, records[finite], scores[finite])
        np.add.at(self.num_scores, records[finite], 1)

    def _add_groups(self, what, lines, records):
        bins = np.searchsorted(self.bin_starts, lines, side="right") - 1
        for name, codes in self.codes.items():
            np.add.at(self.groups[what][name], (bins, codes[records]), 1)
