"""`python -m gateway`: what is served, with API keys, for browsers and phones."""

import shlex
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from gateway import process, start
from gateway.experiments import commands
from gateway.keys import DEFAULT_RATE, DEFAULT_SCOPES, SCOPES, Keys
from gateway.log import FILE
from gateway.page import sign_in
from gateway.settings import Settings, origins
from gateway.verdict import commands as verdicts
from lesions.cli import command_group
from zoo.kinds.generator import GENERATOR
from zoo.serving import options
from zoo.serving.connection import upload
from zoo.serving.http import NoServerError
from zoo.serving.limits import limits
from zoo.serving.options import StudyName
from zoo.serving.process import tail
from zoo.serving.runtime import ALL_NETWORKS, LOOPBACK, get_runtime
from zoo.serving.sample import sample
from zoo.serving.start import until_signal
from zoo.serving.start import wait as wait_for_signal
from zoo.study import Folders, Study
from zoo.terminal import console, whole_number

app = command_group(__doc__)
app.add_typer(commands.app)
app.add_typer(verdicts.app)
DEFAULT_STUDY = Study().name
Name = Annotated[str, typer.Argument(help="Of whom or what the key is for: phone.")]
GatewayPort = Annotated[
    int,
    typer.Option(parser=whole_number("GATEWAY_PORT", 1024, 65535), metavar="N", help="Of the gateway."),
]


def _keys() -> Keys:
    """The keys of this checkout: they hold for every study."""
    return Keys(_key_file())


def _key_file() -> Path:
    return (Folders(DEFAULT_STUDY).root / "keys" / "api_keys.json").resolve()


@app.command()
def serve(
    study_name: StudyName = DEFAULT_STUDY,
    archives: options.Archives = None,
    port: options.Port = 8080,
    gateway_port: GatewayPort = 8000,
    host: options.Host = LOOPBACK,
    cors: Annotated[str, typer.Option(help="Origins whose pages may call, blanks between: https://example.org.")] = "",
    runtime_name: options.RuntimeName = "torchserve",
    max_request_mb: options.MaxRequestMB = None,
    token_minutes: options.TokenMinutes = None,
    events: Annotated[
        str, typer.Option(help="Where events are kept: postgresql://zoo@127.0.0.1/events, or sqlite; else as before.")
    ] = "",
    keep_days: Annotated[
        int | None,
        typer.Option(
            parser=whole_number("KEEP_DAYS", 1, 36_500), metavar="N", help="How long events are kept; else as before."
        ),
    ] = None,
    replicas: options.Replicas = "",
    cpus: options.Cpus = "",
    archives_url: options.ArchivesUrl = "",
    wait: options.Wait = False,
) -> None:
    """Start the server with every archive of a study, or of a folder, and the gateway; return when both answer."""
    folders = Folders(archives.resolve().name if archives else study_name)
    runtime = get_runtime(runtime_name, replicas=replicas, cpus=cpus, archives_url=archives_url)
    given = limits(max_request_mb, token_minutes)
    url, days = _settled(folders.serve.resolve().parent, events, keep_days)
    settings = Settings(
        host=host,
        port=gateway_port,
        runtime_port=port,
        folder=folders.serve.resolve(),
        archives=(archives or folders.archives).resolve(),
        keys=_key_file(),
        origins=origins(cors),
        max_request_bytes=given.max_request_bytes,
        events=url,
        keep_days=days,
    )
    with until_signal(lambda: start.stop(settings.folder)) if wait else nullcontext():
        try:
            model, version = start.serve(runtime, settings, host, given, partly=wait)
        finally:  # also where some versions cannot be served: the others are
            if running := start.running(settings.folder):
                _keep(settings.runs, running.get("events", ""), running.get("keep_days", days))
        _explain(settings, None if model == GENERATOR.model else version, None if archives else sample(folders))
        if wait:
            try:
                wait_for_signal(runtime, settings.folder)
            except NoServerError:
                process.halt(settings.folder)
                raise
    if archives and not wait:
        print(f"to stop it: python -m gateway stop --study {shlex.quote(folders.name)}; so for status and logs")


def _explain(settings: Settings, version: str | None, picture: Path | None) -> None:
    """Print where the gateway is, and how to ask it: `version` is a classifier, if there is one."""
    port, pages = settings.port, ", ".join(settings.origins) or "no other origin"
    if settings.host == ALL_NETWORKS:
        print(f"warning: port {port} answers every machine that reaches it: with a key only, but unencrypted")
    print(f"gateway: http://{LOOPBACK}:{port}, for pages of {pages}")
    print(f"page: {sign_in.link(settings.folder, port)}")
    if not _keys().all():
        print("there is no API key yet: make key NAME=phone")
    if version:
        url = f"http://{LOOPBACK}:{port}/v1/classify/{version}"
        key = '-H "Authorization: Bearer $KEY"'
        print(f"try, with your key in $KEY:\ncurl --noproxy '*' {upload(picture)} {key} {url}")


def _settled(runs: Path, events: str, keep_days: int | None) -> tuple[str, int]:
    """Where events are kept, and how long. Raises `EventsError`."""
    from gateway.events.database import settle  # here: it takes a third of a second

    return settle(runs, events, keep_days)


def _keep(runs: Path, events: str, days: int) -> None:
    """Write down where events are, and how long, for other commands; and warn where they cannot be written now."""
    from gateway.events.database import EventsError, connect, keep_days, keep_url

    keep_url(runs, events)
    keep_days(runs, days)
    if events:
        try:
            connect(events).dispose()
        except EventsError as error:
            print(f"warning: {error}; until they can, they wait in memory, and too many are lost")


@app.command()
def stop(study_name: StudyName = DEFAULT_STUDY) -> None:
    """Stop the study's server, and the gateway before it."""
    folder = Folders(study_name).existing().serve.resolve()
    print("stopped" if start.stop(folder) else "nothing is running")


@app.command()
def status(study_name: StudyName = DEFAULT_STUDY) -> None:
    """Show what the study's server serves, and where the gateway is."""
    from zoo.__main__ import status as runtime_status

    settings = start.running(Folders(study_name).serve)
    if settings:
        pages = ", ".join(settings["origins"]) or "no other origin"
        print(f"gateway: http://{LOOPBACK}:{settings['port']}, for pages of {pages}")
        print(f"page: {sign_in.link(Path(settings['folder']), settings['port'])}")
    else:
        print("gateway: not running")
    runtime_status(study_name)


@app.command()
def logs(study_name: StudyName = DEFAULT_STUDY) -> None:
    """Show the end of the logs of the gateway and of the study's server, which may have stopped."""
    from zoo.__main__ import logs as runtime_logs

    folder = Folders(study_name).existing().serve
    for file in (folder / FILE, folder / process.CONSOLE):
        if file.exists():
            print(f"==> {file} <==\n{tail(file, 40)}\n")
    runtime_logs(study_name)


@app.command()
def key(
    name: Name,
    scopes: Annotated[str, typer.Option(help=f"Some of {', '.join(SCOPES)}, blanks between.")] = DEFAULT_SCOPES,
    rate: Annotated[str, typer.Option(help="How many pictures or calls in which time.")] = DEFAULT_RATE,
) -> None:
    """Make an API key, and print it: this once, since only a hash of it is kept."""
    secret = _keys().add(name, scopes.split(), rate)
    print(f"the key of {name}, for {', '.join(scopes.split())}, {rate}; it is not shown again:", file=sys.stderr)
    print(secret)


@app.command()
def keys() -> None:
    """List the API keys, without the keys themselves."""
    table = Table("name", "scopes", "rate", "since")
    for one in _keys().all():
        table.add_row(one.name, " ".join(one.scopes), one.rate, one.created[:10])
    console().print(table)


@app.command()
def revoke(name: Name) -> None:
    """Make an API key invalid, at once."""
    _keys().revoke(name)
    print(f"revoked: the key of {name} opens nothing more")


if __name__ == "__main__":
    app()
