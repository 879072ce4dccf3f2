"""qbsync: QuickBooks grants that stay alive, and exactly one invoice per InvoiceSync."""

__version__ = "0.1.0"
