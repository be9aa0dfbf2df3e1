"""Errors of requests to a service."""

from schemas.replies import Problem


class ClientError(Exception):
    """A request that did not succeed; the message is a sentence for people."""


class Unreachable(ClientError):
    """The service did not answer for as long as the client was to try."""


class Interrupted(Unreachable):
    """The connection broke while an answer arrived."""


class UnexpectedAnswer(ClientError):
    """What answered is no service of ilios, or one of another version."""


class ServiceProblem(ClientError):
    """The service refused a request; ``problem`` has the code, ``retry_after`` is in seconds."""

    def __init__(self, problem: Problem, retry_after: float | None = None) -> None:
        reason = f": {problem.reason}" if problem.reason else ""
        super().__init__(f"{problem.detail}{reason} ({problem.cause or problem.code})")
        self.problem = problem
        self.retry_after = retry_after

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def code(self) -> str:
        """The code of the problem, which is stable."""
        return self.problem.code
