"""What stands before the emulator, on the port that everybody knows: it passes requests on and mends ECS."""
