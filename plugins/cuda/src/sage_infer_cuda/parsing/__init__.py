"""What each source prints, read by pure functions ``parse_x(text)``: no probe, no state, no guess."""
