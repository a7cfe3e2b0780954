"""Errors of the server room; each message says what to do and quotes nothing that a site sent."""


class ServerError(Exception):
    """Base of this room's errors."""


class NotEnoughSites(ServerError):
    """Too few of the study's sites introduced themselves, or a stage reaches too few."""


class QuorumMissed(ServerError):
    """A round ended with too few accepted replies; everything before it is in the checkpoint."""


class CheckpointInvalid(ServerError):
    """The run folder cannot be resumed with this study."""


class CheckpointFailed(ServerError):
    """A round's checkpoint could not be written; the one before it is intact."""


class GeneratorInvalid(ServerError):
    """The generator folder is not one that this study can start from."""


class RunConfigInvalid(ServerError):
    """The ServerApp's run configuration lacks something."""


class ConsortiumUnusable(ServerError):
    """The coordinator's folder, an enrolment or a study cannot be used as it is; nothing was started."""


class CoordinatorUnreachable(ServerError):
    """The coordinator does not run, or does not answer."""
