"""What reaches into the private parts of ASGI servers, behind guards that tests watch."""
