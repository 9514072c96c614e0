"""Every error that Carpal raises on purpose, in one tree.

An error is raised where the fact is known, carries one clear sentence for the person who reads
it, and is translated once: by the command line into an exit status, by the backend into an HTTP
status code.
"""


class CarpalError(Exception):
    """Something failed for a reason that one sentence can state.

    Attributes:
        http_status: The status that an HTTP answer carries for this error.
        exit_status: The status that the command line ends with.
    """

    http_status = 500
    exit_status = 1


class InvalidInputError(CarpalError):
    """What came from outside does not have the promised form."""

    http_status = 400


class ImageError(InvalidInputError):
    """An image cannot be read, is too large, or is not an image."""

    http_status = 422


class FailedRequestError(InvalidInputError):
    """A server answered one request with an error, whatever was tried; others may succeed.

    Attributes:
        status: HTTP status of its answer; 200 where only the content is wrong.
    """

    http_status = 502

    def __init__(self, sentence: str, status: int = 0) -> None:
        super().__init__(sentence)
        self.status = status


class UnknownOptionError(InvalidInputError):
    """There is no option of that name; the sentence names those that may be meant."""


class UnmetOptionError(InvalidInputError):
    """An option is understood, but what is asked cannot be done with this model or this film."""

    http_status = 422


class TaskConfigError(InvalidInputError):
    """A task folder (`config.xml`, `task.toml`) contradicts itself or is incomplete."""


class NotFoundError(CarpalError):
    """A named thing (radiograph, version, model, task) does not exist."""

    http_status = 404


class AccessError(CarpalError):
    """A credential is missing or wrong."""

    http_status = 401


class ServiceUnavailableError(CarpalError):
    """A service that is needed (Label Studio, Redis, MLflow) does not answer."""

    http_status = 503


class LabelStudioError(ServiceUnavailableError):
    """Label Studio answered with an error or in a form that it does not document."""

    http_status = 502


class LedgerError(CarpalError):
    """The ledger cannot be read or written, or its hash chain is broken."""


class VersionError(CarpalError):
    """A dataset version cannot be committed, read or checked out."""


class StorageError(CarpalError):
    """The disk is full or a file cannot be written."""

    http_status = 507


class TrainingError(CarpalError):
    """A training cannot start or cannot go on."""


class ModelError(CarpalError):
    """A model cannot be loaded: it is missing, altered, or belongs to another task."""


class StackError(CarpalError):
    """A service of the local stack cannot be started (port taken, program missing)."""
