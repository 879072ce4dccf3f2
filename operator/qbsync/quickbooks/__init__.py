"""QuickBooks Online's protocol: tokens, calls, faults and limits. Imports nothing else of qbsync."""
