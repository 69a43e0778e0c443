"""What the TCP and the shared-memory transport share: leases, handshake, and one event loop per engine."""
