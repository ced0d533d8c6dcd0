"""`python -m synctrack.checkpoint inspect | convert | diff`: see `synctrack.checkpoint.commands`."""

from synctrack.checkpoint.commands import main
from synctrack.errors import run_command

if __name__ == "__main__":
    run_command(main)
