"""Pure functions from what Kunlunxin's tools print to records, one module per format; none of them knows a probe."""
