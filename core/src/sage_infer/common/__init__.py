"""Parts of the host that every other part uses."""
