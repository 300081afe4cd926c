"""The webhook for Twilio's reports and for incoming texts: `uvicorn smsretry.webhooks:app`. README.md has others."""

from smsretry.webhooks.asgi import Webhook

__all__ = ["Webhook", "app"]

app = Webhook()
"""It reads the settings, and connects, when a server starts it, or at its first request."""
