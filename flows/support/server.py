"""Can Prefect's API be used? For the commands of this folder, which say in one sentence what to do if it cannot."""

from prefect.settings import get_current_settings
from pydantic import ValidationError

from smsretry.adapters.prefect.api import (
    ADDRESS_RULE,
    PrefectApi,
    PrefectError,
    PrefectSettings,
)


def check_reach() -> None:
    """Ask the API something, as the settings say: the environment's, or those of Prefect's profile.

    Raises:
        SystemExit: it cannot be used, or there is none. Prefect would start a temporary one, which nobody sees.
    """
    api = get_current_settings().api
    if not api.url:
        raise SystemExit(
            f"PREFECT_API_URL is not set. It {ADDRESS_RULE} (`prefect server start` starts one)."
        )
    settings = {
        "prefect_api_url": api.url,
        "prefect_api_auth_string": api.auth_string,
        "prefect_api_key": api.key,
    }
    try:
        with PrefectApi(PrefectSettings.model_validate(settings)) as connected:
            connected.ask("health")
            connected.ask("deployments/filter", {"limit": 1})
    except ValidationError:
        raise SystemExit(f"PREFECT_API_URL {ADDRESS_RULE}") from None
    except PrefectError as error:
        raise SystemExit(f"Prefect's API at {error}.") from None
