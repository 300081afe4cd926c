"""The desk's answers, each with its own type."""

from smsretry.adapters.supabase.operators import Desk
from smsretry.desk.actions.form import Form
from smsretry.desk.actions.requests import Order
from smsretry.desk.questions.answers import Answer, Change


def ordered(desk: Desk, order: Order) -> Change:
    """What became of an order about texts."""
    change = desk.answer(order)
    assert isinstance(change, Change)
    return change


def told(desk: Desk, form: Form) -> list[str]:
    """The lines of an answer."""
    answer: Answer = desk.answer(form)
    return list(answer.lines())
