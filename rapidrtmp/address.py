"""IP addresses as people write them."""


def plain_address(address: str) -> str:
    """Return the IPv4 address that an IPv4-mapped IPv6 address (RFC 4291 2.5.5.2) stands for.

    A dual-stack socket names its IPv4 clients like ``::ffff:192.0.2.1``. Any other address is
    returned as it is.
    """
    mapped = address.removeprefix("::ffff:")
    return mapped if "." in mapped else address
