"""Webhooks in: what Intuit pushes is checked, counted down to the companies it concerns, and answered at once."""
