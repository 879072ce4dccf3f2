"""Keeping a grant alive: keyring, envelope (encryption), store (the Secret), keeper (the refresh protocol)."""
