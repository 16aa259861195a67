"""Protocol machines: bytes in, bytes out; they know no socket."""
