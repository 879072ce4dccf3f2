"""QuickBooks' query language: text in, statement out, rows found. Pure."""
