"""Install or update the automations: `smsretry automations --notify slack-webhook/operations`."""

import sys

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from ..support.server import check_reach
from . import install, read_definitions


def main(name: str | None = None) -> None:
    """Install the automations, and print a line each.

    Args:
        name: the notification block, as `<type>/<name>`.
    """
    check_reach()
    with get_client(sync_client=True) as client:
        block = None
        if name:
            kind, _, document = name.partition("/")
            try:
                block = client.read_block_document_by_name(document, kind).id
            except ObjectNotFound:
                raise SystemExit(
                    f"There is no block {name}. Make a notification block in the UI (Blocks), and name it as "
                    "<type>/<name>; `prefect block ls` lists them."
                ) from None
        lines = install(client, block, read_definitions())
        print("\n".join(lines))  # noqa: T201 - a command's output


if __name__ == "__main__":
    main(*sys.argv[1:])
