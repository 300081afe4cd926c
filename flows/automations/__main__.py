"""Install or update the automations: `smsretry automations --notify slack-webhook/operations`."""

import sys

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from ..support.server import check_reach
from . import install


def main(name: str | None) -> None:
    """Install, and print a line each; `name`: the notification block, as `<type>/<name>`."""
    check_reach()
    with get_client(sync_client=True) as client:
        kind, _, document = (name or "").partition("/")
        try:
            block = (
                client.read_block_document_by_name(document, kind).id if name else None
            )
        except ObjectNotFound:
            raise SystemExit(
                f"There is no block {name}. Make a notification block in the UI (Blocks), and name it as "
                "<type>/<name>; `prefect block ls` lists them."
            ) from None
        print("\n".join(install(client, block)))  # noqa: T201 - a command's output


if __name__ == "__main__":
    main(next(iter(sys.argv[1:]), None))
