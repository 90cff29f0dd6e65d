"""Options of the commands that start a server."""

from pathlib import Path
from typing import Annotated

import typer

from zoo.serving.limits import minutes_of_a_token, request_megabytes
from zoo.terminal import whole_number

StudyName = Annotated[str, typer.Option("--study", help="The study, as `make zoo` named it.")]
Archives = Annotated[
    Path | None, typer.Option(help="A folder of archives and their manifest.json, instead of a study's own.")
]
Port = Annotated[
    int,
    typer.Option(parser=whole_number("PORT", 1024, 65531), metavar="N", help="Of inference; four more follow it."),
]
Host = Annotated[str, typer.Option(help="0.0.0.0 answers other machines, too.")]
RuntimeName = Annotated[
    str,
    typer.Option("--runtime", help="torchserve; local: one process, no Java; or ray: replicas, perhaps on a cluster."),
]
Replicas = Annotated[
    str, typer.Option(metavar="N|N-M", help="With ray: of each version; two numbers scale between them.")
]
Cpus = Annotated[str, typer.Option(metavar="N", help="With ray: processors that a replica reserves, as 0.5.")]
ArchivesUrl = Annotated[str, typer.Option(help="With ray: where nodes fetch archives, a folder or an fsspec URL.")]
MaxRequestMB = Annotated[
    int | None,
    typer.Option(parser=request_megabytes, metavar="N", help="The largest request; config.properties has it."),
]
TokenMinutes = Annotated[
    int | None,
    typer.Option(parser=minutes_of_a_token, metavar="N", help="The life of a token; config.properties has it."),
]
Wait = Annotated[bool, typer.Option("--wait", help="Stay, and stop the server at a signal: for containers.")]
