"""The ESP data path (RFC 4303, tunnel mode), sans-IO: octets in, octets out, no sockets and no clock."""
