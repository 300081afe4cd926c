"""Install or update the automations: `smsretry automations --notify slack-webhook/operations`."""

import argparse
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound

from ..support.server import check_reach
from . import install


def main() -> None:
    """Install, and print a line each."""
    parser = argparse.ArgumentParser(prog="smsretry automations", description="Install or update the automations.")
    parser.add_argument("--notify", metavar="BLOCK", help="the notification block, by id or as <type>/<name>")
    name = parser.parse_args().notify
    check_reach()
    with get_client(sync_client=True) as client:
        print("\n".join(install(client, _block(client, name) if name else None)))  # noqa: T201 - a command's output


def _block(client: SyncPrefectClient, name: str) -> UUID:
    """The id of a block document, given as that or as `<type>/<name>`, such as `slack-webhook/operations`."""
    try:
        return UUID(name)
    except ValueError:
        kind, _, document = name.partition("/")
    try:
        return client.read_block_document_by_name(document, kind).id
    except ObjectNotFound:
        raise SystemExit(
            f"There is no block {name}. Make a notification block in the UI (Blocks), and name it as <type>/<name>; "
            "`prefect block ls` lists them."
        ) from None


if __name__ == "__main__":
    main()
