"""What needs no event loop and no framework: events, frames, logs and places in them."""
