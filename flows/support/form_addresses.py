"""Where Prefect's UI has the desk's forms: a page leads to one that is filled in already."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.logging import get_run_logger

from smsretry.desk.pages.form_links import CANCEL, EXPLAIN, REQUEUE, RESOLVE, RUN, FormAddress, no_forms


def form_addresses() -> FormAddress:
    """Ask the server for the forms. Without its answer the page is shown without links to forms."""
    wanted = DeploymentFilter(name=DeploymentFilterName(any_=[EXPLAIN, REQUEUE, CANCEL, RESOLVE, RUN]))
    try:
        found = get_client(sync_client=True).read_deployments(deployment_filter=wanted)
    except Exception as error:  # noqa: BLE001 - whatever it is, the page is shown
        get_run_logger().warning("This page has no links to forms (%s)", type(error).__name__)
        return no_forms
    ids = {deployment.name: deployment.id for deployment in found}
    return lambda name, values: _address(ids[name], values) if name in ids else None


def _address(deployment_id: object, values: Mapping[str, Any]) -> str:
    """The UI decodes the values twice: as a part of the address, and by itself."""
    filled_in = f"?parameters={quote(quote(json.dumps(values), safe=''), safe='')}" if values else ""
    return f"/deployments/deployment/{deployment_id}/run{filled_in}"
