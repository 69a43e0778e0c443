"""One folder per kind of subject: commands, model, rules, scenarios, and how commands reach the real thing."""
