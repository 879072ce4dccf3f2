"""The page for people: QuickBooks' books, tokens, requests and switches in a browser, rendered by the server."""
