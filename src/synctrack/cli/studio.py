"""`synctrack studio`: a page in the browser on which songs are made, listened to and changed."""

import argparse
from collections.abc import Sequence

from synctrack.arguments import CommandParser, number, whole
from synctrack.cli.steering_arguments import DEFAULT_MODEL
from synctrack.errors import needs_extra

DESCRIPTION = """Serve a page on which songs are made, listened to stem by stem, and changed. Takes are kept in --out
and found again when the command runs again; Ctrl-C ends it."""


def main(argv: Sequence[str], prog: str) -> None:
    """Run the command until it is interrupted."""
    arguments = _parser(prog).parse_args(argv)
    # Here and not above: these modules take seconds to import, and help needs none.
    with needs_extra("studio", "synctrack studio"):
        from synctrack.studio.server import Studio, folder_for
    from synctrack.pipeline import SyncTrack
    from synctrack.studio.workbench import Workbench

    model = SyncTrack.from_pretrained(
        arguments.model, device=arguments.device, precision=arguments.precision, revision=arguments.revision
    )
    bench = Workbench(model, folder_for(arguments.out), arguments.max_seconds)
    studio = Studio(bench, arguments.host, arguments.port, arguments.share == "on")
    print(f"The studio is at {studio.address}", flush=True)
    try:
        studio.wait()
    except KeyboardInterrupt:
        print("The studio is closed; its takes are kept.")
    finally:
        studio.close()


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = CommandParser(prog=prog, description=DESCRIPTION, allow_abbrev=False)
    add = parser.add_argument
    add("--model", default=DEFAULT_MODEL, help="demo, a checkpoint, a run folder, or owner/name on the Hub")
    add("--revision", help="branch, tag or commit of a model on the Hub")
    add("--out", default="studio", metavar="DIR", help="folder for sessions and their takes (default: studio)")
    add("--host", default="127.0.0.1", metavar="A", help="address to listen on (default: 127.0.0.1, this machine)")
    add("--port", type=whole(1, 65_535), default=7860, metavar="N", help="port to listen on (default: 7860)")
    add("--share", choices=("on", "off"), default="off", help="a public address of Gradio's as well (default: off)")
    add(
        "--max-seconds", type=number(1, 3600), default=300.0, metavar="S", help="longest song and upload (default: 300)"
    )
    add("--device", default="auto", metavar="D", help="auto (default), cpu, cuda, cuda:1 or mps")
    add("--precision", default="float32", metavar="P", help="float32 (default), bfloat16 or float16 (GPU)")
    return parser
