"""``python -m tracker COMMAND``: every part of the tracker is started by one of these."""

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from tracker import ports
from tracker.commands.become import become, celery, connections, make_password
from tracker.errors import SettingsError, StoreError, TrackerError
from tracker.plain import log_plainly, plain, plain_lines
from tracker.settings import FLOWER_HIDDEN, Settings, load
from tracker.sources import known
from tracker.variables import Unusable, number

QUEUES = ("fetch", "evaluate", "notify")


def main(arguments: list[str] | None = None) -> None:
    """Runs one command; a TrackerError ends it with one line and exit status 1."""
    options = parser().parse_args(arguments)
    log_plainly()
    settings = None
    try:
        _overrule_environment(options)
        settings = known(load())
        if settings.clock_speed != 1 and not settings.clock_start and options.run not in (start, simulate):
            raise SettingsError(
                f"CLOCK_START='': expected with CLOCK_SPEED={settings.clock_speed:g}, as start prints it"
            )
        options.run(options, settings)
    except StoreError as error:
        embedded = settings and not settings.redis_given
        hint = " (./scripts/start runs everything, ./scripts/start-db.sh a store)" if embedded else ""
        sys.exit(plain(f"{options.command}: {error}{hint}"))
    except TrackerError as error:
        sys.exit(plain(f"{options.command}: {error}"))
    except KeyboardInterrupt:
        sys.exit(130)


def start(options: argparse.Namespace, settings: Settings) -> None:
    from tracker.commands.start import run

    run(settings)


def simulate(options: argparse.Namespace, settings: Settings) -> None:
    from tracker.simulator.serve import SimulatorConfig, serve

    if settings.clock_speed != 1 and not settings.clock_start:
        settings = replace(settings, clock_start=time.time())
    serve(SimulatorConfig.of(settings))


def store(options: argparse.Namespace, settings: Settings) -> None:
    from tracker.store.keeper import run

    ports.require("STORE_PORT", "127.0.0.1", settings.store_port)
    sys.exit(run(settings))


def mend(options: argparse.Namespace, settings: Settings) -> None:
    from tracker.store.keeper import mend

    print(mend(Path(options.folder)))


def worker(options: argparse.Namespace, settings: Settings) -> None:
    from tracker.alerts.rulebook import Rulebook
    from tracker.sources.budget import check

    queues = options.queues or list(QUEUES)
    if unknown := set(queues) - set(QUEUES):
        raise TrackerError(f"no queue {', '.join(sorted(unknown))}: expected some of {', '.join(QUEUES)}")
    Rulebook(settings.rules)  # a bad file stops the start, as does a budget
    check(settings)
    os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")  # SIGTERM: soft shutdown, see celeryconfig
    name = options.name or f"{'-'.join(queues)}-{os.getpid()}"
    concurrency = {"fetch": settings.fetch_concurrency, "evaluate": settings.evaluate_concurrency}
    processes = next((concurrency[queue] for queue in concurrency if queue in queues), settings.notify_concurrency)
    celery(
        settings, "worker", "-Q", ",".join(queues), "-n", f"{name}@%h", "-P", settings.worker_pool,
        "-c", str(options.concurrency or processes), "--without-gossip", "--without-mingle",
    )  # fmt: skip


def beat(options: argparse.Namespace, settings: Settings) -> None:
    from tracker.sources.budget import check

    check(settings)
    celery(settings, "beat", "--pidfile=")


def flower(options: argparse.Namespace, settings: Settings) -> None:
    ports.require("FLOWER_PORT", settings.flower_bind, settings.flower_port)
    if settings.flower_hidden:
        print(f"flower: {FLOWER_HIDDEN}", file=sys.stderr)
    os.environ.pop("FLOWER_BASIC_AUTH", None)  # Flower would take an empty one for a login
    if settings.flower_logins:
        os.environ["FLOWER_BASIC_AUTH"] = settings.flower_logins  # which may have come from a file
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    celery(
        settings, "flower", f"--address={settings.flower_bind}", f"--port={settings.flower_port}",
        "--persistent=True", f"--db={settings.data_dir}/flower", "--state_save_interval=10000",
    )  # fmt: skip


def api(options: argparse.Namespace, settings: Settings) -> None:
    from tracker.store.keys import check_start

    make_password(settings)
    check_start(settings)
    ports.require("API_PORT", settings.bind, settings.api_port, shared=True)
    if ports.is_taken(settings.bind, settings.api_port):
        print(f"API_PORT={settings.api_port}: an API serves there already, the two share requests", file=sys.stderr)
    become(
        sys.executable, "-m", "granian", "--interface", "wsgi", "--factory", "--host", settings.bind,
        # More threads a worker cost more: they wait for one another at every exchange with the store.
        "--port", str(settings.api_port), "--workers", "2", "--blocking-threads", "2",
        # Bounds: open connections of a worker, waiting ones, bytes of a request's head, milliseconds for it to come.
        # HTTP/1 only: granian would wait without end for a first byte that tells which version a connection speaks.
        # A buffer may be exceeded by one read as large as itself: a head has at most 64 kB.
        "--backpressure", str(connections()), "--backlog", "1024",
        "--http", "1", "--http1-buffer-size", "32768", "--http1-header-read-timeout", "10000",
        "--respawn-failed-workers", "--workers-kill-timeout", "5", "--log-level", settings.log_level, "api:server_app",
    )  # fmt: skip


def keys(options: argparse.Namespace, settings: Settings) -> None:
    from tracker.commands.keys import command

    for line in command(settings, options.action, getattr(options, "argument", ""), getattr(options, "scope", "")):
        _show(line)


def export(options: argparse.Namespace, settings: Settings) -> None:
    from api.export import run

    run(settings, Path(options.folder), options.every)


def variables(options: argparse.Namespace, settings: Settings) -> None:
    for each in fields(Settings):
        default = each.metadata["default"]
        print(f"{each.metadata['name']:21}{default or '(empty)':27}{each.metadata['meaning']}")


def sources(options: argparse.Namespace, settings: Settings) -> None:
    from tracker.sources.budget import check as check_budgets
    from tracker.sources.check import dry_fetch
    from tracker.sources.status import report

    check_budgets(settings)
    if options.action == "check" and not options.name:
        raise TrackerError("check which one? python -m tracker sources check NAME")
    for line in dry_fetch(options.name, settings) if options.action else [report(settings)]:
        _show(line)


def check_rules(options: argparse.Namespace, settings: Settings) -> None:
    from tracker.commands.alerts import describe_rules

    _show(describe_rules(settings))


def backtest(options: argparse.Namespace, settings: Settings) -> None:
    from tracker.alerts.backtest import report

    _show(report(settings, options.rule, options.metric, options.folder))


def test_channel(options: argparse.Namespace, settings: Settings) -> None:
    from tracker.commands.alerts import try_channel

    _show(try_channel(settings, options.name))


def list_deliveries(options: argparse.Namespace, settings: Settings) -> None:
    from tracker.commands.alerts import dead_letters

    _show(dead_letters(settings))


def redrive(options: argparse.Namespace, settings: Settings) -> None:
    from tracker.commands.alerts import redrive

    _show(redrive(settings, options.ids))


def refused(options: argparse.Namespace, settings: Settings) -> None:
    from tracker.worker.refused import command

    print(command(settings, options.action))


def parser() -> argparse.ArgumentParser:
    """All commands and their flags; a flag named in capitals overrules the environment variable of that name."""
    about = "Tracks crypto market metrics of the last 24 hours."
    root = argparse.ArgumentParser("python -m tracker", description=about)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(run: Callable, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(run.__name__, help=text, description=f"{text[0].upper()}{text[1:]}.")
        added.set_defaults(run=run)
        return added

    _simulator_flags(command(start, "run everything on this machine, until Ctrl-C"))
    _simulator_flags(command(simulate, "run the simulated exchange, which speaks Cryptowatch's REST format"))
    command(store, "run the embedded store, a valkey-server that keeps its data in DATA_DIR")
    other = command(mend, "leave out what is damaged in the append-only files of a stopped Redis or Valkey of your own")
    other.add_argument("folder", metavar="FOLDER", help="its data folder, with appendonlydir in it")
    one = command(worker, "run a worker; start as many as there is work for, on any machine that reaches the store")
    one.add_argument("queues", nargs="*", metavar="QUEUE", help=f"what to take tasks from: {', '.join(QUEUES)}; all")
    one.add_argument(
        "-c",
        "--concurrency",
        metavar="N",
        type=_number(1, 256),
        help="processes; FETCH_CONCURRENCY, or that of its queue",
    )
    one.add_argument("-n", "--name", help="its name in Flower; the queues and the process id")
    command(beat, "run a beat, which sends the ticks; a second one beside it takes over without a gap")
    command(api, "run the API")
    edition = command(export, "write what the API answers as files, for a CDN or object storage, and as a database")
    edition.add_argument("folder", metavar="DIR", help="where to; it is made")
    edition.add_argument(
        "--every", metavar="N", type=_number(0.1, 86_400, float), help="again every so many seconds, until Ctrl-C"
    )
    _key_actions(command(keys, "make, list or revoke the API's keys"))
    command(flower, "run Flower, which shows workers and tasks")
    one = command(sources, "show how each source does, or check one: ask it once and explain what came of it")
    one.add_argument(
        "action", nargs="?", choices=["check"], help="ask a source once; exit status 1 if it is not usable"
    )
    one.add_argument("name", nargs="?", help="which one, as in SOURCES; it need not be configured")
    _alert_commands(commands)
    command(variables, "list the environment variables that configure all this, with their defaults")
    return root


def _alert_commands(commands: Any) -> None:
    """The groups ``rules``, ``channels``, ``deliveries`` and ``refused``."""

    def action(group: Any, name: str, run: Callable, text: str) -> argparse.ArgumentParser:
        added = group.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        added.set_defaults(run=run)
        return added

    def group(name: str, text: str) -> Any:
        return commands.add_parser(name, help=text).add_subparsers(dest="action", required=True, metavar="ACTION")

    rules = group("rules", "check the rules file, or see when its rules would have fired")
    action(rules, "check", check_rules, "read the rules file and say what is in it, or what is wrong with it")
    past = action(rules, "backtest", backtest, "show when rules would have fired, in the stored 24 hours or in files")
    past.add_argument("--rule", metavar="NAME", help="only this rule")
    past.add_argument("--metric", metavar="GLOB", help="only metrics that match")
    past.add_argument("--candles", metavar="DIR", dest="folder", help="the candle files of this folder instead")
    channels = group("channels", "try a channel")
    trial = action(channels, "test", test_channel, "send a test notice to a channel of the rules file")
    trial.add_argument("name", metavar="NAME")
    deliveries = group("deliveries", "notices that were given up")
    action(deliveries, "list", list_deliveries, "list them, and why")
    again = action(deliveries, "redrive", redrive, "send them again, or only some")
    again.add_argument("ids", nargs="*", metavar="ID", help="as listed; all")
    messages = group("refused", "messages in the queues that no worker took: they cannot be tasks")
    action(messages, "list", refused, "list them, the newest first, and why")
    action(messages, "clear", refused, "forget them")


def _key_actions(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key and show it, this once")
    create.add_argument("argument", metavar="NAME", help="whose it is, for the list")
    create.add_argument("--scope", choices=("read", "admin"), default="read", help="what it allows; read")
    actions.add_parser("list", help="show id, scope, day of making and name of every key")
    revoke = actions.add_parser("revoke", help="make a key worthless")
    revoke.add_argument("argument", metavar="ID", help="its id, as in the list")


def _simulator_flags(parser: argparse.ArgumentParser) -> None:
    """Flags that overrule environment variables of the same meaning."""
    parser.add_argument(
        "--candles", metavar="DIR", dest="SIMULATOR_CANDLES", help="replay the candle files of this folder"
    )
    parser.add_argument(
        "--at", metavar="TIME", dest="SIMULATOR_AT", help="opening time (Unix) of the candle that opens now; the last"
    )
    parser.add_argument(
        "--speed", metavar="N", dest="CLOCK_SPEED", help="let time run this many times as fast, for all that is started"
    )
    parser.add_argument("--markets", metavar="N", dest="SIMULATOR_MARKETS", help="markets to generate; 60")
    parser.add_argument("--seed", metavar="N", dest="SIMULATOR_SEED", help="seed to generate them from; 1")
    parser.add_argument(
        "--budget", metavar="N", dest="SIMULATOR_BUDGET", help="credits a day before it answers 429; unlimited"
    )


def _show(text: str) -> None:
    """Prints text that may hold what others wrote."""
    print(plain_lines(text), flush=True)


def _number(low: float, high: float, kind: type = int) -> Callable[[str], float]:
    """A flag's number, judged as that of a variable."""
    parse = number(low, high, kind)

    def read(text: str) -> float:
        try:
            return parse(text)
        except Unusable as expected:
            raise argparse.ArgumentTypeError(f"{text!r:.80}: expected {expected}") from None

    return read


def _overrule_environment(options: argparse.Namespace) -> None:
    for name, value in vars(options).items():
        if name.isupper() and value is not None:
            os.environ[name] = value
