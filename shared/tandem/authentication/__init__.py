"""Who a caller is: each kind of credentials has a module here, and one door asks them in turn."""
