"""Take a safeguard away from the harness's own database, to see that the harness notices its absence."""

from typing import Final

from smsretry.adapters.migrations.schemas import schema_files
from smsretry.local.stack import Stack

NO_FENCE: Final = """
create or replace function smsretry.fenced(retry_id uuid, claim_no bigint)
returns public.sms_retry_queue language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
begin
    select (jsonb_populate_record(q, jsonb_build_object(
        'claim_no', fenced.claim_no, 'begun_at', mine.begun_at, 'attempt_id', coalesce(mine.id, q.attempt_id)))).*
    into v_row
    from public.sms_retry_queue q
    left join public.sms_send_attempts mine on mine.retry_id = q.id and mine.claim_no = fenced.claim_no
    where q.id = fenced.retry_id and q.status = 'processing'
    for update of q;
    return v_row;
end
$$
"""


_RANKED: Final = "(v_rank > v_known) is not true"


def remove_ranks(stack: Stack) -> None:
    """Let the report that comes last count, whatever Twilio had reported before."""
    with stack.connect() as connection:
        row = connection.execute("select pg_get_functiondef('smsretry.record_delivery'::regproc) as sql").fetchone()
        assert row is not None
        assert _RANKED in row["sql"], "record_delivery compares ranks in another way: change this switch"
        connection.execute(row["sql"].replace(_RANKED, "v_rank is null").encode())


_ASKED_ABOUT: Final = "smsretry.is_lost(m.delivery_status)"


def remove_asking(stack: Stack) -> None:
    """Let no claim name the messages of its text that were lost."""
    [view] = [file.text for file in schema_files() if file.creates == "smsretry.claimed_retry"]
    assert _ASKED_ABOUT in view, "claimed_retry names lost messages in another way: change this switch"
    with stack.connect() as connection:
        connection.execute(view.replace(_ASKED_ABOUT, "false").encode())


_THE_SAME: Final = "or sender_id is distinct from ("


def remove_sender(stack: Stack) -> None:
    """Let a send begin from whichever sender its claim had."""
    [function] = [file.text for file in schema_files() if file.creates == "public.begin_sms_attempt"]
    assert _THE_SAME in function, "begin compares senders in another way: change this switch"
    with stack.connect() as connection:
        connection.execute(function.replace(_THE_SAME, "or null = (").encode())


def remove_fence(stack: Stack) -> None:
    """Let every worker write whatever number it holds, and see the row as if nobody else had begun it since."""
    with stack.connect() as connection:
        connection.execute(NO_FENCE.encode())
