"""What is wrong around the package: settings, network, clocks, Twilio and Prefect."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from smsretry.local.stack import SENDER, Stack
from tests.e2e.planted.misconfiguration import ELSEWHERE, HOME, NOWHERE, OPEN, Misconfiguration, ahead
from tests.e2e.registry import SCHEDULED, Registry

_SERVICE: Final = "MG" + "5" * 32
_KEY: Final = {
    "TWILIO_AUTH_TOKEN": None, "TWILIO_API_KEY_SID": "SK" + "0" * 32, "TWILIO_API_KEY_SECRET": "restricted",
}  # fmt: skip
_BY_SERVICE: Final = {"TWILIO_FROM_NUMBER": None, "TWILIO_MESSAGING_SERVICE_SID": _SERVICE}
_FOREIGN: Final = "https://abcdefghijklmnopqrst.supabase.co"
_UNRESOLVABLE: Final = "https://hooks.example.invalid/status"


def _jwt(**payload: Any) -> str:
    head, body = ({"alg": "HS256", "typ": "JWT"}, payload)
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (head, body))
    return ".".join([*parts, "signature"])


def _service(stack: Stack, *numbers: str) -> None:
    stack.twilio.accounts.main.services[_SERVICE] = set(numbers)


def _main(**changes: Any) -> Callable[[Stack], object]:
    def change(stack: Stack) -> None:
        for name, value in changes.items():
            setattr(stack.twilio.accounts.main, name, value)

    return change


def _restricted(*resources: str) -> Callable[[Stack], object]:
    return _main(api_keys={"SK" + "0" * 32: "restricted"}, unreadable=set(resources))


def _voice_service(stack: Stack) -> None:
    _service(stack, SENDER)
    stack.twilio.accounts.main.voice_only.add(SENDER)


def _twilio_ahead(stack: Stack) -> None:
    stack.twilio.clock_ahead += timedelta(minutes=10)


def _database_behind(stack: Stack) -> None:
    with stack.connect() as connection:
        connection.execute("update smsretry_local.clock set shift = shift - interval '2 days 20 minutes'")


def _limited(registry: Registry) -> None:
    registry.register(SCHEDULED, concurrency_limit=1)


def _duplicate(registry: Registry) -> None:
    flow = registry.prefect.post("flows/", {"name": "old-flow"})
    registry.register(SCHEDULED, flow_id=flow["id"], version="0.0.9")


def _copy(registry: Registry) -> None:
    registry.register(SCHEDULED, name="texts-every-minute", version="0.0.9")


def _late_of_old(registry: Registry) -> None:
    registry.register(SCHEDULED, version="0.0.9")
    for _ in range(3):
        registry.run(SCHEDULED, "SCHEDULED", name="Late")
    registry.register(SCHEDULED)


def _pool(workers: int = 1, **changes: Any) -> Callable[[Registry], object]:
    """The deployment is given to a work pool's worker."""

    def planted(registry: Registry) -> None:
        registry.prefect.post("work_pools/", {"name": "texts", "type": "process"})
        for _ in range(workers):
            registry.prefect.http.post(
                f"{registry.api_url}/work_pools/texts/workers/heartbeat", json={"name": "one"}
            ).raise_for_status()
        registry.register(SCHEDULED, work_pool_name="texts")
        queue = changes.pop("queue", None)
        place = "work_pools/texts/queues/default" if queue else "work_pools/texts"
        if queue or changes:
            registry.prefect.http.patch(f"{registry.api_url}/{place}", json=queue or changes).raise_for_status()

    return planted


def _without(name: str) -> Callable[[Registry], object]:
    return lambda registry: registry.say(f"delete from automation where name like '%{name}%'")


def _since_hours(state: str) -> Callable[[Registry], object]:
    """A run that has been in this state for five hours."""

    def planted(registry: Registry) -> None:
        run = registry.run(SCHEDULED, state)
        registry.say(
            "update flow_run set start_time = start_time - interval '5 hours', "
            f"expected_start_time = expected_start_time - interval '5 hours' where id = '{run}'"
        )

    return planted


def _alert(column: str, value: str) -> Callable[[Registry], object]:
    return lambda registry: registry.say(
        f"update automation set {column} = {value} where name = 'smsretry: a run failed'"
    )


def _night_watch(registry: Registry) -> None:
    registry.prefect.post(
        "automations/",
        {
            "name": "smsretry: night watch",
            "enabled": True,
            "trigger": {"type": "event", "posture": "Reactive", "expect": ["prefect.flow-run.Failed"], "threshold": 1},
            "actions": [{"type": "pause-deployment", "source": "inferred"}],
        },
    )


OUTSIDE: Final = (
    # Settings.
    Misconfiguration(
        "one setting is wrong, and so is the database's key",
        "bad  Supabase: Supabase refused the key",
        {"TWILIO_READ_TIMEOUT_SECONDS": "soon", "SUPABASE_SERVICE_ROLE_KEY": "wrong"},
    ),
    Misconfiguration(
        "one setting is wrong, and so is the auth token",
        "bad  Twilio credentials: refused (Twilio 20003: Permission Denied): check ",
        {"SUPABASE_URL": None, "TWILIO_AUTH_TOKEN": "wrong"},
    ),
    Misconfiguration(
        "what cannot be asked is named",
        "warn Supabase: was not asked: it needs SUPABASE_URL, see above",
        {"SUPABASE_URL": "project"},
    ),
    Misconfiguration(
        "the rate is 0",
        "bad  SMSRETRY_SEGMENTS_PER_SECOND: must be greater than 0",
        {"SMSRETRY_SEGMENTS_PER_SECOND": "0"},
    ),
    Misconfiguration(
        "a number of texts is a word",
        "bad  SMSRETRY_CONCURRENCY: must be a whole number",
        {"SMSRETRY_CONCURRENCY": "many"},
    ),
    Misconfiguration(
        "the guard is shorter than a request",
        "warn SMSRETRY_CLOSING_GUARD_SECONDS: counts as 180, because a request may take that long",
        {"SMSRETRY_CLOSING_GUARD_SECONDS": "60", "TWILIO_READ_TIMEOUT_SECONDS": "120",
         "TWILIO_CONNECT_TIMEOUT_SECONDS": "40"},
    ),
    Misconfiguration(
        "Twilio is given less time than it takes",
        "warn TWILIO_READ_TIMEOUT_SECONDS: is below the 30 s that Twilio itself may take",
        {"TWILIO_READ_TIMEOUT_SECONDS": "5"},
    ),
    Misconfiguration(
        "the database is given hardly any time",
        "warn SUPABASE_TIMEOUT_SECONDS: is 1, which an answer over the internet may well take",
        {"SUPABASE_TIMEOUT_SECONDS": "1"},
    ),
    Misconfiguration(
        "the key is the anon key",
        "bad  SUPABASE_SERVICE_ROLE_KEY: is the anon key, which may call nothing: take the service_role",
        {"SUPABASE_SERVICE_ROLE_KEY": _jwt(role="anon", exp=4102444800)},
    ),
    Misconfiguration(
        "the key is the publishable one",
        "bad  SUPABASE_SERVICE_ROLE_KEY: is the publishable key, which may call nothing",
        {"SUPABASE_SERVICE_ROLE_KEY": "sb_publishable_x"},
    ),
    Misconfiguration(
        "the key is of another project than the URL",
        "bad  SUPABASE_SERVICE_ROLE_KEY: is a key of another project than SUPABASE_URL (abcdefghijklmnopqrst",
        {"SUPABASE_URL": _FOREIGN, "HTTPS_PROXY": NOWHERE,
         "SUPABASE_SERVICE_ROLE_KEY": _jwt(role="service_role", ref="zyxwvutsrqponmlkjihg", exp=4102444800)},
    ),
    Misconfiguration(
        "the key has expired",
        "bad  SUPABASE_SERVICE_ROLE_KEY: expired on 2020-01-01: take the service_role",
        {"SUPABASE_SERVICE_ROLE_KEY": _jwt(role="service_role", exp=1577836800)},
    ),
    Misconfiguration(
        "the key is cut off",
        "bad  SUPABASE_SERVICE_ROLE_KEY: is cut off, or only a part of a key",
        {"SUPABASE_SERVICE_ROLE_KEY": "eyJhbGciOiJIUzI1NiJ9.eyJyb2xl"},
    ),
    Misconfiguration(
        "the auth token is in quotation marks",
        "bad  TWILIO_AUTH_TOKEN: is in quotation marks, which count as a part of it: remove them",
        {"TWILIO_AUTH_TOKEN": '"0123456789abcdef0123456789abcdef"'},
    ),
    Misconfiguration(
        "the project's URL is not https",
        "bad  SUPABASE_URL: is not https, so the key would travel readable: begin it with https://",
        {"SUPABASE_URL": _FOREIGN.replace("https", "http"), "HTTP_PROXY": NOWHERE, "NO_PROXY": "127.0.0.1"},
    ),
    # The machine and its network.
    Misconfiguration(
        "SUPABASE_URL has a name that does not exist",
        "bad  Supabase: Supabase did not answer count_sms_answer (its name cannot be resolved). Check ",
        {"SUPABASE_URL": "https://no-project.supabase.invalid"},
    ),
    Misconfiguration(
        "Twilio's host has a name that does not exist",
        "bad  Twilio credentials: twilio.invalid does not answer (its name cannot be resolved)",
        {"TWILIO_BASE_URL": "https://twilio.invalid"},
    ),
    Misconfiguration(
        "Prefect's host has a name that does not exist",
        "bad  Prefect's API: prefect.invalid:4200 does not answer (its name cannot be resolved): check PREFECT_API_URL",
        {"PREFECT_API_URL": "http://prefect.invalid:4200/api"},
    ),
    Misconfiguration(
        "TWILIO_BASE_URL is another web server",
        "and not as Twilio does: check TWILIO_BASE_URL and HTTPS_PROXY",
        {"TWILIO_BASE_URL": ELSEWHERE},
    ),
    Misconfiguration(
        "a proxy is set that does not answer",
        "bad  HTTPS_PROXY: its proxy 127.0.0.1:9 does not answer (ConnectionRefusedError), and connections go ",
        {"HTTPS_PROXY": "http://ann:secret@127.0.0.1:9"},
    ),
    Misconfiguration(
        "a proxy is set that speaks SOCKS",
        "bad  ALL_PROXY: must be http://<host>:<port>: with anything else no connection is made",
        {"ALL_PROXY": "socks5://127.0.0.1:1080"},
    ),
    Misconfiguration(
        "the file of certificate authorities is not there",
        "bad  SSL_CERT_FILE: cannot be read (FileNotFoundError), so no certificate of Supabase and Prefect is trusted",
        {"SSL_CERT_FILE": "/nowhere/ca.pem"},
    ),
    Misconfiguration(
        "Twilio's file of certificate authorities is not one",
        "bad  REQUESTS_CA_BUNDLE: cannot be read (SSLError), so no certificate of Twilio is trusted",
        {"REQUESTS_CA_BUNDLE": f"{HOME}/ca.pem"},
        files={"ca.pem": "no certificate"},
    ),
    Misconfiguration(
        "the locale is not there",
        "warn LC_ALL: names a locale that this machine does not have",
        {"LC_ALL": "tlh_KX.UTF-8"},
    ),
    Misconfiguration(
        "Twilio's SDK is sent to another region",
        "warn TWILIO_REGION: Twilio's SDK sends requests to another region by it",
        {"TWILIO_REGION": "ie1"},
    ),
    # What the runner's environment says to Prefect and to this machine.
    Misconfiguration(
        "SUPABASE_URL is the dashboard's",
        "bad  SUPABASE_URL: is the dashboard's address: must be the project's URL, https://<project>.supabase.co",
        {"SUPABASE_URL": "https://supabase.com/dashboard/project/abcdefghijklmnopqrst"},
    ),
    Misconfiguration(
        "Prefect repeats tasks",
        "warn PREFECT_TASKS_DEFAULT_RETRIES: makes Prefect repeat runs and tasks, and the queue alone repeats here",
        {"PREFECT_TASKS_DEFAULT_RETRIES": "3"},
    ),
    Misconfiguration(
        "Prefect keeps no logs",
        "warn PREFECT_LOGGING_TO_API_ENABLED: keeps the runs' logs from the UI",
        {"PREFECT_LOGGING_TO_API_ENABLED": "false"},
    ),
    Misconfiguration(
        "the runner starts one run at once",
        "warn PREFECT_RUNNER_PROCESS_LIMIT: is 1, so runs wait for one that hangs, and the desk's forms for the "
        "schedule",
        {"PREFECT_RUNNER_PROCESS_LIMIT": "1"},
    ),
    Misconfiguration(
        "Prefect's patience is a word",
        "bad  PREFECT_API_REQUEST_TIMEOUT: must be a number, or no run starts",
        {"PREFECT_API_REQUEST_TIMEOUT": "soon"},
    ),
    Misconfiguration(
        "Prefect has nowhere to write",
        "bad  PREFECT_HOME: is ",
        {"PREFECT_HOME": f"{HOME}/file/prefect"},
        files={"file": ""},
    ),
    Misconfiguration(
        "the machine's time zone does not exist",
        "warn TZ: names no time zone, so this machine prints times in UTC",
        {"TZ": "Mars/Olympus"},
    ),
    # The callback.
    Misconfiguration(
        "the status callback's name does not exist",
        "bad  TWILIO_STATUS_CALLBACK_URL: the name hooks.example.invalid cannot be resolved, so Twilio reports nothing",
        {"TWILIO_STATUS_CALLBACK_URL": _UNRESOLVABLE},
    ),
    Misconfiguration(
        "the status callback is a private address",
        "bad  TWILIO_STATUS_CALLBACK_URL: Twilio cannot reach 10.0.0.5 from the internet",
        {"TWILIO_BASE_URL": None, "HTTPS_PROXY": NOWHERE, "TWILIO_STATUS_CALLBACK_URL": "https://10.0.0.5/status"},
    ),
    Misconfiguration(
        "the status callback is redirected",
        "warn TWILIO_STATUS_CALLBACK_URL: is redirected to another address, for which Twilio's signature does not hold",
        {"TWILIO_STATUS_CALLBACK_URL": f"{ELSEWHERE}/moved/status"},
    ),
    Misconfiguration(
        "the status callback is not at that path",
        "warn TWILIO_STATUS_CALLBACK_URL: 127.0.0.1 has nothing at this path (HTTP 404)",
        {"TWILIO_STATUS_CALLBACK_URL": f"{ELSEWHERE}/nothing"},
    ),
    Misconfiguration(
        "the status callback asks for credentials",
        "warn TWILIO_STATUS_CALLBACK_URL: 127.0.0.1 answers HTTP 401, and Twilio has no credentials for it",
        {"TWILIO_STATUS_CALLBACK_URL": f"{ELSEWHERE}/locked"},
    ),
    Misconfiguration(
        "nobody answers at the status callback",
        "bad  TWILIO_STATUS_CALLBACK_URL: 127.0.0.1 does not answer from here (ConnectError)",
        {"TWILIO_STATUS_CALLBACK_URL": f"{NOWHERE}/status"},
    ),
    Misconfiguration(
        "the status callback is not https",
        "warn TWILIO_STATUS_CALLBACK_URL: is not https, so numbers and signatures travel readable",
        # The closed proxy keeps this away from whoever has the address.
        {"HTTP_PROXY": NOWHERE, "TWILIO_STATUS_CALLBACK_URL": "http://8.8.8.8/status",
         "NO_PROXY": "127.0.0.1,localhost"},
    ),
    # Clocks and speed.
    Misconfiguration(
        "this machine's clock is ten minutes behind",
        "warn clock of this machine: is 10 min behind Twilio and the database",
        stack=ahead(minutes=10),
    ),
    Misconfiguration(
        "this machine's clock is two days ahead",
        "warn clock of this machine: is 2 d ahead of Twilio and the database",
        stack=ahead(days=-2),
    ),
    Misconfiguration(
        "the database's clock is two days behind",
        "warn clock of the database: is 2 d behind this machine and Twilio, and due times and quiet hours go by it",
        stack=_database_behind,
    ),
    Misconfiguration(
        "Twilio's clock is ten minutes ahead",
        "warn clock of Twilio: is 10 min ahead of this machine and the database",
        stack=_twilio_ahead,
    ),
    Misconfiguration(
        "every call to the database is slow", "warn speed of Supabase: takes at least ", slow="Supabase",
    ),
    Misconfiguration(
        "every call to Twilio is slow", "warn speed of Twilio: takes at least ", slow="Twilio",
    ),
    Misconfiguration(
        "every call to Prefect is slow", "warn speed of Prefect: takes at least ",
        {"PREFECT_API_URL": f"{ELSEWHERE}/prefect/api"}, slow="Prefect",
    ),
    # Twilio.
    Misconfiguration(
        "the messaging service has no sender",
        "bad  Twilio messaging service: it has no numbers: add one to its sender pool",
        _BY_SERVICE, stack=_service,
    ),
    Misconfiguration(
        "the messaging service is not the account's",
        "bad  Twilio messaging service: refused (Twilio 20404: Not Found): check TWILIO_ACCOUNT_SID",
        {"TWILIO_FROM_NUMBER": None, "TWILIO_MESSAGING_SERVICE_SID": "MG" + "7" * 32},
    ),
    Misconfiguration(
        "no number of the messaging service can text",
        "bad  Twilio messaging service: none of its numbers can text (no SMS capability)",
        _BY_SERVICE, stack=_voice_service,
    ),
    Misconfiguration(
        "the sender's number cannot text",
        "bad  Twilio number: cannot text, because it has no SMS capability",
        stack=_main(voice_only={SENDER}),
    ),
    Misconfiguration(
        "the account is a trial",
        "warn Twilio account: is a trial: it texts only numbers that are verified",
        stack=_main(is_trial=True),
    ),
    Misconfiguration(
        "the account is suspended",
        "bad  Twilio credentials: refused (Twilio 20003: Permission Denied)",
        stack=_main(status="suspended"),
    ),
    Misconfiguration(
        "the account has no money left",
        "warn Twilio balance: is -1.30 USD: unless Twilio sends a bill, no text goes out",
        stack=_main(balance="-1.30"),
    ),
    Misconfiguration(
        "the account has hardly any money left",
        "warn Twilio balance: is 0.02 USD, which pays for few texts: top it up, unless Twilio sends a bill",
        stack=_main(balance="0.02"),
    ),
    Misconfiguration(
        "a restricted key may not read messages",
        "bad  Twilio credentials: refused (Twilio 70051: Authorization Failed): the key lacks a permission",
        _KEY, stack=_restricted("Messages"),
    ),
    Misconfiguration(
        "a restricted key may not read numbers",
        "warn Twilio number: could not be asked (Twilio 70051: Authorization Failed): these credentials",
        _KEY, stack=_restricted("IncomingPhoneNumbers"),
    ),
    # Prefect.
    Misconfiguration(
        "Prefect's server is of another major version",
        "bad  version of Prefect's server: is 2.20.1, and the runner's ",
        {"PREFECT_API_URL": f"{ELSEWHERE}/prefect-2/api"},
    ),
    Misconfiguration(
        "Prefect's server has moved",
        "sends everybody on to https://elsewhere.example: set PREFECT_API_URL to the API's address there",
        {"PREFECT_API_URL": f"{ELSEWHERE}/moved/api"},
    ),
    Misconfiguration(
        "Prefect's server is broken",
        "answers HTTP 503 to health: see its log, and whether its database is up",
        {"PREFECT_API_URL": f"{ELSEWHERE}/broken/api"},
    ),
    Misconfiguration(
        "Prefect Cloud's key is wrong",
        "refuses PREFECT_API_KEY: make a new one in Prefect Cloud",
        {"PREFECT_API_URL": "{closed}/api", "PREFECT_API_KEY": "pnu_wrong"},
    ),
    Misconfiguration(
        "Prefect has an auth string and a key",
        "warn PREFECT_API_AUTH_STRING: is for a server of one's own, and PREFECT_API_KEY for Prefect Cloud",
        {"PREFECT_API_AUTH_STRING": "ops:x", "PREFECT_API_KEY": "pnu_x"},
    ),
    Misconfiguration(
        "Prefect's profile names another server",
        "warn Prefect's profile there: names other.example:4200, and PREFECT_API_URL another server",
        {"PREFECT_API_URL": f"{OPEN}/api"},
        files={"profiles.toml": 'active = "there"\n[profiles.there]\nPREFECT_API_URL = "http://other.example:4200/api"\n'},
    ),
    Misconfiguration(
        "only Prefect's profile names the server",
        "warn Prefect's profile there: names other.example:4200, and PREFECT_API_URL is not set: flows use that server",
        files={"profiles.toml": 'active = "there"\n[profiles.there]\nPREFECT_API_URL = "http://other.example:4200/api"\n'},
    ),
    Misconfiguration(
        "the deployment has another concurrency limit",
        "is not this version's: concurrency limit is 1, then ENQUEUE there and 3, then ENQUEUE here",
        prefect=_limited,
    ),
    Misconfiguration(
        "dead runs have all places of the deployment",
        f"bad  concurrency limit of {SCHEDULED}: all its 3 places are taken, and one of a run that died is never given",
        prefect=lambda registry: registry.say(
            "update concurrency_limit_v2 set active_slots = 3, slot_decay_per_second = 0"
        ),
    ),
    Misconfiguration(
        "task runs of our tag are limited",
        "bad  concurrency limit of the tag sms: lets 1 task runs with that tag run at once",
        prefect=lambda registry: registry.prefect.post("concurrency_limits/", {"tag": "sms", "concurrency_limit": 1}),
    ),
    Misconfiguration(
        "a schedule has parameters of its own",
        "is not this version's: schedule every-minute has parameters of its own: limit",
        prefect=lambda registry: registry.register(SCHEDULED, schedules=[
            {"schedule": {"cron": "* * * * *", "timezone": "UTC"}, "slug": "every-minute", "parameters": {"limit": 1}},
        ]),
    ),
    Misconfiguration(
        "a deployment of that name is there twice",
        f"bad  deployment old-flow/{SCHEDULED}: runs by itself, too (of version 0.0.9), beside this version's",
        prefect=_duplicate,
    ),
    Misconfiguration(
        "another deployment runs the same flow",
        f"bad  deployment {SCHEDULED}/texts-every-minute: runs by itself, too (of version 0.0.9), beside ",
        prefect=_copy,
    ),
    Misconfiguration(
        "the deployment has two schedules",
        "schedule is every-minute: * * * * * UTC, often: every 20 s UTC there and every-minute: * * * * * UTC here",
        prefect=lambda registry: registry.register(SCHEDULED, schedules=[
            {"schedule": {"cron": "* * * * *", "timezone": "UTC"}, "slug": "every-minute"},
            {"schedule": {"interval": 20, "timezone": "UTC"}, "slug": "often"},
        ]),
    ),
    Misconfiguration(
        "the schedule is a rule of dates",
        "schedule is dates: a rule of dates UTC there and every-minute: * * * * * UTC here",
        prefect=lambda registry: registry.register(SCHEDULED, schedules=[
            {"schedule": {"rrule": "FREQ=HOURLY", "timezone": "UTC"}, "slug": "dates"},
        ]),
    ),
    Misconfiguration(
        "late runs are left of an older version",
        f"bad  late runs of {SCHEDULED}: 3 were made for the runner of version 0.0.9, which has stopped: `smsretry",
        prefect=_late_of_old,
    ),
    Misconfiguration(
        "the work pool has no worker",
        "bad  work pool texts: has no worker that is alive, of 0 known: start `prefect worker start --pool texts`",
        prefect=_pool(workers=0),
    ),
    Misconfiguration(
        "the work pool is paused",
        "bad  work pool texts: is paused, so nothing runs: `prefect work-pool resume texts`",
        prefect=_pool(is_paused=True),
    ),
    Misconfiguration(
        "the work pool lets one run at once",
        "bad  work pool texts: lets only 1 run at once",
        prefect=_pool(concurrency_limit=1),
    ),
    Misconfiguration(
        "the work queue is paused",
        "bad  work queue default of texts: is paused, so nothing in it runs",
        prefect=_pool(queue={"is_paused": True}),
    ),
    Misconfiguration(
        "the deployment does not validate parameters",
        "is not this version's: validation of parameters is off there and on here",
        prefect=lambda registry: registry.register(SCHEDULED, enforce_parameter_schema=False),
    ),
    Misconfiguration(
        "the deployment has lost its tags",
        "is not this version's: tags is none there and sms here",
        prefect=lambda registry: registry.register(SCHEDULED, tags=[]),
    ),
    Misconfiguration(
        "the deployment has settings of its own",
        f"warn job variables of {SCHEDULED}: set SUPABASE_URL for its runs, so the values that are checked here do not",
        prefect=lambda registry: registry.register(SCHEDULED, job_variables={"env": {"SUPABASE_URL": "https://x"}}),
    ),
    *(
        Misconfiguration(
            f"a run is {name} for hours",
            f"bad  runs of {SCHEDULED} that do not end: 1 have been {name} for more than 15 min",
            prefect=_since_hours(name.upper()),
        )
        for name in ("Pending", "Paused", "Cancelling")
    ),
    Misconfiguration(
        "an alert waits for ten days",
        "warn alerts (Prefect's automations): changed, so that they fire or act otherwise, unless that is meant: a "
        "run f",
        prefect=_alert("trigger", "jsonb_set(trigger::jsonb, '{within}', '864000')::json"),
    ),
    Misconfiguration(
        "an alert does nothing",
        "warn alerts (Prefect's automations): changed, so that they fire or act otherwise, unless that is meant: a "
        "run f",
        prefect=_alert("actions", """'[{"type": "do-nothing"}]'"""),
    ),
    Misconfiguration(
        "another automation pauses deployments",
        'warn automation "smsretry: night watch": may stop texts (pause-deployment): see in the UI (Automations) '
        'that it ',
        prefect=_night_watch,
    ),
    Misconfiguration(
        "no alert is installed",
        "warn alerts (Prefect's automations): none is installed, so nobody is told when texts stop going out",
        prefect=_without(""),
    ),
    Misconfiguration(
        "one alert is missing",
        "warn alerts (Prefect's automations): not installed: a run failed. `smsretry automations",
        prefect=_without("a run failed"),
    ),
    Misconfiguration(
        "an alert is switched off",
        "warn alerts (Prefect's automations): switched off: a run failed. Switch them on",
        prefect=lambda registry: registry.say("update automation set enabled = false where name like '%a run failed'"),
    ),
    Misconfiguration(
        "an alert's notification block is gone",
        "warn alerts (Prefect's automations): notify through a block that is gone: ",
        prefect=lambda registry: registry.say("delete from block_document"),
    ),
)  # fmt: skip
