"""A small correct backend in plain Python, to hold the rules against, and for broken ones to be made from.

Nothing in it pretends: KV lives in paged blocks of bytes, the next token is a function of those bytes, blocks are
shared by content, sequences are batched and preempted, and a state goes on in another process from exported bytes.
"""
