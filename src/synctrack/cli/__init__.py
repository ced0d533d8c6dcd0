"""The command line: `synctrack`, and the commands behind the published scripts."""
