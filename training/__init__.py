"""What two trainers share: checkpoints that survive a kill, seeds, the device, progress."""
