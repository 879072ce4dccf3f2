"""Nothing is left that the API has and this release does not do."""
