"""What Kunlunxin's tools print and machines that print it, for tests and the conformance kit; nothing here detects."""
