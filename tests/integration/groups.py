"""Calls that travel together, until each of them was made."""

from collections.abc import Sequence

from smsretry.adapters.supabase.groups import Call, NotMade, Result
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.errors import QueueError


def in_groups(queue: SupabaseQueue, calls: Sequence[Call]) -> tuple[list[Result], int]:
    """What they come to, and in how many groups: what a group has no time for is the next one, as workers do it."""
    told, left, groups = dict[int, Result](), [*range(len(calls))], 0
    while left:
        try:
            told |= zip(left, queue.together([calls[place] for place in left]), strict=True)
        except QueueError as error:  # one that was left alone
            told[left[0]] = error
        left, groups = [place for place in left if isinstance(told[place], NotMade)], groups + 1
    return [told[place] for place in range(len(calls))], groups
