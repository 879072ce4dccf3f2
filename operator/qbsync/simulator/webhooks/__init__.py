"""Webhooks out: changes of the books, told to the endpoints of the apps that are connected to them."""
