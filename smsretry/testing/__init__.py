"""smsretry for the tests of an application: a whole stack, a clock that can be moved, and Twilio's side of it.

pytest loads the fixtures by itself (`plugin.py`); `SmsStack` is the same for any other runner. README.md has examples.
Names are imported on first use (PEP 562): whoever has this installed and uses none of it pays nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from smsretry.local.twilio import faults
    from smsretry.testing.business import Business
    from smsretry.testing.clock import Clock
    from smsretry.testing.run_result import RunResult
    from smsretry.testing.seeds import QueuedText, Seeds
    from smsretry.testing.stack import SmsStack
    from smsretry.testing.twilio import Twilio

__all__ = ["Business", "Clock", "QueuedText", "RunResult", "Seeds", "SmsStack", "Twilio", "faults"]

_MODULES: Final = {
    "Business": "business",
    "Clock": "clock",
    "QueuedText": "seeds",
    "RunResult": "run_result",
    "Seeds": "seeds",
    "SmsStack": "stack",
    "Twilio": "twilio",
}


def __getattr__(name: str) -> Any:
    if name == "faults":
        return import_module("smsretry.local.twilio.faults")
    if name not in _MODULES:
        raise AttributeError(f"module 'smsretry.testing' has no attribute {name!r}")
    return getattr(import_module(f"smsretry.testing.{_MODULES[name]}"), name)
