"""Who holds what, who belongs where: what row-level security goes by."""
