"""How a text enters: planned for a time, queued for a retry, or sent for the first time and seen through."""

from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from smsretry.errors import InputError, QueueError, QueueUnreachable
from smsretry.retry.answers import Queued, Scheduled
from smsretry.retry.models import ItemResult
from smsretry.retry.profile import DEFAULT, Profile
from smsretry.sending.pipeline import process_sms_retry_item
from smsretry.sending.ports import Provider, RetryQueue
from smsretry.vocabulary import MessageClass, Reason

_IN_QUEUE: Final = "Already in the queue"
_TAKEN: Final = "Another worker has taken it, or somebody cancelled it"


def queue_sms_retry(
    send_log_id: UUID,
    reason: Reason | None,
    attempt_count: int = 0,
    scheduled_for: datetime | None = None,
    error: str | None = None,
    *,
    queue: RetryQueue,
    message_class: MessageClass = "marketing",
) -> Queued:
    """Queue a retry for a text whose send failed for a moment or may not go out now.

    A text has one live row: queueing it again returns that one (`already_queued`). Past the last attempt its send
    log is marked failed (`attempts_exhausted`), except with the reason `quiet_hours`, which costs no attempt. A text
    that ended in doubt is looked for again, and sent only once that is settled. `error` is stored: no phone numbers in
    it.

    Args:
        attempt_count: retries already made; decides the delay (`next_retry_delay`) when `scheduled_for` is not given.
        message_class: `transactional` for what the customer asked for (a code, a receipt): no state's rule binds it.

    Raises:
        InputError: there is no such send log, or it is no text to a customer.
        QueueError: the database could not be asked. The message says whether anything was recorded; the call may be
            repeated.
    """
    return queue.queue(
        send_log_id=send_log_id,
        reason=reason,
        attempt_count=attempt_count,
        scheduled_for=scheduled_for,
        error=error,
        message_class=message_class,
    )


def schedule_sms(
    business_id: UUID,
    customer_id: UUID,
    body: str,
    scheduled_for: datetime,
    *,
    queue: RetryQueue,
    not_after: datetime | None = None,
    message_class: MessageClass = "marketing",
    created_by: UUID | None = None,
    scheduled_id: UUID | None = None,
) -> Scheduled:
    """Plan a text for a time. When it comes, the text has every check that each text has, and may wait for an opening.

    It becomes one text at most, whose send log has the id that is returned. An update of its row in `scheduled_sends`
    moves or cancels it. That is refused while a worker has its text, and once the text may have gone out or has ended.

    Args:
        scheduled_for: when it is to go out; a time that has passed means at once.
        not_after: when it is of no more use and is cancelled. None: 48 hours after it might first have gone out.
        created_by: who planned it; kept for the application.
        scheduled_id: the caller's own id, with which the call may be repeated (`already_scheduled`).

    Raises:
        InputError: there is no such customer at the business, no body, times that cannot be, or an id that is taken.
        QueueError: the database could not be asked. The message says whether anything was recorded; where that is not
            known, it has the id with which the call may be repeated.
    """
    scheduled_id = scheduled_id or uuid4()
    try:
        return queue.schedule(
            id=scheduled_id,
            business_id=business_id,
            customer_id=customer_id,
            body=body,
            scheduled_for=scheduled_for,
            not_after=not_after,
            message_class=message_class,
            created_by=created_by,
        )
    except QueueUnreachable as error:
        trouble = error
    if not trouble.undone:  # under another name it would be another text
        trouble = QueueUnreachable(
            f"{trouble} Name it with scheduled_id={scheduled_id}, or it may be planned twice."
        )
    raise trouble


def send_sms(
    send_log_id: UUID,
    *,
    queue: RetryQueue,
    provider: Provider,
    profile: Profile = DEFAULT,
    message_class: MessageClass = "marketing",
) -> ItemResult:
    """Send a text for the first time, with the checks of every retry, and see it through if it does not go out now.

    The text gets its queue row before anything is sent, so a crash in the middle loses and doubles nothing. In quiet
    hours it waits for the opening; after a passing failure it is retried by `next_retry_delay`; this first send does
    not count as one of the retries.

    Raises:
        InputError: there is no such send log, it is no text to a customer, or it is already sent.
        UnforeseenError: a bug, or trouble of this machine. Its row is failed, or held, if its send had not begun.
        QueueError: the database could not be asked. The message says how far it came: nothing was recorded, or that is
            not known, and the call may be repeated; or the text is in the queue, where the worker sees it through.
    """
    queued = queue_sms_retry(
        send_log_id, None, queue=queue, message_class=message_class
    )
    if queued.retry_id is None:
        raise InputError(
            f"Send log {send_log_id} was already sent: insert a new send log for a new text"
        )
    row = queued.retry_id
    if queued.result != "queued":
        return ItemResult(
            retry_id=row,
            fate="Deferred",
            why=_IN_QUEUE,
            why_code="already_queued",
            due_at=queued.due_at,
        )
    try:
        claim = queue.claim_one(row)
        if claim is None:
            return ItemResult(
                retry_id=row, fate="ClaimLost", why=_TAKEN, why_code="claim_lost"
            )
        if isinstance(claim, ItemResult):
            return claim
        return process_sms_retry_item(
            claim, queue=queue, provider=provider, profile=profile, first_send=True
        )
    except QueueError as error:
        trouble = error
    raise type(trouble)(
        f"{str(trouble).rstrip('.')}. The text is in the queue as row {row}: the worker sees it through."
    )
