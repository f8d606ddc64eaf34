"""The `rfc7296` wire profile: the binary encoding of RFC 7296 section 3, with fragments (RFC 7383).

codec         ports.Codec: datagrams to messages and back
header        the IKE header
chain         the generic payload headers: a run of payloads to types and bodies, and back
payloads      the body of each payload
association   the body of the SA payload
protection    the SK and SKF payloads: associated data, padding, fragments
reader        octets of one element, which nothing can be read beyond
"""
