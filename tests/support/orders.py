"""A person's orders, with the answers that they have."""

from typing import Literal, cast
from uuid import UUID

from smsretry.adapters.desk import Desk
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.desk.actions.requests import Order, RecordConsent, Resolve
from smsretry.desk.questions.answers import Change, Done


def ordered(desk: SupabaseOperators | Desk, order: Order) -> Change:
    """Change texts, or say what would be changed."""
    return cast(
        Change, (desk.operators if isinstance(desk, Desk) else desk).carry_out(order)
    )


def resolve(operators: SupabaseOperators, order: Resolve) -> bool:
    """Say what became of a text in doubt. False: it is not in doubt, or a worker has it at this moment."""
    return not operators.carry_out(order).fails


def record_consent(
    operators: SupabaseOperators,
    phone: str,
    *,
    consent: Literal["opted_in", "opted_out", "unchanged"],
    source: str,
    business_id: UUID | None,
) -> Done:
    """Record what a customer said, for everyone at the business who has this number; who said so is the source."""
    order = RecordConsent.model_construct(  # the form takes a yes by a customer alone
        customer_id=phone, consent=consent, source=source, who=source, because=source
    )
    return operators.carry_out(order, business_id=business_id)
