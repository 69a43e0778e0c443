"""What every engine plugin needs to keep the clauses about requests: limits, live requests, leases, states,
options, tokens, texts and model folders of embedding models.

A plugin may use these or bring its own. They are here because a vendor's engine imports contracts and nothing else.
"""
