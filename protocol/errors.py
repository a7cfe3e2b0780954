"""Errors of the protocol room; each message says what to do and holds nothing from a record."""


class ProtocolError(Exception):
    """Base of this room's errors; `code` is what crosses the wire."""

    code = "protocol"


class StudyInvalid(ProtocolError):
    """The study cannot be used as it is."""

    code = "study-invalid"


class MalformedMessage(ProtocolError):
    """A request or reply does not follow the wire contract."""

    code = "malformed"


class MessageTooLarge(MalformedMessage):
    """A message holds more bytes than the study allows; nothing of it was decoded."""

    code = "oversized"


class EnrolmentInvalid(ProtocolError):
    """A site's enrolment file cannot be used."""

    code = "enrolment-invalid"
