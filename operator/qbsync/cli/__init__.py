"""The command line: `qbsync …`."""
