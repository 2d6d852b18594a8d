from .results import Results


def print_report(results: Results) -> None:
    pass
