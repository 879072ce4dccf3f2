"""What happens to a company's books as a whole: changes made together, links, names, the feed of changes."""
