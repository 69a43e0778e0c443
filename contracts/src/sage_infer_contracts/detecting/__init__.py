"""What vendors' detectors have in common: the ladder of sources, reading tools' text, devices merged, chips' figures.

A detector may do without; nothing here knows a vendor.
"""
