"""What the webhook does with a form: check the signature, record what it says, and choose the answer."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from smsretry.errors import InputError, SmsRetryError
from smsretry.privacy import describe_unforeseen
from smsretry.sending.heard import Heard, IncomingText, NotTaken
from smsretry.settings import load
from smsretry.webhooks.answers import NEVER, NO_REPLY, NOT_NOW, RECORDED, UNFORESEEN, Answer, refused
from smsretry.webhooks.settings import WebhookSettings
from smsretry.wiring import post_reader, recorder

_LOG: Final = logging.getLogger("smsretry.webhooks")
_LONGEST_CALL: Final = 10.0
"""Seconds for a call to the database. Twilio waits 15 in all.
https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides"""


class Listening:
    """The connections of a webhook, and a thread for each call under way. Raises SettingsError."""

    def __init__(self) -> None:
        settings = load(WebhookSettings)
        seconds = min(settings.supabase_timeout_seconds, _LONGEST_CALL)
        self._read: Final = post_reader(settings, settings.addresses, settings.tokens)
        self._records: Final = recorder(settings.model_copy(update={"supabase_timeout_seconds": seconds}))
        self._threads: Final = ThreadPoolExecutor(settings.concurrency, "webhook")

    def close(self) -> None:
        """Finish what is under way, and close the connections."""
        self._threads.shutdown()
        self._records.__exit__(None, None, None)

    async def hear(self, query: str, form: bytes, signature: str) -> Answer:
        """Record what Twilio posted, and answer it."""
        # Here, and not in a thread: what somebody else posts takes none from Twilio.
        heard = self._read(query=query, form=form, signature=signature)
        if isinstance(heard, NotTaken):
            _LOG.warning("HTTP %d: %s", heard.http_status, heard.why)
            return refused(heard.http_status, heard.why)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._record, heard)

    def _record(self, heard: Heard) -> Answer:
        try:
            self._records.record(heard)
        except InputError as error:
            _LOG.error("%s", error)
            return NEVER
        except SmsRetryError as error:  # passing, or a setting that somebody can mend: Twilio may call again
            _LOG.error("%s", error)
            return NOT_NOW
        except Exception as error:  # noqa: BLE001 - a server would log it with whatever it quotes
            private = (heard.phone, heard.body) if isinstance(heard, IncomingText) else ()
            _LOG.error("%s", describe_unforeseen(error, private=private))
            return UNFORESEEN
        return NO_REPLY if isinstance(heard, IncomingText) else RECORDED
