"""A discussion page: live comments, live votes, and how many are looking."""
