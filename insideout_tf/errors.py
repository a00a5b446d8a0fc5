"""The one kind of exception a user can cause, and the command-line boundary that prints it."""

import contextlib
import sys


class UserError(ValueError):
    """A mistake the user can mend: the message says what was expected, received, where, and what to do."""

    def __init__(self, message):
        super().__init__(" ".join(str(message).split("\n")))  # one line, whatever a library said


@contextlib.contextmanager
def reported(verb):
    """Prints a `UserError` (or an interruption) as one line on stderr and exits 2 (or 130)."""
    try:
        yield
    except UserError as error:
        sys.stdout.flush()
        print(f"{verb}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print(f"\n{verb}: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:
        raise SystemExit(141) from None
    except OSError as error:
        sys.stdout.flush()
        where = f"{error.filename}: " if error.filename else ""
        reason = " ".join(str(error.strerror or error).split())
        print(
            f"{verb}: {where}{reason}. Check the path, the permissions and the "
            "free space, then run the command again.",
            file=sys.stderr,
        )
        raise SystemExit(2) from None
