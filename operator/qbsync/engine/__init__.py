"""What any controller needs: a delayed keyed queue, one worker per company, backoff, one reporter, drain."""
