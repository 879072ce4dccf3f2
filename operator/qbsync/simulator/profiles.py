"""The four profiles: which switches each one moves, and how long its answers take."""

from collections.abc import Mapping
from datetime import timedelta

from qbsync.simulator.options import Latency, Profile
from qbsync.simulator.switches import SwitchValue

_USUAL = Latency(timedelta(milliseconds=160), timedelta(milliseconds=800))
_NO_LIMITS: Mapping[str, SwitchValue] = {
    "limitPerMinute": 0,
    "limitPerSecond": 0,
    "limitConcurrent": 0,
    "limitAllPerMinute": 0,
    "limitBatches": 0,
    "limitBatchesCompany": 0,
    "limitEmails": 0,
    "readLagSeconds": 0,
    "oneRowTooManyEvery": 0,
}

OVERRIDES: Mapping[Profile, Mapping[str, SwitchValue]] = {
    # The defaults of switches.py are the realistic ones: duplicate check off, grace 0, reuse revokes the family.
    Profile.REALISTIC: {},
    Profile.STRICT: {
        "duplicateDocCheck": True,
        "parallelRefreshRevokes": True,
        "reuseKillsAccessTokens": True,
        "replayFailures": True,
        "readLagSeconds": 0,
        "oneRowTooManyEvery": 0,
    },
    Profile.HOSTILE: {
        "requestidMemory": "forget",
        "duplicateDocForm": "short",
        "nextNumber": "lastPattern",
        "parallelRefreshRevokes": True,
        "reuseKillsAccessTokens": True,
        "invalidGrantDescription": False,
        "lowerCaseFaults": True,
        "maxInValues": 40,
        "maxStatementBytes": 2000,
        "oneRowTooManyEvery": 5,
        "lagAfterUpdate": True,
        "slowAnswers": 0.02,
        "lostAnswers": 0.03,
        "lostRequests": 0.02,
        "lateCommits": 0.02,
        "gatewayErrors": 0.02,
        "batchItemFaults": 0.02,
        "batchUnknownField": "whole",
        "batchAnswers": "reversed",
        "compressedAnswers": True,
        "webhookDuplicates": 0.1,
        "webhookReordering": 0.2,
        "webhookLosses": 0.05,
        "webhookDelaySeconds": 30,
    },
    Profile.UNLIMITED: _NO_LIMITS,
}

LATENCY: Mapping[Profile, Latency | None] = {
    Profile.REALISTIC: _USUAL,
    Profile.STRICT: _USUAL,
    Profile.HOSTILE: _USUAL,
    Profile.UNLIMITED: None,
}
