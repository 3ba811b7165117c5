"""A Docker Engine API whose containers are child processes: just enough of it for the emulator's ECS."""
