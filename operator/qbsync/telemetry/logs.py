"""JSON logs on stderr, one object a line. Nothing that looks like a token passes."""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any

REDACTED = "[redacted]"
_SECRETS = (
    re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}"),
    re.compile(r"\bRT1-[A-Za-z0-9-]{8,}"),
    re.compile(r"\b(?:AB11|L311)[A-Za-z0-9]{16,}"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){1,4}"),
    re.compile(r"(?i)(token (?:expired|revoked):)\s*\S+"),
    re.compile(
        r"(?i)\b((?:access_token|refresh_token|client_secret|code)[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,}]+"
    ),
)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_QUIET = ("kopf", "asyncio", "uvicorn", "httpcore2", "httpx2", "kubernetes")


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON; `extra` fields become its members."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return redact(json.dumps(line, default=str, ensure_ascii=False))


def redact(text: str) -> str:
    """The text without anything that looks like a token or a secret: the last net, not the first."""
    for pattern in _SECRETS:
        text = pattern.sub(lambda match: f"{match[1]} {REDACTED}" if match.lastindex else REDACTED, text)
    return text


def configure(level: str) -> None:
    """Send all logs as JSON to stderr; libraries speak up from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # kopf complains that its thread gets no signals: they are the process's, on purpose.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
