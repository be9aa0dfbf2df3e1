"""The error of settings that cannot be used, which every command may end with."""


class BadSettings(Exception):
    """Some variables cannot be used. ``problems`` has one sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
