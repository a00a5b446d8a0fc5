"""The exception for a mistake of the user, and the place where the command line prints it."""

import contextlib
import sys


class UserError(ValueError):
    """A mistake that the user can correct.

    The message is one line: `WHERE: expected WHAT. DO THIS. Received: VALUE`.
    """

    def __init__(self, message):
        super().__init__(" ".join(str(message).split("\n")))  # texts of libraries may have several


@contextlib.contextmanager
def reported(verb):
    """Ends the process with one line on stderr if this context raises a mistake of the user.

    The exit status is 2 for `UserError` and `OSError`, 130 for an interruption, and 141 without a
    line if the reader of standard output has gone. Other exceptions pass.

    verb: the command that begins the line, such as "insideout train".
    """
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
