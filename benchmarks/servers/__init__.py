"""The servers that are measured, each with the same paths and events."""
