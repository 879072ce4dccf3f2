"""One spec, one invoice, exactly once: identity, claims, mapping, references, decide, reconcile."""
