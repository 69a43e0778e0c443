"""What a tier needs to keep the clauses about its operations. A plugin may use this or bring its own."""
