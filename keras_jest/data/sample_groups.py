"""Gathers the members of a tar into groups that may be samples."""

import collections
import dataclasses

from keras_jest.data.foreign_members import foreign_kind
from keras_jest.data.foreign_members import is_note
from keras_jest.data.sample_names import Group
from keras_jest.data.sample_names import is_image
from keras_jest.data.sample_names import is_text
from keras_jest.data.sample_names import split_at_last_dot
from keras_jest.data.sample_names import split_name
from keras_jest.data.tar_members import padded

ARCHIVE_FAULTS = (
    "broken_header",
    "truncated_shard",
    "unreadable_shard",
    "zeroed_blocks",
)


@dataclasses.dataclass
class Hole:
    """A fault of the archive: its bytes, and the samples counted for it."""

    kind: str
    num_bytes: int
    counted: int = 0


class SampleGroups:
    """Iterates over the groups of a shard and keeps account of the rest.

    Neighbours with one key are a group; a picture or caption that comes again
    begins another. Members that are never read (and JSON and notes, until
    their picture or caption comes) neither end a group nor begin one, so that
    a foreign member between a picture and its caption costs nothing.

    Args:
        members: Iterable of `TarMember`s.

    Attributes: complete when the iteration has ended.
        holes: list of `Hole`s.
        foreign: Counter of members that belong to no sample, by kind.
        strays: dict of lists of `TarMember`s by key, of no group: they are
            parts of one that stands elsewhere, or no sample at all.
        covered: int. The bytes of the shard that were read as members.
        cut: bool. Whether the shard has no end.
        cut_inside: bool. Whether it ends within a member.
    """

    def __init__(self, members):
        self._members = members
        self._group = Group("", {})
        self._waiting = Group("", {})
        self._torn = {}
        self._before = None
        self._gap = None
        self._hole_bytes = 0
        self.holes = []
        self.foreign = collections.Counter()
        self.strays = collections.defaultdict(list)
        self.covered = 0
        self.cut = self.cut_inside = False

    def __iter__(self):
        for member in self._members:
            self.cut = member.fault == "truncated_shard"
            self.cut_inside = self.cut and bool(member.name or member.hole)
            kind = foreign_kind(member.name) if member.name else None
            # A damaged header may have a wrong name.
            if kind and member.fault not in ARCHIVE_FAULTS:
                self.foreign[kind] += 1
                continue
            self._keep_hole(member)
            if member.name:
                yield from self._add(member)
        yield from self._close()
        self._dismiss_waiting()

    def hole_beside(self, group):
        """Return the hole that may have torn a group, or None."""
        offsets = (member.offset for member in group.members.values())
        return next((self._torn[o] for o in offsets if o in self._torn), None)

    def _keep_hole(self, member):
        """Note a fault and its neighbours, and how far members were read."""
        if member.fault in ARCHIVE_FAULTS:
            self.holes.append(Hole(member.fault, member.hole))
            self._hole_bytes += member.hole
            if member.name:
                self._torn[member.offset] = self.holes[-1]
            elif self._before is not None:
                self._torn[self._before] = self.holes[-1]
            self._gap = None if member.name else self.holes[-1]
        elif self._gap:
            self._torn[member.offset], self._gap = self._gap, None
        if member.fault != "truncated_shard" and member.name:
            end = member.offset + padded(member.size)
            self.covered = end - self._hole_bytes
            self._before = member.offset

    def _add(self, member):
        """Put a member where it belongs; yield the groups that it ends."""
        key, extension = split_name(member.name)
        is_part = self._group.key == key and self._group.members
        if is_part and extension not in self._group.members:
            self._group.members[extension] = member
        elif waits(member, extension):
            if self._waiting.key != key:
                self._dismiss_waiting()
                self._waiting = Group(key, {})
            self._waiting.members[extension] = member
        else:
            yield from self._close()
            self._group = Group(key, {extension: member})
            if self._waiting.key == key:
                self._group.members.update(self._waiting.members)
                self._waiting = Group("", {})

    def _close(self):
        """Yield the open group."""
        if self._group.members:
            yield from split_at_last_dot(self._group)

    def _dismiss_waiting(self):
        """Put away the members that no group has asked for."""
        if self._waiting.members:
            members = self._waiting.members.values()
            self.strays[self._waiting.key].extend(members)


def waits(member, extension):
    """Return whether a member begins no group: others must come for it."""
    if is_text(extension):
        return is_note(member.name)
    return not is_image(extension)
