"""What a company's books hold: the kinds of entities, their fields, and the rules for making them."""
