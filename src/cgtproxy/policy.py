"""Ordered rules to a decision, for any number of rules at the cost of one search."""

from __future__ import annotations

from collections.abc import Sequence

import re2

from cgtproxy.config.model import Decision, Rule

# Only a limit: the automaton is built lazily and seldom reaches a hundredth of it.
MAX_AUTOMATON_BYTES = 256 << 20


def _options() -> object:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_AUTOMATON_BYTES
    options.never_capture = True  # a search would set memory aside for every group
    return options


class Policy:
    """The rules of one configuration, compiled."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self._set = re2.Set.SearchSet(_options())
        for rule in self.rules:
            self._set.Add(rule.match)
        # Matches everything. RE2 answers "nothing matched" also when its automaton does not fit
        # in max_mem; with a pattern that always matches, no answer can only mean that.
        self._set.Add("")
        try:
            self._set.Compile()
        except re2.error:  # does not fit either
            self._set = None

    def match(self, path: bytes) -> int | None:
        """The index of the first rule that matches this cgroup path, None where none does.

        Bytes that are not UTF-8 count as U+FFFD, as in Go's regexp, so that `.` matches them:
        nobody leaves a rule by choosing a strange name.
        """
        if not path.isascii():
            path = path.decode("utf-8", "replace").encode()
        matches = self._set and self._set.Match(path)
        if matches is None:
            return self._match_one_by_one(path)
        first: int = min(matches)
        return first if first < len(self.rules) else None

    def decide(self, path: bytes, inherited: Decision) -> tuple[int | None, Decision]:
        """The rule's index and the target of a cgroup whose parent's target is `inherited`."""
        index = self.match(path)
        return index, inherited if index is None else self.rules[index].decision

    def _match_one_by_one(self, path: bytes) -> int | None:
        for index, rule in enumerate(self.rules):
            if re2.search(rule.match.encode(), path, _options()):
                return index
        return None
