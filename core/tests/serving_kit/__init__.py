"""Tools for testing the serving path: a scripted engine, a live server, and the server that tests run against."""
