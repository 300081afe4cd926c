"""Install or update the automations: `smsretry automations --notify slack-webhook/operations`."""

import argparse
import sys

from prefect.client.orchestration import get_client

from ..support.server import check_reach
from . import install, notification_block


def main() -> int:
    """Install, and print a line each. 1: the notification block is not there."""
    parser = argparse.ArgumentParser(prog="smsretry automations", description="Install or update the automations.")
    parser.add_argument(
        "--notify",
        metavar="BLOCK",
        help="the notification block, by id or as <type>/<name>; without it, those that notify keep the one "
        "they have, or are left out",
    )
    block = parser.parse_args().notify
    check_reach()
    with get_client(sync_client=True) as client:
        try:
            lines = install(client, notification_block(client, block) if block else None)
        except LookupError as error:
            print(error, file=sys.stderr)  # noqa: T201 - a command's output
            return 1
    print("\n".join(lines))  # noqa: T201 - a command's output
    return 0


if __name__ == "__main__":
    sys.exit(main())
