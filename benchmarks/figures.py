"""`python -m benchmarks.figures --out FILE`: what `benchmarks.capacity` computes from, measured in one run.

Milliseconds of one thread for decoding a JPEG of 600 x 450 and for a forward pass, and rows a second that a database
takes into the gateway's own table of answers, in batches of a second.
"""

import json
import platform
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import sqlalchemy as sql
import typer

from benchmarks.pictures import draw
from benchmarks.serve_throughput import prepare
from gateway.events.tables import ANSWERS, METADATA
from lesions.images import SECONDS, center_square, decode
from lesions.labels import CLASSES
from zoo.models.predictor import Predictor
from zoo.models.session import read_archive

NETWORKS = (("tf_efficientnet_lite0", 64), ("tf_efficientnet_b0", 224))
BATCH = 1000
"""Rows of a transaction: a second of 1,000 answers a second."""


def main(
    out: Annotated[Path, typer.Option(help="The file of figures, JSON.")],
    rounds: Annotated[int, typer.Option(help="Of which the medians are taken.")] = 40,
    postgresql: Annotated[str, typer.Option(help="An empty database: postgresql+psycopg://user@host/name.")] = "",
) -> None:
    """Measure, print, and write the figures."""
    figures: dict[str, Any] = {"machine": _processor(), "python": platform.python_version()}
    pictures = [draw(number) for number in range(rounds)]
    figures["jpeg_bytes"] = round(statistics.mean(map(len, pictures)))
    figures["decode_ms"] = _median(lambda number: center_square(decode(pictures[number], SECONDS), 224), rounds)
    with tempfile.TemporaryDirectory(prefix="lz-") as name:
        for arch, pixels in NETWORKS:
            figures[f"forward_ms {arch} {pixels}"] = _forward(Path(name) / arch, arch, pixels, rounds)
        file = Path(name) / "answers.sqlite"
        figures["sqlite_rows_a_second"] = _rows_a_second(sql.create_engine(f"sqlite:///{file}"), rounds)
    if postgresql:
        figures["postgresql_rows_a_second"] = _rows_a_second(sql.create_engine(postgresql), rounds)
    out.write_text(json.dumps(figures, indent=1) + "\n")
    print(out.read_text())


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}"


def _median(call: Callable[[int], object], rounds: int) -> float:
    """The median time of `call(round)`, in milliseconds, without the first two rounds."""
    spent = []
    for number in range(rounds):
        began = time.perf_counter()
        call(number)
        spent.append(1000 * (time.perf_counter() - began))
    return round(statistics.median(spent[2:]), 3)


def _forward(folder: Path, arch: str, pixels: int, rounds: int) -> float:
    folder.mkdir()
    prepare(folder, arch, pixels)
    _, model = read_archive(folder / "store" / "random.mar")
    predictor = Predictor(model, pixels, len(CLASSES))
    images = np.random.default_rng(0).integers(0, 256, (1, pixels, pixels, 3), dtype=np.uint8)
    return _median(lambda _: predictor.probabilities(images), rounds)


def _rows_a_second(engine: sql.Engine, rounds: int) -> int:
    """Of one writer, a transaction a batch, durable at its end. Ends where the database is not empty."""
    if engine.dialect.name == "sqlite":

        @sql.event.listens_for(engine, "connect")
        def journal(connection: Any, _: object) -> None:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")

    if tables := sql.inspect(engine).get_table_names():
        raise SystemExit(f"error: {engine.url}: the database has tables ({', '.join(tables)}); name an empty one")
    METADATA.create_all(engine)
    rng = np.random.default_rng(0)

    def insert(_: int) -> None:
        rows = [
            {
                "id": uuid.uuid4().hex,
                "time": time.time(),
                "experiment": "first",
                "arm": "transfer",
                "shadow_of": None,
                "client": rng.bytes(32).hex(),
                "status": 200,
                "probabilities": rng.dirichlet(np.ones(len(CLASSES))).round(6).tolist(),
                "latency_ms": 12.0,
                "picture": rng.bytes(32).hex(),
                "distance": 1.5,
            }
            for _ in range(BATCH)
        ]
        with engine.begin() as connection:
            connection.execute(ANSWERS.insert(), rows)

    try:
        return round(BATCH / (_median(insert, rounds) / 1000))
    finally:
        METADATA.drop_all(engine)
        engine.dispose()


if __name__ == "__main__":
    typer.run(main)
