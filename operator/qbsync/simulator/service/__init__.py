"""What the accounting service does with a call that has been let in: one operation, a batch, the feed of changes."""
