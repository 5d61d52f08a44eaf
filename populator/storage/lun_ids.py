"""LUN ids: those that ESXi sees, and which of them to ask for.

Left to itself, an array gives the lowest that is free, or counts on past those that ESXi sees. The lowest may have been
another LUN's until a second ago, and a host that still has a path to that one refuses the new LUN's path by it. So each
driver asks for an id that is hardly ever that of the LUN before: by the volume's number or name, or by chance.
"""

from zlib import crc32

from populator.errors import StorageError

SEEN = range(1024)
"""by ESXi: those below Disk.MaxLUN, whose default 1024 is"""
USABLE = range(1, SEEN.stop)
"""those to ask for: 0 is left to what arrays put there themselves"""


def by_number(number: int, among: range = USABLE) -> int:
    """Return the LUN id to ask for: another one for each of as many volumes in a row as there are ids."""
    return among[number % len(among)]


def by_name(name: str, among: range = USABLE) -> int:
    """Return the LUN id to ask for where only a name distinguishes volumes."""
    return by_number(crc32(name.encode()), among)


def unseen(fact: str, hint: str) -> StorageError:
    """Return the error for a LUN under an id that no host looks at; the fact says which one, and where."""
    return StorageError(
        f"{fact}, which ESXi hosts do not see: they look at {SEEN.start} to {SEEN.stop - 1}.", hint
    )


def none_free(array: str, group: str, hint: str) -> StorageError:
    """Return the error for a group all of whose LUN ids are taken."""
    return StorageError(
        f"{array} has no LUN id below {SEEN.stop} left for {group}, and ESXi hosts do not see others.", hint
    )
