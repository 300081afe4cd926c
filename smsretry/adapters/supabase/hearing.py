"""The calls of a webhook: what the provider reports of a message, and texts that come in."""

from typing import Final, assert_never

from smsretry.adapters.supabase.advice import Ending
from smsretry.adapters.supabase.calls import SupabaseCalls
from smsretry.errors import QueueSlow
from smsretry.sending.heard import Heard, IncomingText, StatusReport

_ANSWERED: Final = "The provider is answered that it may call again."
_WEBHOOK: Final = Ending(_ANSWERED, _ANSWERED)


class SupabaseHearing(SupabaseCalls):
    """Records what was heard. Each may be recorded late, twice and in any order."""

    def record(self, heard: Heard) -> None:
        """Record it.

        Raises:
            QueueError: it was not recorded, or nobody knows; `errors` says which kinds there are.
            InputError: the database will never take it.
        """
        match heard:
            case StatusReport():
                function = "settle_sms_attempt"
                values = {
                    "attempt_id": heard.attempt_id and str(heard.attempt_id),
                    "twilio_sid": heard.message_id,
                    "delivery_status": heard.status,
                    "error_code": heard.code,
                    "account_sid": heard.account,
                }
            case IncomingText():
                function = "record_inbound_sms"
                values = {
                    "phone": heard.phone,
                    "twilio_sid": heard.message_id,
                    "opt_out_type": heard.keyword,
                    "body": heard.body,
                    "to_number": heard.to,
                    "messaging_service_sid": heard.service,
                    "account_sid": heard.account,
                }
            case _:
                assert_never(heard)
        # The provider waits for an answer: what took too long once is not tried again.
        self.repeated(function, values, _WEBHOOK, but_for=(QueueSlow,))
