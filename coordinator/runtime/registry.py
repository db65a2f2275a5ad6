"""Who is called what: ids are unique in the whole tree and keep their owner over restarts."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .errors import ChildExists, UnknownChild

if TYPE_CHECKING:
    from .child import Child, Owner

__all__ = ["Registry"]


class Registry:
    """Id → child. One thread and no await: a restarting child is never without its name."""

    def __init__(self) -> None:
        self._children: dict[str, Child] = {}
        self._reserved: dict[str, Owner] = {}
        self._reservations: dict[Owner, set[str]] = {}

    def __contains__(self, id: str) -> bool:  # noqa: A002
        return id in self._children

    def __len__(self) -> int:
        return len(self._children)

    def add(self, child: "Child") -> None:
        """Give the child its name; ChildExists if somebody has it."""
        known = self._children.get(child.id)
        if known is not None:
            raise ChildExists(f"{child.id} is taken by {known.path}")
        self._children[child.id] = child

    def forget(self, child: "Child") -> None:
        """Free the name."""
        if self._children.get(child.id) is child:
            del self._children[child.id]

    def reserve(self, names: Iterable[str], owner: "Owner") -> None:
        """Keep names that nobody has now for whom `owner` starts: its next life will want them."""
        for name in names:
            self._reserved[name] = owner
            self._reservations.setdefault(owner, set()).add(name)

    def release(self, owner: "Owner") -> None:
        """The owner has no next life."""
        for name in self._reservations.pop(owner, ()):
            if self._reserved.get(name) is owner:  # another may have reserved it since
                del self._reserved[name]

    def reserved_for(self, name: str) -> "Owner | None":
        """Who alone may start somebody of that name."""
        return self._reserved.get(name)

    def find(self, id: str) -> "Child":  # noqa: A002
        """The child of that id; UnknownChild names an unknown one."""
        try:
            return self._children[id]
        except KeyError:
            raise UnknownChild(f"nothing in the tree is called {id!r}") from None

    def children(self) -> "list[Child]":
        """Everybody, in order of registration."""
        return list(self._children.values())
