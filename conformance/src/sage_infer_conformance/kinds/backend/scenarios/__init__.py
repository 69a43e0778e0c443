"""How histories of a backend are drawn, by theme: one start serves many requests."""
