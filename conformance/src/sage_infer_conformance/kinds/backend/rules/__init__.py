"""IB-01 to IB-14, each a pure function of the model and a step; by theme."""
