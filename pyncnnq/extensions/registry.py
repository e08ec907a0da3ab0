"""A registry: what has a name, in the order in which help texts and errors list it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from pyncnnq.errors import PyncnnqError

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Named things of one kind: those of this package, then those of other packages.

    Another package adds one by an entry point whose name is the thing's name, in its pyproject.toml:

        [project.entry-points."pyncnnq.methods"]
        median = "my_package:MEDIAN"

    Entry points are looked up when a name is not known, or all names are asked for: that takes some milliseconds.
    """

    def __init__(self, group: str, what: str, built_in: Mapping[str, T], accepts: Callable[[object], bool]) -> None:
        """Take the things of this package.

        Args:
            group: entry points of the group `pyncnnq.GROUP` are added.
            what: how errors call one of them, such as "method".
            built_in: the things of this package, by name.
            accepts: whether what an entry point loads is such a thing.
        """
        self.group = group
        self._what = what
        self._accepts = accepts
        self._known = dict(built_in)
        self._complete = False

    def __getitem__(self, name: str) -> T:
        """Return the thing of that name.

        Raises:
            PyncnnqError: there is none; the message lists all names.
        """
        if name not in self._known:
            self._add_entry_points()
        if name not in self._known:
            raise PyncnnqError(f"unknown {self._what} {name!r}; there are: {', '.join(self._known)}")
        return self._known[name]

    def __contains__(self, name: object) -> bool:
        if name not in self._known:
            self._add_entry_points()
        return name in self._known

    def get(self, name: str, default: T | None = None) -> T | None:  # type: ignore[override]
        """Return the thing of that name, or the default."""
        if name in self._known:  # first, as every look at a layer asks
            return self._known[name]
        return self._known[name] if name in self else default

    def __iter__(self) -> Iterator[str]:
        self._add_entry_points()
        return iter(self._known)

    def __len__(self) -> int:
        self._add_entry_points()
        return len(self._known)

    def _add_entry_points(self) -> None:
        if self._complete:
            return
        self._complete = True
        from importlib.metadata import entry_points  # here, as it takes longer to import than all layer types

        for point in entry_points(group=f"pyncnnq.{self.group}"):
            origin = f"entry point {point.name} = {point.value} of {point.dist.name if point.dist else 'a package'}"
            if point.name in self._known:
                raise PyncnnqError(f"{origin}: there is a {self._what} of this name already; rename or uninstall one")
            try:
                thing = point.load()
            except Exception as error:  # whatever the other package raises while it is imported
                raise PyncnnqError(f"{origin}: cannot be loaded: {type(error).__name__}: {error}") from error
            if not self._accepts(thing):
                raise PyncnnqError(f"{origin}: is no {self._what}: found {thing!r}; CONTRIBUTING.md has an example")
            self._known[point.name] = thing
