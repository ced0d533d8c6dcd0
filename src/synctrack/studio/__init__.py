"""The studio: a page on which songs are made, listened to and changed; see `synctrack studio --help`."""
