"""What FastAPI sees: the router, the response, the lifespan and the middleware."""
