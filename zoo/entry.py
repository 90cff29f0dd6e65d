"""The catalog: one TOML file for each entry in `zoo/entries/`. Its kind says what it may contain (`zoo.kinds`)."""

import tomllib
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from lesions.errors import UserError
from zoo.kinds import KINDS, Entry
from zoo.kinds.base import SOURCE, Name, Thesis

ENTRIES = Path(__file__).parent / "entries"
"""The catalog's folder; a file's name is the entry's name."""
RESERVED = (SOURCE, "serve", "experiments", "pool", "report", "best")
"""Names that the zoo uses itself: of folders in `runs/<study>/`, of commands, and of an answer to `make promote`."""


class EntryError(UserError):
    """An entry that is impossible: the message names the file, the key and what is allowed."""


def read(file: Path) -> Entry:
    """The entry in one TOML `file`; without `kind` it is a classifier. Raises `EntryError`."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise EntryError(f"{file}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is not all that tomllib raises
        raise EntryError(f"{file}: not TOML: {error}") from None
    name = content.get("kind", "classifier")
    if not isinstance(name, str) or name not in KINDS:
        raise EntryError(f"{file}: kind: there is no {name!r}; allowed: {', '.join(KINDS)}")
    schema = KINDS[name].schema
    try:
        return schema.model_validate({"kind": name} | content)
    except ValidationError as error:
        problems = "; ".join(_explain(schema, problem) for problem in error.errors())  # type: ignore[arg-type]
        raise EntryError(f"{file}: {problems}") from None


def _explain(schema: type[Entry], problem: dict[str, object]) -> str:
    """One of pydantic's problems, in the terms of the file."""
    # Without pydantic's names of the members of a union, such as constrained-float.
    location = [str(part) for part in problem["loc"] if str(part).isidentifier() or isinstance(part, int)]  # type: ignore[attr-defined]
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        allowed = Thesis.model_fields if location[:-1] == ["thesis"] else schema.model_fields
        return f"unknown key {key!r}; allowed: {', '.join(allowed)}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{key}: {message}" if key else message


def catalog(folder: Path = ENTRIES) -> dict[str, Entry]:
    """Every entry of `folder` by name, each after the entries that it requires.

    Raises `EntryError` for the first file that is wrong, a required entry that does not exist, or a circle.
    """
    entries: dict[str, Entry] = {}
    for file in sorted(folder.glob("[!.]*.toml")):  # editors put hidden ones beside those that are open
        try:
            TypeAdapter(Name).validate_python(file.stem)
        except ValidationError:
            raise EntryError(f"{file}: a name has small letters, digits and _ only, and begins with a letter") from None
        if file.stem in RESERVED:
            raise EntryError(f"{file}: the zoo uses the name {file.stem!r} itself; use another one")
        entries[file.stem] = read(file)
    ordered: dict[str, Entry] = {}
    for name in entries:
        _add(name, entries, ordered, folder, ())
    return ordered


def _add(name: str, entries: dict[str, Entry], ordered: dict[str, Entry], folder: Path, path: tuple[str, ...]) -> None:
    """Add the entry `name` to those in order, after what it requires; `path` leads to it."""
    if name in path:
        raise EntryError(f"{folder / name}.toml: parents go round in a circle: {' -> '.join((*path, name))}")
    if name in ordered:
        return
    for option, (required, kind) in entries[name].requires.items():
        if required not in entries or entries[required].kind != kind:
            names = ", ".join(n for n, entry in entries.items() if entry.kind == kind and n != name) or "none yet"
            raise EntryError(f"{folder / name}.toml: {option}: no {kind} {required!r}; there are: {names}")
        _add(required, entries, ordered, folder, (*path, name))
    ordered[name] = entries[name]
