"""What must be true of any policy: who is resident, who is pinned, whose child is whose."""

from __future__ import annotations

import attrs

from .steps import Admit, Answer, Create, Discard, EvictionStep, Pin, Unpin, Victims


@attrs.define(slots=True)
class Block:
    """A resident block."""

    parent: str | None
    depth: int
    pins: int = 0
    children: set[str] = attrs.field(factory=set)
    remembers: bool = False
    """Whether it, or a child of it, was discarded before: a policy must not know any more."""


@attrs.define(slots=True)
class EvictionModel:
    """The resident blocks of the policy that was made last, what has left it, and every answer that was given."""

    capacity: int = 0
    blocks: dict[str, Block] = attrs.field(factory=dict)
    left: set[str] = attrs.field(factory=set)
    answers: list[Answer] = attrs.field(factory=list)

    def apply(self, step: EvictionStep) -> None:
        """Take a step into account."""
        command = step.command
        if step.error is not None:
            return
        if isinstance(command, Create):
            self.capacity, self.blocks, self.left = command.capacity_blocks, {}, set()
        elif isinstance(command, Admit):
            self._admit(command)
        elif isinstance(command, Discard):
            self._discard(command.key)
        elif isinstance(command, Pin) and command.key in self.blocks:
            self.blocks[command.key].pins += 1
        elif isinstance(command, Unpin) and command.key in self.blocks:
            block = self.blocks[command.key]
            block.pins = max(0, block.pins - 1)
        elif isinstance(command, Victims) and step.victims is not None:
            self.answers.append(step.victims)

    def _admit(self, command: Admit) -> None:
        if command.key in self.blocks:
            return
        self.blocks[command.key] = Block(command.parent, command.depth, remembers=command.key in self.left)
        if command.parent in self.blocks:
            self.blocks[command.parent].children.add(command.key)
        self.left.discard(command.key)

    def _discard(self, key: str) -> None:
        block = self.blocks.pop(key, None)
        if block is None:
            return
        if block.parent in self.blocks:
            self.blocks[block.parent].children.discard(key)
            self.blocks[block.parent].remembers = True
        self.left.add(key)

    def evictable(self) -> set[str]:
        """Return every block that may go: unpinned, and so is all that hangs on it."""
        free: set[str] = set()
        for key in sorted(self.blocks, key=lambda name: -self.blocks[name].depth):
            block = self.blocks[key]
            if not block.pins and block.children <= free:
                free.add(key)
        return free

    def leaves(self) -> list[str]:
        """Return the blocks without resident children, in a fixed order."""
        return [key for key, block in self.blocks.items() if not block.children]
