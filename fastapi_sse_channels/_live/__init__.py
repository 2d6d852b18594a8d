"""What runs on one event loop: followed channels, open streams, and their shutdown."""
