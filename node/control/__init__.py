"""The control socket: JSON lines over a Unix socket, and the client `python -m node ctl`.

The client side imports nothing but the standard library: a container runs it every second as its healthcheck.
"""
