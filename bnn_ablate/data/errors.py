"""The one exception of this package."""


class DataError(ValueError):
    """Images are missing, damaged or do not fit the settings; the message is one sentence for the person who runs."""
