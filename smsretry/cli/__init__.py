"""The command `smsretry`: what its commands are, parse and print. A command imports only what it needs."""


def main() -> None:
    """Run the command, and exit."""
    from smsretry.cli.command import app

    app(prog_name="smsretry")
