"""Why a text waits or has ended, in a word for programs: kept with the row, whatever the sentence says."""

from tests.integration.story import Story
from tests.support.shop import Shop


def test_what_people_and_the_application_end_says_who(shop: Shop) -> None:
    """A text, a scheduled send, the text of one; and a scheduled send that becomes no text."""
    Story(shop).tell("""
        text cancelled phone=+12125550101
        text out phone=+12125550102
        planned person phone=+12125550201
        planned application phone=+12125550202
        planned queued phone=+12125550203
        planned late due=-4320
        planned empty body=None
        cancel cancelled: 1
        cancel person: 1
        sql select record_sms_consent('+12125550102', 'opted_out', 'telephone', {business})
        sql update scheduled_sends set status = 'cancelled' where id = {application}
        plans: cancelled, failed, queued
        sql update scheduled_sends set status = 'cancelled' where id = {queued}
        cancelled.status why_code: cancelled, operator
        out.status why_code: cancelled, opted_out
        select why_code from sms_retry_queue where send_log_id = {queued}: application
        select why_code from scheduled_sends where id = {person}: operator
        select why_code from scheduled_sends where id = {application}: application
        select why_code from scheduled_sends where id = {late}: expired
        select why_code from scheduled_sends where id = {empty}: no_body""")
