"""Every SQL statement of links: of the links themselves, and of the clicks on them."""
