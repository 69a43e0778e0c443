"""Pure functions from what ``npu-smi`` prints to records, one module per table family; none of them knows a probe."""
