"""Machines with MLU devices without the devices: what tools print, and recordings of whole machines."""
