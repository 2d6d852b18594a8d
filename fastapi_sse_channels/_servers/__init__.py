"""The code that uses private parts of ASGI servers; tests notice when those parts change."""
