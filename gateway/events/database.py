"""Where events are kept: SQLite in the study's folder, or PostgreSQL by URL."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from gateway.events.tables import METADATA
from lesions.errors import UserError
from lesions.files import atomic_write

FILE, ADDRESS, DAYS = "events.sqlite", "events.url", "events.days"
"""In the study's folder: SQLite's file, where the events are, if elsewhere, and how many days they are kept."""
EXAMPLE = "EVENTS=postgresql://zoo@127.0.0.1/events"
SQLITE = "sqlite"
"""What `EVENTS=` means SQLite in the study's folder."""
KEEP_DAYS = 365
"""How long an event is kept where nothing else was given."""
SECONDS = 5
"""How long a connection to PostgreSQL may take, and a lock in SQLite."""
SECRETS = frozenset({"password", "sslpassword"})
UNREADABLE = (SQLAlchemyError, ValueError, TypeError)
"""What reading raises: where a file is damaged, a text may be none, and a number a text."""
PRAGMAS = (
    "journal_mode=WAL",  # readers and the one writer do not wait for each other
    "synchronous=NORMAL",  # what is committed outlives the process; a power cut may take the last seconds
    "secure_delete=ON",  # what is deleted is overwritten
)


class EventsError(UserError):
    """A URL that is none, or a database that does not answer; `str()` says why, and holds no password."""


def check_url(text: str) -> str:
    """The URL of a database in `EVENTS=`. Raises `EventsError` without repeating it: it may hold a password."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise EventsError(f"EVENTS: that is no URL; write it as in {EXAMPLE}") from None
    if url.drivername not in ("postgresql", "postgresql+psycopg") or not url.database:
        raise EventsError(f"EVENTS: scheme {url.drivername[:20]!r}; write it as in {EXAMPLE}")
    if url.password is not None or SECRETS & url.query.keys():
        raise EventsError("EVENTS: no password in it, others would see it; put it into ~/.pgpass, or into PGPASSWORD")
    if find_spec("psycopg") is None:
        raise EventsError('PostgreSQL needs psycopg: .venv/bin/python -m pip install "psycopg[binary]"')
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def settle(runs: Path, events: str, keep_days: int | None) -> tuple[str, int]:
    """The URL ("" for SQLite) and the days that hold for a server: those given, else those of its last start.

    So a start without them leaves no events behind, and deletes none that were to be kept. Says so in a line. Raises
    `EventsError`.
    """
    url = check_url(events) if events not in ("", SQLITE) else ""
    if not events and (runs / ADDRESS).exists():
        url = database_url(runs)
        print(f"events: in {url}, as at the last start; for SQLite: make serve EVENTS={SQLITE}")
    if keep_days is None:
        keep_days = _kept_days(runs)
        if keep_days != KEEP_DAYS:
            print(f"events: kept for {keep_days} days, as at the last start; else: make serve KEEP_DAYS={KEEP_DAYS}")
    return url, keep_days


def _kept_days(runs: Path) -> int:
    try:
        if (days := int((runs / DAYS).read_bytes())) < 1:
            raise ValueError
        return days
    except FileNotFoundError:
        return KEEP_DAYS
    except ValueError:
        raise EventsError(f"{runs / DAYS} is damaged; say how long: make serve KEEP_DAYS={KEEP_DAYS}") from None


def keep_days(runs: Path, days: int) -> None:
    """Write down how long the events of a study are kept, for its next server; `runs` is its folder."""
    atomic_write(runs / DAYS, f"{days}\n")


def keep_url(runs: Path, url: str) -> None:
    """Write down where the events of a study are, for its commands; `runs` is its folder, and "" means SQLite."""
    if url:
        atomic_write(runs / ADDRESS, url + "\n")
    else:
        (runs / ADDRESS).unlink(missing_ok=True)


def database_url(runs: Path) -> str:
    """Where the events of a study are, as its server was last started; `runs` is its folder. Raises `EventsError`."""
    try:
        return check_url((runs / ADDRESS).read_text(encoding="utf-8").strip())
    except FileNotFoundError:
        return sqlite_url(runs)
    except UnicodeDecodeError:
        raise EventsError(f"{runs / ADDRESS} is damaged; say where they are: make serve EVENTS=...") from None


def is_kept(address: str) -> bool:
    """Whether events may be there: not where SQLite's file is missing."""
    url = make_url(address)
    return url.get_backend_name() != "sqlite" or Path(str(url.database)).exists()


def sqlite_url(runs: Path) -> str:
    """SQLite in a study's folder."""
    return URL.create("sqlite", database=str(runs / FILE)).render_as_string()


def open_engine(address: str) -> Engine:
    """An engine for a database, which need not answer yet."""
    url = make_url(address)
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": SECONDS, "check_same_thread": False})
        event.listen(engine, "connect", _set_pragmas)
        return engine
    # TCP's own patience with a host that is gone is a quarter of an hour.
    patience = {"connect_timeout": SECONDS, "tcp_user_timeout": 1000 * SECONDS, "keepalives_idle": SECONDS}
    return create_engine(url.set(drivername="postgresql+psycopg"), connect_args=patience, pool_pre_ping=True)


def make_tables(engine: Engine) -> None:
    """Make the tables that are not there. Raises `SQLAlchemyError`, `OSError`."""
    if engine.url.get_backend_name() == "sqlite":
        file = Path(str(engine.url.database))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)  # SQLite's own files beside it get the same mode
    METADATA.create_all(engine)


def connect(address: str) -> Engine:
    """An engine for a database that answers, and has its tables. Raises `EventsError`."""
    engine = open_engine(address)
    try:
        make_tables(engine)
    except UNREADABLE as error:
        engine.dispose()
        raise _unreadable(address, error) from None
    return engine


@contextmanager
def reading(address: str) -> Iterator[Engine]:
    """An engine for reading. Raises `EventsError` where the database does not answer, also later, or is damaged."""
    engine = connect(address)
    try:
        yield engine
    except UNREADABLE as error:
        raise _unreadable(address, error) from None
    finally:
        engine.dispose()


def _unreadable(address: str, error: Exception) -> EventsError:
    place = make_url(address).database if address.startswith("sqlite") else address
    return EventsError(f"the events cannot be read ({reason(error)}); they are in {place}")


def reason(error: BaseException) -> str:
    """What a database's error says, in one line; no password is in it, since no URL has one."""
    original = error.orig if isinstance(error, DBAPIError) and error.orig else error
    lines = str(original).strip().splitlines() or [type(original).__name__]
    return lines[0][:200]


def _set_pragmas(connection: object, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
