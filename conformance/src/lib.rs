//! Nothing but tests: the proxy between clients and servers that others wrote. See `tests`.
