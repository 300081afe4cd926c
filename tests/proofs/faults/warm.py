"""What the process that forks the workers imports: all that they need, also what adapters import on first use."""

from datetime import UTC, datetime

from pydantic import SecretStr

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.provider import TwilioProvider
from smsretry.retry.models import SenderId
from smsretry.settings import Settings
from tests.proofs.faults import worker as worker

_NOBODY = Settings(
    supabase_url="http://127.0.0.1:9", supabase_service_role_key=SecretStr("a.b.c"),
    twilio_account_sid="AC" + "0" * 32, twilio_auth_token=SecretStr("none"),
    twilio_from_number="+15005550006", twilio_base_url="http://127.0.0.1:9",
)  # fmt: skip
with SupabaseQueue(_NOBODY), TwilioProvider(_NOBODY) as sender:
    moment = datetime(2027, 1, 1, tzinfo=UTC)
    sender.look_up("+12125550100", sender=SenderId(None, None), since=moment, at=moment)
