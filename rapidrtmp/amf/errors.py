"""What goes wrong with Action Message Format bytes and values."""


class AMFError(ValueError):
    """The bytes are not valid AMF, break a limit, or a value has no AMF form.

    The message says what was found and where (byte offset) or what is allowed; it never
    quotes the text of a value, which may be a token.
    """
