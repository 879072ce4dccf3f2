"""The command line as a person uses it: one process per command, against the tests' cluster."""

import base64
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.harness.stage import Stage
from cluster.operator_process import COMMAND, MASTER_KEY


@dataclass(frozen=True)
class Result:
    """What one command said."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err

    def json(self) -> Any:
        """Standard output, parsed."""
        return json.loads(self.out)


@dataclass
class CommandLine:
    """Runs `qbsync …`; remembers all that was printed."""

    stage: Stage
    kubeconfig: Path | None = None
    """Whose account it is; None: the administrator's."""
    printed: list[str] = field(default_factory=list)

    def __call__(self, *arguments: str, key: str | None = MASTER_KEY, stdin: str = "") -> Result:
        """Run it to its end. `key` None: no master key in the environment."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("QBSYNC_", "ENCRYPTION_"))
        }
        environment = kept | {
            "KUBECONFIG": str(self.kubeconfig or self.stage.kubectl.kubeconfig),
            "COLUMNS": "200",
        }
        if key is not None:
            environment["ENCRYPTION_MASTER_KEY"] = key
        done = subprocess.run(
            [str(COMMAND), *arguments],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        result = Result(done.returncode, done.stdout, done.stderr)
        self.printed.append(result.said)
        assert "Traceback" not in result.said, result.said
        return result

    @property
    def everything(self) -> str:
        """All that was printed."""
        return "\n".join(self.printed)


def master_key(letter: str) -> str:
    """A key that tests know by a letter."""
    return "base64:" + base64.b64encode(letter.encode() * 32).decode()


def key_dir(folder: Path, **keys: str) -> Path:
    """A directory of keys, name to text, as a mounted Secret; overwrites what was there."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, text in keys.items():
        (folder / name.replace("_", "-")).write_text(text)
    return folder


def kid_of(stage: Stage, name: str = "acme-qbsync-tokens") -> str:
    """The key that a token Secret was encrypted with."""
    return envelope_of(stage, name).split(".")[1]


def envelope_of(stage: Stage, name: str = "acme-qbsync-tokens") -> str:
    """What a token Secret holds."""
    return base64.b64decode(stage.get("secret", name)["data"]["envelope"]).decode()
