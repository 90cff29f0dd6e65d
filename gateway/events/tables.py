"""The tables of events, the same in SQLite and in PostgreSQL.

Times are seconds since 1970, UTC. A client is a keyed hash, 64 hex digits: of what it
calls itself, or of its API key.
"""

from sqlalchemy import JSON, BigInteger, Column, Double, Index, Integer, MetaData, String, Table

GIVEN_UP = 499
"""The status of an answer for which the client did not wait, as nginx has it."""
METADATA = MetaData()

ANSWERS = Table(
    "answers",
    METADATA,
    Column("id", String(32), primary_key=True),  # random hex; the client's answer has it, too
    Column("time", Double, nullable=False),
    Column("experiment", String(64)),  # null where none was running, or where the client named a version
    Column("arm", String(64), nullable=False),  # the version that answered
    Column("shadow_of", String(32)),  # the id of the answer that the client saw; null if it is this one
    Column("client", String(64), nullable=False),
    Column("status", Integer, nullable=False),  # HTTP; 200 where there is an answer
    Column("probabilities", JSON(none_as_null=True)),  # seven, in the order of lesions.labels.CLASSES; null at an error
    Column("latency_ms", Double, nullable=False),  # of the runtime, waiting for it included
    Column("picture", String(64), nullable=False),  # sha256 of the bytes that were sent
    Column("distance", Double),  # of the features from those of validation, where the version computes it
    Index("answers_by_experiment", "experiment", "time"),
    Index("answers_by_client", "client"),
    Index("answers_by_time", "time"),
)
"""One row an answer: of an arm, which the client saw, or of a shadow. Errors of pictures are no answers."""

FEEDBACK = Table(
    "feedback",
    METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("answer", String(32), nullable=False),  # its id
    Column("time", Double, nullable=False),
    Column("label", String(8), nullable=False),  # one of lesions.labels.CLASSES
    Column("key", String(64), nullable=False),  # the name of the API key that sent it
    Index("feedback_by_answer", "answer"),
)
"""One row a feedback, each that came. Of several for one answer the last counts."""

LOSSES = Table(
    "losses",
    METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("time", Double, nullable=False),
    Column("experiment", String(64)),
    Column("rows", Integer, nullable=False),
    Column("reason", String(200), nullable=False),
)
"""Rows that could not be written, counted."""
