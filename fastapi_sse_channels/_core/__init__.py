"""The pure part: events, frames, logs and positions, without an event loop or a framework."""
