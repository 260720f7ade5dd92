"""Links between parents and their children, who approve them."""
